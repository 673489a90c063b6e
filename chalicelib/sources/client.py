"""Fetches pages of a user API over HTTP, with retries.

Returns bytes and never parses them. Every fetch is bounded in time and size, whatever the server does.
"""

import logging
import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlsplit

import requests
import urllib3
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_after_attempt,
    stop_before_delay,
    wait_random_exponential,
)

from chalicelib import transport
from chalicelib.dialect import Dialect
from chalicelib.errors import SourceBusy, SourceInvalid, SourceUnavailable
from chalicelib.paging import Body, Cursor
from chalicelib.sources.connections import CuttableAdapter

# At DEBUG urllib3 logs the query, which may hold a key; its warnings hold headers and the whole URL.
logging.getLogger("urllib3").setLevel(logging.ERROR)

_HEADERS = {**requests.utils.default_headers(), "Accept": "application/json", "User-Agent": "decant"}
_JSON_TYPES = ("application/json", "text/json")
_CHUNK_BYTES = 65_536
_LONG_WAIT_SECONDS = 86_400
_PASSING = {requests.codes.request_timeout, requests.codes.too_many_requests}


@dataclass(frozen=True)
class Limits:
    """Limits on one page; times in seconds. ``page`` covers all attempts and pauses.

    A body may have ``record_bytes`` per requested record, but never less than ``least_body_bytes`` nor more
    than ``body_bytes``: once decoded it takes up to forty times as much memory.
    """

    connect: float = 3.05
    read: float = 10
    page: float = 45
    attempts: int = 5
    pause: float = 2
    longest_pause: float = 20
    record_bytes: int = 16 * 1024
    least_body_bytes: int = 8 * 1024 * 1024
    body_bytes: int = 32 * 1024 * 1024


class _Transient(Exception):
    """A failure that is worth a retry; ``retry_after`` is the wait that the server asked for, in seconds."""

    def __init__(self, problem: str, retry_after: float = 0, is_busy: bool = False) -> None:
        super().__init__(problem)
        self.retry_after, self.is_busy = retry_after, is_busy


class Source:
    """One user API. ``name`` is for the ledger: dialect, and URL without user, password and query."""

    def __init__(
        self,
        url: str,
        dialect: Dialect[Any],
        limits: Limits | None = None,
        authorization: str | None = None,
    ) -> None:
        """``authorization`` is the value of the dialect's header for it; it overrides a user in the URL."""
        parts = urlsplit(url)
        self.name = f"{dialect.name} {parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        self.dialect = dialect
        self._url, self._limits = url, limits or Limits()
        self._session, self._adapter = requests.Session(), CuttableAdapter()
        header = dialect.authorization_header
        self._auth = None if authorization is None else partial(_with_header, header, authorization)
        is_local = parts.scheme == "http" and transport.is_safe(url)
        self._session.trust_env = not is_local  # no proxy for this machine or its Docker network

    def fetch(self, page: int, size: int, cursor: Cursor | None = None) -> bytes:
        """The body of one page (from 1), to which the page before it gave a cursor if the API pages by them.
        Raises SourceUnavailable or SourceInvalid."""
        query = {**self.dialect.paging.query(page, size), **(cursor or {})}
        url = self._url
        if cursor and self.dialect.paging.next_link:  # whose query repeats what is in the URL's
            parts = urlsplit(url)
            query = {**parse_qs(parts.query, keep_blank_values=True), **query}
            url = parts._replace(query="").geturl()
        deadline = time.monotonic() + self._limits.page
        attempts = Retrying(
            retry=retry_if_exception_type(_Transient),
            stop=stop_after_attempt(self._limits.attempts) | stop_before_delay(self._limits.page),
            wait=self._pause,
            reraise=True,
        )
        try:
            return attempts(self._attempt, page, size, (url, query), deadline)
        except _Transient as failure:
            tried = attempts.statistics["attempt_number"]
            problem, is_busy = f"{failure} (attempt {tried})", failure.is_busy
        raise (SourceBusy if is_busy else SourceUnavailable)(page, problem)

    def close(self) -> None:
        self._session.close()
        self._adapter.close()

    def _pause(self, state: RetryCallState) -> float:
        """Exponential backoff with jitter; longer if the server asks for it, up to ``longest_pause``."""
        failure = state.outcome.exception() if state.outcome else None
        requested = min(getattr(failure, "retry_after", 0.0), self._limits.longest_pause)
        jittered = wait_random_exponential(self._limits.pause, self._limits.longest_pause)(state)
        return max(requested, jittered, self._limits.pause / 5)

    def _attempt(self, page: int, size: int, address: tuple[str, Cursor], deadline: float) -> bytes:
        """One attempt. At the deadline a timer cuts the connection, whatever the server is slow at."""
        timer = threading.Timer(deadline - time.monotonic(), self._adapter.cut)
        timer.daemon = True  # a process that a signal ends does not wait for it
        problem: Exception
        try:
            timer.start()
            with self._send(*address) as response:
                _check(response, page)
                return self._body(response, page, size, deadline)
        except _Transient as error:
            problem = error
            if error.retry_after > self._limits.page:
                problem = SourceBusy(page, f"{error}, and asks to wait {_in_words(error.retry_after)}")
        except (requests.ConnectionError, requests.Timeout) as error:
            problem = _Transient(f"no answer: {_cause(error)}")
        except urllib3.exceptions.HTTPError as error:
            problem = _Transient(f"the body was cut off: {type(error).__name__}")
        except requests.RequestException as error:
            problem = SourceUnavailable(page, f"the request failed: {type(error).__name__}")
        finally:
            timer.cancel()
        if time.monotonic() > deadline:
            problem = self._too_slow(page)
        raise problem  # outside the except clauses, since their errors hold the whole URL

    def _send(self, url: str, query: Cursor) -> requests.Response:
        """The response's head. Bypasses two of the session's methods: ``send``, which reads a redirect's body
        without a limit, and ``prepare_request``, which prefers the password of a ``.netrc`` to the URL's."""
        request = requests.Request("GET", url, _HEADERS, params=dict(query), auth=self._auth)
        prepared = request.prepare()
        settings: Any = self._session.merge_environment_settings(prepared.url, {}, True, None, None)
        return self._adapter.send(prepared, timeout=(self._limits.connect, self._limits.read), **settings)

    def _body(self, response: requests.Response, page: int, size: int, deadline: float) -> bytes:
        """Reads what has arrived, again and again, so that no trickle and no flood evades the limits."""
        body, limits = bytearray(), self._limits
        most = min(max(size * limits.record_bytes, limits.least_body_bytes), limits.body_bytes)
        while chunk := response.raw.read1(_CHUNK_BYTES, decode_content=True):
            body += chunk
            if len(body) > most:
                raise SourceInvalid(
                    page, f"the body is larger than {most} bytes, the most for {size} records"
                )
            if time.monotonic() > deadline:
                break
        if time.monotonic() > deadline:  # also if the cut looks like the end of the body
            raise self._too_slow(page)
        if not body and _may_have_broken_off(response):
            raise _Transient("the head was cut off")
        return _with_next(body, response, page) if self.dialect.paging.next_link else bytes(body)

    def _too_slow(self, page: int) -> SourceUnavailable:
        return SourceUnavailable(page, f"it took longer than {self._limits.page} s")


