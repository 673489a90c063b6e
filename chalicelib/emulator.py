"""Makes Chalice's emulator of API Gateway answer as the deployed API does. Not loaded in a Lambda.

Deployed, the gateway's own answers (no such path, no key, …) are problem documents by its template, and HEAD
has no body. Chalice's emulator (`chalice local`, `chalice.test`) knows neither, so it is corrected here.
"""

import sys
from http import HTTPStatus
from typing import Any

from chalicelib.answers import SECURITY, problem
from chalicelib.routes import LARGEST_BODY_BYTES

_TITLES = {401: "A key is needed", 403: "The key does not open this", 404: "No such path"}
_BODILESS = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}


def correct() -> None:
    """Corrects the emulator, if it is what runs this process."""
    emulator: Any = sys.modules.get("chalice.local")
    if emulator is None or hasattr(emulator, "corrected_by_decant"):
        return
    emulator.corrected_by_decant = True
    _correct_gateway(emulator)
    _correct_server(emulator)


def _refusal(status: int, request_id: str, **headers: str) -> dict[str, Any]:
    title = _TITLES.get(status) or HTTPStatus(status).phrase
    answer = problem(status, title, request_id=request_id)
    answer.headers |= {**SECURITY, **headers, "X-Request-Id": request_id}
    return answer.to_dict()


def _correct_gateway(emulator: Any) -> None:
    """Unknown paths, unknown methods and refused keys become problem documents."""
    original = emulator.LocalGateway.handle_request

    def handle_request(self: Any, method: str, path: str, headers: Any, body: Any) -> dict[str, Any]:
        request_id = self._generate_lambda_context().aws_request_id
        try:
            route = self.event_converter._route_matcher.match_route(path).route
        except ValueError:
            return _refusal(404, request_id)
        methods = sorted(self._app_object.routes[route])
        if method == "OPTIONS" and not any(entry.cors for entry in self._app_object.routes[route].values()):
            return {**_refusal(204, request_id, Allow=", ".join([*methods, "OPTIONS"])), "body": ""}
        if method not in methods and method != "OPTIONS":
            return _refusal(405, request_id, Allow=", ".join(methods))
        try:
            answer: dict[str, Any] = original(self, method, path, headers, body)
        except emulator.LocalGatewayException as refused:
            challenge = {"WWW-Authenticate": "Bearer"} if refused.CODE == HTTPStatus.UNAUTHORIZED else {}
            return _refusal(refused.CODE, request_id, **challenge)
        return answer

    emulator.LocalGateway.handle_request = handle_request


def _correct_server(emulator: Any) -> None:
    """HEAD and 304 have no body, a body has a limit, and no path as sent gets into a log."""
    handler = emulator.ChaliceRequestHandler
    original_handle, original_send = handler._generic_handle, handler._send_http_response_with_body

    def generic_handle(self: Any) -> None:
        length = self.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or "transfer-encoding" in self.headers:
            return refuse(self, 411)
        if int(length) > LARGEST_BODY_BYTES:
            return refuse(self, 413)
        return original_handle(self)  # type: ignore[no-any-return]

    def refuse(self: Any, status: int) -> None:
        self.close_connection = True  # what follows is the body that is not read
        answer = _refusal(status, self.local_gateway._generate_lambda_context().aws_request_id)
        self._send_http_response(status, answer["headers"] | {"Connection": "close"}, answer["body"])

    def send_with_body(self: Any, status: int, headers: Any, body: str | bytes) -> None:
        if self.command != "HEAD" and status not in _BODILESS:
            return original_send(self, status, headers, body)  # type: ignore[no-any-return]
        self.send_response(status)
        if self.command == "HEAD":
            encoded = body if isinstance(body, bytes) else body.encode()
            self.send_header("Content-Length", str(len(encoded)))
        return self._send_headers(headers)  # type: ignore[no-any-return]

    handler._send_http_response_with_body = send_with_body
    handler.log_message = lambda *_: None  # the app logs each request by its route's pattern
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY"):
        setattr(handler, f"do_{method}", generic_handle)
    emulator.ThreadedHTTPServer.request_queue_size = 128
