"""Wraps every route in app.py: access, input checks, and the HTTP side's one exception boundary.

Of an unexpected exception, the caller gets the request id alone; the log has its type and place.
"""

import functools
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from chalice.app import AuthResponse, AuthRoute, Chalice, CORSConfig, Request, Response
from msgspec import Struct

from chalicelib import answers, forms, telemetry
from chalicelib.access import key_name, scopes_of
from chalicelib.errors import ConfigError, RequestError, safe

LARGEST_BODY_BYTES = 65_536

# msgspec's names for kinds of values, in words; JSON has one kind of number.
_KINDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "null": "null",
    "object": "an object",
    "str": "text",
}
_PART = re.compile(r"(\w+)\[(\w+)\]")  # of a parameter that is an object, as in custom[language]
_NOWHERE = AuthRoute("/nowhere", ["GET"])  # a policy must allow something, even for a key that opens no route
_log = logging.getLogger("decant.gate")

Handler = Callable[..., Response]


@dataclass(frozen=True)
class Route:
    """A route as declared: what it takes and returns, the scope it needs. OpenAPI is built from these."""

    method: str
    path: str
    handler: Handler
    scope: str | None = None
    query: type[Struct] = forms.NoQuery
    body: type[Struct] | None = None
    returns: type[Struct] | None = None
    status: int = 200
    media: str = answers.JSON

    @property
    def methods(self) -> list[str]:
        """HEAD answers wherever GET does."""
        return ["GET", "HEAD"] if self.method == "GET" else [self.method]

    @property
    def parameters(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)


class Routes:
    """Registers handlers with Chalice, each behind its scope and within the boundary.

    A handler gets the request, the checked query (and body, if the route takes one), and the path's
    parameters. A route without a scope is open to all.
    """

    def __init__(self, app: Chalice, authorizer: Any, allowed_origin: str | None) -> None:
        self._app, self._authorizer = app, authorizer
        app.api.binary_types = []  # no answer is binary, so Chalice need not check any
        self._cors = cors_of(allowed_origin) if allowed_origin else None
        self.all: list[Route] = []

    def __call__(self, method: str, path: str, **declared: Any) -> Callable[[Handler], Handler]:
        def register(handler: Handler) -> Handler:
            route = Route(method, path, handler, **declared)
            self.all.append(route)
            authorizer = self._authorizer if route.scope else None
            decorator = self._app.route(
                path,
                methods=route.methods,
                authorizer=authorizer,
                cors=self._cors,
                content_types=[],  # any: ``_body`` refuses what does not fit, with a problem document
            )
            decorator(_guarded(self._app, route))
            return handler

        return register

    def authorize(self, authorization: str, api_keys: Callable[[], Any]) -> AuthResponse:
        """The routes that the key in the header opens. An unknown key is answered like one without the scope.

        If the configured keys cannot be read, no key opens anything; the log says why.
        """
        try:
            scopes = scopes_of(authorization, api_keys())
        except ConfigError as error:
            _log.error("API keys cannot be checked: %s", error)
            scopes = frozenset()
        allowed: list[str | AuthRoute] = [
            AuthRoute(re.sub(r"{\w+}", "*", route.path), route.methods)
            for route in self.all
            if route.scope in scopes
        ]
        return AuthResponse(routes=allowed or [_NOWHERE], principal_id=key_name(authorization))


def cors_of(allowed_origin: str) -> CORSConfig:
    """What pages of this origin may send and read."""
    return CORSConfig(
        allow_origin=allowed_origin,
        allow_headers=["Authorization", "If-None-Match"],
        expose_headers=["ETag", "Link", "Location", "X-Data-Source", "X-Request-Id"],
        max_age=600,
    )