def _cause(error: requests.RequestException) -> str:
    """The class of what is behind it, if known, such as ``NameResolutionError``."""
    behind = error.args[0] if error.args else None
    behind = getattr(behind, "reason", behind)
    return type(behind if isinstance(behind, Exception) else error).__name__


def _with_header(name: str, value: str, request: requests.PreparedRequest) -> requests.PreparedRequest:
    request.headers[name] = value
    return request


def _check(response: requests.Response, page: int) -> None:
    """Raises unless this is a 200 with JSON."""
    status = response.status_code
    if status in _PASSING or status >= requests.codes.server_error:
        wait = _retry_after(response.headers.get("Retry-After", ""))
        raise _Transient(f"status {status}", wait, is_busy=status == requests.codes.too_many_requests)
    if response.is_redirect:
        raise SourceUnavailable(page, f"status {status}: redirects are not followed; use the final URL")
    if status != requests.codes.ok:
        raise SourceUnavailable(page, f"status {status}")
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in _JSON_TYPES and not kind.endswith("+json"):
        if _may_have_broken_off(response):
            raise _Transient("the head was cut off")
        raise SourceInvalid(page, "the Content-Type of the answer is not JSON")


def _may_have_broken_off(response: requests.Response) -> bool:
    """Whether the head may be cut short: it gives no end of the body, and http.client accepts a cut head."""
    headers = response.headers
    has_length = headers.get("Content-Length", "").isdigit()
    return not (has_length or "Transfer-Encoding" in headers or "Connection" in headers)


def _with_next(body: bytearray, response: requests.Response, page: int) -> Body:
    """The body, and the query of the address that the answer's ``Link`` header calls next (RFC 8288)."""
    found = Body(body)
    for link in requests.utils.parse_header_links(response.headers.get("Link", "")):
        parameters = {name.lower(): value for name, value in link.items()}
        if "next" in parameters.get("rel", "").lower().split():
            try:
                found.next_query = parse_qs(urlsplit(parameters["url"]).query, keep_blank_values=True)
                return found
            except ValueError:
                break
    else:
        return found
    raise SourceInvalid(page, "the next address in its Link header is malformed")


def _in_words(seconds: float) -> str:
    """A wait. The source chose the number, so a long one is not repeated: it could be any number."""
    return f"{seconds:,.0f} s" if seconds < _LONG_WAIT_SECONDS else "more than a day"


def _retry_after(header: str) -> float:
    """Seconds from a Retry-After header, which holds seconds or a date; 0 if it holds neither."""
    if header.isascii() and header.isdigit():
        return float(header)
    try:
        return (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
    except (OverflowError, TypeError, ValueError):
        return 0.0
