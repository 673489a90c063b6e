"""Makes Chalice's emulator of API Gateway answer as the deployed API does. Does nothing in a Lambda.

In the deployed API, infra/gateway.py makes the gateway's own answers (no such path, no key, …) problem
documents, and HEAD has no body. Chalice's emulator (`chalice local`, `chalice.test`) does neither by itself.
"""

import logging
import sys
from http import HTTPStatus
from typing import Any

from chalicelib.answers import SECURITY, refusal
from chalicelib.errors import Unforeseen
from chalicelib.gate import LARGEST_BODY_BYTES

_log = logging.getLogger("decant.emulator")

_BODILESS = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}
_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY")


def correct() -> None:
    """Corrects the emulator, if this process runs in it."""
    emulator: Any = sys.modules.get("chalice.local")
    if emulator and not hasattr(emulator, "corrected_by_decant"):
        emulator.corrected_by_decant = True
        _correct_gateway(emulator)
        _correct_requests(emulator.ChaliceRequestHandler)
        _correct_answers(emulator.ChaliceRequestHandler)
        emulator.ThreadedHTTPServer.request_queue_size = 128
        emulator.ThreadedHTTPServer.handle_error = _log_error


def _log_error(server: Any, request: Any, client_address: Any) -> None:
    """Logs an error's type and place, unless the client hung up."""
    error = sys.exc_info()[1]
    if error and not isinstance(error, ConnectionError):
        _log.error("the emulator failed: %s", Unforeseen(error))


def _correct_gateway(emulator: Any) -> None:
    """Unknown paths, unknown methods and refused keys become problem documents."""
    original = emulator.LocalGateway.handle_request

    def handle_request(self: Any, method: str, path: str, headers: Any, body: Any) -> dict[str, Any]:
        request_id = self._generate_lambda_context().aws_request_id
        cors = _cors_headers(self._app_object)
        path = _without_last_slash(path)
        try:
            pattern = self.event_converter._route_matcher.match_route(path).route
        except ValueError:
            return refusal(404, request_id, **cors)
        methods = self._app_object.routes[pattern]
        if method == "OPTIONS" and not cors:
            return refusal(204, request_id, Allow=", ".join(sorted([*methods, "OPTIONS"]))) | {"body": ""}
        if method not in methods and method != "OPTIONS":
            return refusal(405, request_id, Allow=", ".join(sorted(methods)), **cors)
        try:
            answer: dict[str, Any] = original(self, method, path, headers, body)
        except emulator.LocalGatewayException as refused:
            challenge = {"WWW-Authenticate": "Bearer"} if refused.CODE == HTTPStatus.UNAUTHORIZED else {}
            return refusal(refused.CODE, request_id, **challenge, **cors)
        answer["headers"] = {**SECURITY, "X-Request-Id": request_id, **answer["headers"]}
        return answer

    emulator.LocalGateway.handle_request = handle_request


def _cors_headers(app: Any) -> dict[str, str]:
    """The CORS headers of any route, since all have the same; none unless an origin is allowed."""
    settings = [route.cors for methods in app.routes.values() for route in methods.values() if route.cors]
    return settings[0].get_access_control_headers() if settings else {}


def _without_last_slash(path: str) -> str:
    """As API Gateway sees it. The emulator keeps the slash where it checks whether a key opens the path."""
    before, mark, query = path.partition("?")
    return (before.rstrip("/") or "/") + mark + query


def _correct_answers(handler: Any) -> None:
    """HEAD, 204 and 304 get no body; no answer or log repeats what was sent."""
    send = handler._send_http_response_with_body

    def refuse(self: Any, status: int, message: str | None = None, explain: str | None = None) -> None:
        """Also replaces the standard library's error pages, which repeat what was sent."""
        self.close_connection = True  # the body that follows is not read
        self.request_version = self.protocol_version  # whatever the request's version was
        answer = refusal(status, self.local_gateway._generate_lambda_context().aws_request_id)
        self._send_http_response(status, answer["headers"] | {"Connection": "close"}, answer["body"])

    def send_with_body(self: Any, status: int, headers: Any, body: str | bytes) -> None:
        if self.command != "HEAD" and status not in _BODILESS:
            return send(self, status, headers, body)  # type: ignore[no-any-return]
        self.send_response(status)
        if self.command == "HEAD":
            self.send_header("Content-Length", str(len(body if isinstance(body, bytes) else body.encode())))
        return self._send_headers(headers)  # type: ignore[no-any-return]

    handler._send_http_response_with_body, handler.send_error = send_with_body, refuse
    handler.log_message = lambda *_: None  # the app logs each request by its route's pattern
    handler.disable_nagle_algorithm = True  # else the body waits 40 ms for the head's ACK


class _IncompleteBody(Exception):
    """A body ended before its declared length."""


def _correct_requests(handler: Any) -> None:
    """Bodies are limited. A request whose client hangs up before all of its body is sent has no effect."""
    handle, parse = handler._generic_handle, handler._parse_payload

    def parse_payload(self: Any) -> tuple[Any, bytes | None]:
        headers, body = parse(self)
        if len(body or b"") < int(self.headers.get("content-length", 0)):
            raise _IncompleteBody
        return headers, body

    def generic_handle(self: Any) -> None:
        if status := _status_of_length(self.headers):
            self.send_error(status)
            return
        try:
            handle(self)
        except _IncompleteBody:
            self.send_error(HTTPStatus.BAD_REQUEST)

    def handle_expect_100(self: Any) -> bool:
        """Answers a client that asks before it sends its body."""
        if status := _status_of_length(self.headers):
            self.send_error(status)
            return False
        self.send_response_only(HTTPStatus.CONTINUE)
        self.end_headers()
        return True

    handler._parse_payload, handler.handle_expect_100 = parse_payload, handle_expect_100
    for method in _METHODS:
        setattr(handler, f"do_{method}", generic_handle)


def _status_of_length(headers: Any) -> int | None:
    """The status for a request whose body cannot be read, or None."""
    lengths = set(headers.get_all("content-length", ["0"]))
    length = next(iter(lengths))
    if "transfer-encoding" in headers or len(lengths) > 1 or not (length.isascii() and length.isdigit()):
        return 411
    return 413 if len(length) > 9 or int(length) > LARGEST_BODY_BYTES else None