def _guarded(app: Chalice, route: Route) -> Handler:
    @functools.wraps(route.handler)
    def guarded(**parameters: str) -> Response:
        started = time.perf_counter()
        request: Any = app.current_request
        request_id = _request_id(request)
        try:
            answer = route.handler(request, **_path_parameters(parameters), **_inputs(route, request))
        except Exception as error:  # noqa: BLE001  the one boundary: its text may hold a personal value
            answer = answers.problem_of(safe(error), request_id)
        answer.headers = {**answers.SECURITY, **answer.headers, "X-Request-Id": request_id}
        telemetry.log_request(
            f"{route.method} {route.path}",
            answer.status_code,
            started,
            request_id=request_id,
            caller=(request.context.get("authorizer") or {}).get("principalId"),
            data_source=answer.headers.get("X-Data-Source"),
        )
        return answer

    return guarded


def _request_id(request: Any) -> str:
    """API Gateway's id of the request, else the invocation's. Its ``requestId`` may be the caller's."""
    return str(request.context.get("extendedRequestId") or request.lambda_context.aws_request_id)


def _path_parameters(parameters: Mapping[str, str]) -> dict[str, str]:
    """The path parameters, in lower case; none reaches a store or a folder unless it matches its pattern."""
    lowered = {name: value.lower() for name, value in parameters.items()}
    for name, value in lowered.items():
        form = forms.PATH_PARAMETERS.get(name, forms.UUID)
        if not re.fullmatch(form.pattern, value):
            raise RequestError(400, "Malformed path", form.rule)
    return lowered


def _inputs(route: Route, request: Request) -> dict[str, Any]:
    """The query and the body, checked."""
    query = _query(route.query, request.query_params)
    return {"query": query} if route.body is None else {"query": query, "body": _body(route.body, request)}


def _query(form: type[Struct], parameters: Any) -> Any:
    if not parameters:
        return form()  # no parameter is required anywhere
    values, within = dict[str, Any](), dict[str, Any]()
    for name in parameters:
        if len(parameters.getlist(name)) > 1:
            raise RequestError(400, "Malformed query", "a parameter may be given only once")
        if part := _PART.fullmatch(name):
            within.setdefault(part[1], {})[part[2]] = parameters[name]
        else:
            values[name] = parameters[name]
    if values.keys() & within.keys():
        raise RequestError(400, "Malformed query", "a parameter may be given only once")
    values |= within
    if isinstance(limit := values.get("limit"), str) and re.fullmatch(r"[0-9]{1,9}", limit):
        values["limit"] = int(limit)
    return _checked(lambda: msgspec.convert(values, form), form, "query")


def _body(form: type[Struct], request: Request) -> Any:
    kind = request.headers.get("content-type", answers.JSON).partition(";")[0].strip().lower()
    if kind != answers.JSON:
        raise RequestError(415, "Unsupported media type", f"the body must be {answers.JSON}")
    if len(raw := request.raw_body) > LARGEST_BODY_BYTES:
        raise RequestError(413, "Body too large", f"the body must not exceed {LARGEST_BODY_BYTES} bytes")
    return _checked(lambda: msgspec.json.decode(raw, type=form), form, "body")


def _checked(convert: Callable[[], Any], form: type[Struct], what: str) -> Any:
    """What was sent, as its form; an error names the field and the rule, and never repeats what was sent."""
    try:
        return convert()
    except msgspec.ValidationError as error:
        rule = _rule(str(error), form.__struct_fields__)
    except (ValueError, RecursionError):
        rule = f"the {what} cannot be read"
    raise RequestError(400, f"Malformed {what}", rule)


def _rule(message: str, fields: tuple[str, ...]) -> str:
    """msgspec's message in plain words, without field names that the caller made up."""
    if message.startswith("Object contains unknown field"):
        return f"unknown field; allowed: {', '.join(fields) or 'none'}"
    rule, _, path = message.partition(" - at `$")
    rule = "unknown value" if rule.startswith("Invalid enum value") else rule  # which names the value
    rule = re.sub(r"\.0\b", "", rule).replace("`float` that's a multiple of 1", "a whole number")
    rule = re.sub(r"`(\w+)`", lambda kind: _KINDS.get(kind[1], kind[0]), rule.removesuffix(", got `str`"))
    named = re.match(r"\.(\w+)(\[\.\.\.\])?`", path)
    return f"{named.group(1)}: {rule}" if named and named.group(1) in fields else rule
