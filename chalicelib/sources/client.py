"""Fetches pages of a user API over HTTP, with retries. Returns bytes and never parses them."""

import re
import time
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from chalicelib.dialect import Dialect
from chalicelib.errors import ConfigError, SourceInvalid
from chalicelib.paging import Body, Cursor, merged, query_of
from chalicelib.sources.exchange import Failure, Limits, Reply, Server, TooLarge, Transient, Unauthorized
from chalicelib.sources.oauth import AccessTokens

# A link of a ``Link`` header, and one of its parameters; the parser of requests ends a link at a ; in its
# address, or at a second = in a parameter. Both forgive what RFC 8288 forbids and APIs may send: a > in an
# address, a " within a title, a value in other quotes. Neither searches a part of the header twice.
_QUOTED = r'"(?:[^"\\]++|\\.)*+"'
_LINK = re.compile(rf"<([^<]*?)>\s*+(;(?:[^=,<]++|=\s*+(?:{_QUOTED})?+)*+)")
_PARAMETER = re.compile(rf';\s*+([^\s=;,"]++)\s*+(?:=\s*+({_QUOTED}|[^;]*+))?')


class Source:
    """One user API. ``name`` is for the ledger: dialect, and URL without user, password and query."""

    def __init__(
        self,
        url: str,
        dialect: Dialect[Any],
        limits: Limits | None = None,
        authorization: str | None = None,
        token_url: str | None = None,
        token_key: str | None = None,
    ) -> None:
        """``authorization`` is the value of the dialect's header for it; it overrides a user in the URL. With
        a ``token_url`` in its place, the value is an access token; see ``AccessTokens``. The scheme
        ``Bearer`` belongs to the header ``Authorization``: others hold the token alone. Raises ConfigError
        for a malformed ``token_key``, or one without a URL."""
        if token_key and not token_url:
            raise ConfigError("SOURCE_TOKEN_KEY", "needs a SOURCE_TOKEN_URL")
        parts = urlsplit(url)
        self.name = f"{dialect.name} {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self.dialect = dialect
        self._url, self._limits = url, limits or Limits()
        self._server = Server(url, self._limits)
        self._authorization = authorization
        self._tokens = AccessTokens(token_url, self._limits, token_key) if token_url else None

    def fetch(self, page: int, size: int, cursor: Cursor | None = None) -> bytes:
        """The body of one page (from 1). ``cursor`` is added to its query: what the page before it gave, what
        limits it to changes, or both. Raises SourceUnavailable or SourceInvalid."""
        deadline = time.monotonic() + self._limits.page
        attempts = Retrying(
            retry=retry_if_exception_type(Transient),
            stop=stop_after_attempt(self._limits.attempts) | stop_before_delay(self._limits.page),
            wait=self._pause,
            reraise=True,
        )
        try:
            return attempts(self._attempt, page, size, cursor, deadline)
        except Failure as failure:
            tried = attempts.statistics["attempt_number"]
            count = f" (attempt {tried})" if isinstance(failure, Transient) else ""
            error = failure.error(page, f"{failure.problem}{count}")
        raise error

    def close(self) -> None:
        self._server.close()
        if self._tokens:
            self._tokens.close()

    def _pause(self, state: RetryCallState) -> float:
        """Exponential backoff with jitter; longer if the server asks for it, up to ``longest_pause``."""
        failure = state.outcome.exception() if state.outcome else None
        requested = min(getattr(failure, "retry_after", 0.0), self._limits.longest_pause)
        jittered = wait_random_exponential(self._limits.pause, self._limits.longest_pause)(state)
        return max(requested, jittered, self._limits.pause / 5)

    def _attempt(self, page: int, size: int, cursor: Cursor | None, deadline: float) -> bytes:
        began, limits = time.monotonic(), self._limits
        most = min(max(size * limits.record_bytes, limits.least_body_bytes), limits.body_bytes)
        request = self._request(page, size, cursor, deadline)
        problem: Failure
        try:
            reply = self._server.ask(request, most, deadline)
            return _with_next(reply) if self.dialect.paging.next_link is True else bytes(reply.body)
        except TooLarge as failure:
            problem = Failure(f"{failure.problem}, the most for {size} records", failure.error)
        except Unauthorized as failure:
            problem = failure
            if self._tokens and self._tokens.forget(older_than=began):
                problem = Transient(failure.problem)  # the token may have been revoked before its time
        raise problem

    def _request(self, page: int, size: int, cursor: Cursor | None, deadline: float) -> requests.Request:
        paging, url = self.dialect.paging, self._url
        query = merged(paging.query(page, size), cursor or {})
        if cursor and paging.next_link and page > 1:  # it is complete, but for a key in the URL
            parts = urlsplit(url)
            query = {**parse_qs(parts.query, keep_blank_values=True), **cursor}
            url = parts._replace(query="").geturl()
        header, value = self.dialect.authorization_header, self._authorization
        if self._tokens:
            token = self._tokens.token(deadline)
            value = f"Bearer {token}" if header.lower() == "authorization" else token
        auth = None if value is None else partial(_with_header, header, value)
        sent = {"json": query} if paging.method == "POST" else {"params": query}
        return requests.Request(paging.method, url, self.dialect.headers, auth=auth, **sent)


def _with_header(name: str, value: str, request: requests.PreparedRequest) -> requests.PreparedRequest:
    request.headers[name] = value
    return request


def _with_next(reply: Reply) -> Body:
    """The body, and the query of the address that the answer's ``Link`` header calls next (RFC 8288)."""
    body, header = Body(reply.body), reply.headers.get("Link", "")
    if header.strip() and "<" not in header:  # which would be taken for the source's end
        raise Failure("its Link header holds no address in angle brackets", SourceInvalid)
    links = _LINK.findall(header)
    if addresses := [address.strip() for address, parameters in links if _is_next(parameters)]:
        with suppress(ValueError):
            body.next_query = query_of(addresses[0])
        if not body.next_query:
            raise Failure("the next address in its Link header is malformed or has no query", SourceInvalid)
    return body


def _is_next(parameters: str) -> bool:
    """By the first ``rel``: RFC 8288 has parsers ignore others."""
    relations = [value for name, value in _PARAMETER.findall(parameters) if name.lower() == "rel"]
    return bool(relations) and "next" in relations[0].strip("\"' ").lower().split()
