"""Turns what the rooms return or raise into HTTP answers; the HTTP side's one boundary.

An error is a problem document (RFC 9457). What nobody foresaw is told by a request id alone; the log has its
type and place.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

from chalice.app import AuthResponse, AuthRoute, Chalice, Response

from chalicelib.access import scopes_of
from chalicelib.errors import ConfigError, DecantError, RequestError, StoreUnavailable, Unforeseen
from chalicelib.views import encode

_log = logging.getLogger("decant.http")

View = Callable[..., Response]

_NOWHERE = AuthRoute("/nowhere", ["GET"])  # a policy must allow something, even one that opens no door


class Routes:
    """Registers views with Chalice, each behind its scope, and guards them with the boundary.

    A view gets the request and the path's parameters. A route without a scope is open to all.
    """

    def __init__(self, app: Chalice, authorizer: Any) -> None:
        self._app, self._authorizer = app, authorizer
        self._scoped: list[tuple[str, AuthRoute]] = []

    def __call__(self, method: str, path: str, scope: str | None = None) -> Callable[[View], View]:
        if scope:
            self._scoped.append((scope, AuthRoute(_as_pattern(path), [method])))
        authorizer = self._authorizer if scope else None

        def register(view: View) -> View:
            guarded = _guarded(self._app, view)
            self._app.route(path, methods=[method], authorizer=authorizer)(guarded)
            return guarded

        return register

    def allowed(self, authorization: str, api_keys: Callable[[], Any]) -> AuthResponse:
        """What the key in the header opens; the answer to a wrong one is the same as to one without scope."""
        try:
            scopes = scopes_of(authorization, api_keys())
        except ConfigError as error:
            _log.error("no key can be checked: %s", error)
            scopes = frozenset()
        opened: list[str | AuthRoute] = [route for scope, route in self._scoped if scope in scopes]
        return AuthResponse(routes=opened or [_NOWHERE], principal_id="key")


def _as_pattern(path: str) -> str:
    return "/".join("*" if part.startswith("{") else part for part in path.split("/"))


def _guarded(app: Chalice, view: View) -> View:
    @functools.wraps(view)
    def guarded(**parameters: str) -> Response:
        request: Any = app.current_request
        try:
            answer = view(request, **parameters)
        except DecantError as error:
            answer = _problem_of(error)
        except Exception as error:  # noqa: BLE001  the one boundary: its text may hold a value
            answer = _problem_of(Unforeseen(error))
        answer.headers["X-Request-Id"] = request.lambda_context.aws_request_id
        return answer

    return guarded


def json(body: Any, status: int = 200, **headers: str) -> Response:
    """A struct, or JSON that is encoded already, as an answer; header names with _ for -."""
    encoded = body if isinstance(body, bytes) else encode(body)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Response(encoded.decode(), {"Content-Type": "application/json", **named}, status)


def problem(status: int, title: str, detail: str = "") -> Response:
    """A problem document."""
    document = {"type": "about:blank", "title": title, "status": status}
    if detail:
        document["detail"] = detail
    return Response(encode(document).decode(), {"Content-Type": "application/problem+json"}, status)


def _problem_of(error: DecantError) -> Response:
    if isinstance(error, RequestError):
        return problem(error.status, error.title, error.detail)
    _log.error("%s: %s", type(error).__name__, error)
    if isinstance(error, StoreUnavailable):
        return problem(503, "Postgres cannot be reached")
    return problem(500, "Internal error")


def uuid(text: str) -> str:
    """A path's uuid in its usual form. Raises RequestError before any store is asked."""
    try:
        return str(UUID(text))
    except ValueError:
        pass
    raise RequestError(400, "Malformed id", "the id in the path must be a UUID")


def limit(request: Any, default: int, most: int) -> int:
    """The query's ``limit``. Raises RequestError unless it is a whole number from 1 to ``most``."""
    text = (request.query_params or {}).get("limit", str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= most):
        raise RequestError(400, "Malformed limit", f"limit must be a whole number from 1 to {most}")
    return int(text)


def found(body: Any) -> Any:
    """The body, if there is one. Raises RequestError with 404 if not."""
    if body is None:
        raise RequestError(404, "Not found")
    return body
