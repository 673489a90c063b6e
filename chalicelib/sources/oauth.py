"""Access tokens for an API that wants them: OAuth 2.0 client credentials (RFC 6749, section 4.4)."""

import math
import time
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import parse_qs, quote_plus, unquote, urlsplit

import msgspec
import requests

from chalicelib.errors import SourceInvalid
from chalicelib.sources.exchange import Failure, Limits, Reply, Server

_MOST_BYTES = 65_536
_RENEWED_AFTER = 0.9  # of its life

# RFC 6749, sections 4.1.2.1 and 5.2, and RFC 8707. Other words of the server are not repeated.
_ERRORS = (
    "access_denied",
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_target",
)


@dataclass(frozen=True)
class _Granted:
    """The answer of a token endpoint. Some call the type BearerToken, and send the seconds as text."""

    access_token: Annotated[str, msgspec.Meta(pattern=r"^[!-~]+\Z")] = field(repr=False)
    token_type: Annotated[str, msgspec.Meta(pattern=r"^(?i:bearer(token)?)\Z")] | None = None
    expires_in: Annotated[float, msgspec.Meta(ge=0)] | None = None


@dataclass(frozen=True)
class _AccessToken:
    """A token, with two times on the monotonic clock."""

    text: str = field(repr=False)
    fetched_at: float
    renew_at: float


_NO_TOKEN = _AccessToken("", -math.inf, -math.inf)


class ClientCredentials:
    """Exchanges an id and a secret for an access token, which is kept in memory while it is valid."""

    def __init__(self, url: str, limits: Limits) -> None:
        """``url`` is the token endpoint, with id and secret as user and password. What its query holds, such
        as a ``scope``, is sent in the request's body."""
        parts = urlsplit(url)
        self._server = Server(url, limits)
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
        self._form = {"grant_type": ["client_credentials"], **parse_qs(parts.query)}
        user = [quote_plus(unquote(part)) for part in (parts.username or "", parts.password or "")]
        self._auth = requests.auth.HTTPBasicAuth(*user) if parts.username else None
        self._token = _NO_TOKEN

    def token(self, deadline: float) -> str:
        """The token; one is fetched before ``deadline`` (monotonic) if there is none. Raises Failure."""
        token = self._token  # which another thread may forget
        if time.monotonic() >= token.renew_at:
            try:
                token = self._token = self._fetched(deadline)
            except Failure as failure:
                failure.problem = f"the token endpoint: {failure.problem}"
                raise
        return token.text

    def forget(self, older_than: float) -> bool:
        """The next request is made with another token. Whether this one was fetched before that time."""
        is_older = self._token.fetched_at < older_than
        self._token = _NO_TOKEN
        return is_older

    def close(self) -> None:
        self._server.close()

    def _fetched(self, deadline: float) -> _AccessToken:
        request = requests.Request("POST", self._url, data=self._form, auth=self._auth)
        codes = requests.codes
        accepted = (codes.ok, codes.bad_request, codes.unauthorized, codes.forbidden)
        granted = _granted(self._server.ask(request, _MOST_BYTES, deadline, accepted))
        now, life = time.monotonic(), granted.expires_in
        return _AccessToken(
            granted.access_token, now, math.inf if life is None else now + life * _RENEWED_AFTER
        )


def _granted(reply: Reply) -> _Granted:
    if reply.status != requests.codes.ok:
        raise Failure(f"status {reply.status}{_reason(reply.body)}")
    try:
        return msgspec.json.decode(reply.body, type=_Granted, strict=False)
    except (ValueError, RecursionError):
        pass  # whose text may hold a part of the answer
    raise Failure("its answer holds no Bearer token", SourceInvalid)


def _reason(body: bytearray) -> str:
    try:
        code = msgspec.json.decode(body)["error"]
    except (ValueError, RecursionError, LookupError, TypeError):
        return ""
    return f" ({code})" if code in _ERRORS else ""
