"""Access tokens for an API that wants them: OAuth 2.0, with client credentials (RFC 6749, section 4.4), a
signed assertion, or client credentials that are one (RFC 7523, sections 2.1 and 2.2).
"""

import math
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import parse_qs, quote_plus, unquote, urlsplit

import msgspec
import requests

from chalicelib.errors import ConfigError, SourceInvalid
from chalicelib.sources.exchange import Failure, Limits, Reply, Server

if TYPE_CHECKING:
    from chalicelib.sources.assertions import Signer

_MOST_BYTES = 65_536
_RENEWED_AFTER = 0.9  # of its life
_CLIENT_CREDENTIALS = "client_credentials"
_JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_CLIENT_ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

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


class AccessTokens:
    """Exchanges an id, and a secret or an assertion, for an access token, which is kept in memory while it is
    valid."""

    def __init__(self, url: str, limits: Limits, key: str | None = None) -> None:
        """``url`` is the token endpoint, with id and secret as user and password. What its query holds, such
        as a ``scope``, is sent in the request's body. With a private ``key`` in place of a secret, an
        assertion is sent, and these are its claims, unless they choose the client credentials grant. Raises
        ConfigError for a malformed key, or for both."""
        parts = urlsplit(url)
        if key and parts.password:
            raise ConfigError("SOURCE_TOKEN_URL", "must hold no secret if SOURCE_TOKEN_KEY is set")
        self._server = Server(url, limits)
        self._url = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="").geturl()
        self._query, self._id = parse_qs(parts.query), unquote(parts.username or "")
        self._signer = _signer(key) if key else None
        user = [quote_plus(unquote(part)) for part in (parts.username or "", parts.password or "")]
        self._auth = requests.auth.HTTPBasicAuth(*user) if parts.username and not key else None
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
        request = requests.Request("POST", self._url, data=self._form(), auth=self._auth)
        codes = requests.codes
        accepted = (codes.ok, codes.bad_request, codes.unauthorized, codes.forbidden)
        granted = _granted(self._server.ask(request, _MOST_BYTES, deadline, accepted))
        now, life = time.monotonic(), granted.expires_in
        return _AccessToken(
            granted.access_token, now, math.inf if life is None else now + life * _RENEWED_AFTER
        )

    def _form(self) -> dict[str, Any]:
        if self._signer is None:
            return {"grant_type": _CLIENT_CREDENTIALS, **self._query}
        rest = {name: values[-1] for name, values in self._query.items()}
        key_id, claims = rest.pop("kid", None), {"iss": self._id, "aud": self._url}
        if rest.get("grant_type") != _CLIENT_CREDENTIALS:
            return {"grant_type": _JWT_BEARER, "assertion": self._signer.assertion(claims | rest, key_id)}
        claims |= {"sub": self._id, "aud": rest.pop("aud", self._url)}
        assertion = self._signer.assertion(claims, key_id)
        return {**rest, "client_assertion_type": _CLIENT_ASSERTION, "client_assertion": assertion}


def _signer(key: str) -> "Signer":
    from chalicelib.sources.assertions import Signer  # late: most APIs want no assertion

    return Signer(key)


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
