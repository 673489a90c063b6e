"""Stands in for the user APIs on a laptop and in tests: both dialects, over real HTTP, on 127.0.0.1.

The URL controls everything: `size` or `results`, `page`, `seed`; `bad=0.1` for a share of invalid records;
`fault=` for one of FAULTS (a name that ends in a hyphen takes a number: `status-503`, `delay-1.5`);
`times=2` limits the fault to the first two requests for that exact URL.
"""

import argparse
import contextlib
import gzip
import json
import signal
import socket
import struct
import sys
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlencode

from local import people

Headers = Mapping[str, str]
_JSON = {"Content-Type": "application/json; charset=utf-8"}
_HTML = {"Content-Type": "text/html; charset=utf-8"}
_REMEMBERED = 10_000  # requests: a stand-in that runs for weeks must not use ever more memory
_TRICKLE_SECONDS = 0.2
_HUGE_CHUNKS, _CHUNK = 3_200, b" " * 65_536  # 200 MiB


class Route(NamedTuple):
    """A dialect's path, its parameter for the number of records, and the function that writes its pages."""

    path: str
    size_name: str
    default_size: int
    write: Callable[[people.Page], bytes]


ROUTES = {
    "random-data-api": Route("/api/v2/users", "size", 100, people.random_data_api),
    "randomuser": Route("/api/1.4/", "results", 1, people.randomuser),
}


class _Handler(BaseHTTPRequestHandler):
    """One client's connection."""

    server: "_Server"
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "user-api", ""
    disable_nagle_algorithm = True  # else the body waits 40 ms for the headers to be acknowledged

    def do_GET(self) -> None:
        nth, scripted = self.server.api.receive(self.command, self.path)
        path, _, query = self.path.partition("?")
        route = next((one for one in ROUTES.values() if one.path.rstrip("/") == path.rstrip("/")), None)
        if scripted:
            self.send(*scripted)
        elif route:
            self.answer(route, dict(parse_qsl(query, keep_blank_values=True)), nth)
        else:
            self.fail(404, "unknown path")

    def answer(self, route: Route, query: Mapping[str, str], nth: int) -> None:
        try:
            page = people.page_from_query(query, route.size_name, route.default_size)
            fault, number = _fault_from_query(query, nth)
        except ValueError as wrong:
            return self.fail(400, str(wrong))
        body = route.write(replace(page, size=0) if fault == "empty" else page)
        return FAULTS[fault](self, body, number)

    def send(self, body: bytes, status: int = 200, headers: Headers = _JSON) -> None:
        self.send_head(status, {"Content-Length": str(len(body)), **headers})
        if status not in (204, 304):
            self.wfile.write(body)

    def send_head(self, status: int, headers: Headers) -> None:
        self.send_response(status)
        for name, value in {**_JSON, **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def fail(self, status: int, error: str, headers: Headers = _JSON) -> None:
        self.send(json.dumps({"error": error}).encode(), status, headers)

    def wait(self, seconds: float) -> None:
        if self.server.closing.wait(min(seconds, threading.TIMEOUT_MAX)):
            raise ConnectionAbortedError

    def log_message(self, *_: object) -> None:
        """Logs nothing: the app's own log shows how it handles the answers."""


def _delay(handler: _Handler, body: bytes, seconds: float) -> None:
    handler.wait(seconds)
    handler.send(body)


def _trickle(handler: _Handler, body: bytes, _: float) -> None:
    handler.send_head(200, {"Content-Length": str(len(body))})
    for byte in body:
        handler.wfile.write(bytes((byte,)))
        handler.wait(_TRICKLE_SECONDS)


def _truncate(handler: _Handler, body: bytes, _: float) -> None:
    handler.send_head(200, {"Content-Length": str(len(body))})
    handler.wfile.write(body[: len(body) // 2])
    handler.close_connection = True


def _reset(handler: _Handler, body: bytes, _: float) -> None:
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


def _huge(handler: _Handler, body: bytes, _: float) -> None:
    handler.send_head(200, {"Connection": "close"})  # and no length: the client cannot tell where it ends
    handler.wfile.write(b"[")
    for _ in range(_HUGE_CHUNKS):
        handler.wfile.write(_CHUNK)
    handler.wfile.write(b"]")


FAULTS: dict[str, Callable[[_Handler, bytes, float], None]] = {
    "": lambda handler, body, _: handler.send(body),
    "status-": lambda handler, body, status: handler.fail(int(status), "told to fail"),
    "retry-after-": lambda handler, body, seconds: handler.fail(429, "wait", {"Retry-After": f"{seconds:g}"}),
    "delay-": _delay,
    "trickle": _trickle,
    "truncate": _truncate,
    "truncated-json": lambda handler, body, _: handler.send(body[: len(body) // 2]),
    "html": lambda handler, body, _: handler.send(b"<!doctype html><h1>Back soon</h1>", headers=_HTML),
    "empty": lambda handler, body, _: handler.send(body),  # a body without records
    "envelope": lambda handler, body, _: handler.fail(200, "an error, although the status is 200"),
    "reset": _reset,
    "huge": _huge,
    "gzip": lambda handler, body, _: handler.send(gzip.compress(body), headers={"Content-Encoding": "gzip"}),
}


def _fault_from_query(query: Mapping[str, str], nth: int) -> tuple[str, float]:
    """A name in FAULTS and its number. Raises ValueError if there is no such fault."""
    text = query.get("fault", "")
    name = text.rstrip("0123456789.")
    has_number = name != text
    if name not in FAULTS or name.endswith("-") != has_number:
        raise ValueError(f"fault must be one of {', '.join(filter(None, FAULTS))} (after a hyphen, a number)")
    number = float(text.removeprefix(name)) if has_number else 0.0
    if name == "status-" and not 200 <= number < 600:
        raise ValueError("a status must be a number from 200 to 599")
    over = "times" in query and nth > people.whole_number(query, "times", 0)
    return ("", 0.0) if over else (name, number)


class _Server(ThreadingTCPServer):  # HTTPServer would ask DNS for its own name, which can take seconds
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, host: str, port: int, api: "UserApi") -> None:
        self.api = api
        self.closing = threading.Event()
        self.threads: dict[Any, threading.Thread] = {}
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        self.threads[request] = thread = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        thread.start()

    def shutdown_request(self, request: Any) -> None:
        self.threads.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # clients may disconnect at any time
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        self.closing.set()
        for request, thread in list(self.threads.items()):
            with contextlib.suppress(OSError):  # the client closed it first
                request.shutdown(socket.SHUT_RDWR)
            thread.join()


class UserApi:
    """The stand-in in a thread: `with UserApi() as api: requests.get(api.url("randomuser", results=5))`."""

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        self.requests: list[tuple[str, str]] = []  # (method, path with query); `times` counts here
        self._script: deque[tuple[bytes, int, Headers]] = deque()
        self._lock = threading.Lock()
        self._server = _Server(host, port, self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, dialect: str, **query: object) -> str:
        return f"http://127.0.0.1:{self.port}{ROUTES[dialect].path}{'?' if query else ''}{urlencode(query)}"

    def script(self, body: bytes, status: int = 200, headers: Headers = _JSON, times: int = 1) -> None:
        """The next ``times`` requests get exactly these bytes, whatever they ask for. Calls queue up."""
        self._script.extend([(body, status, headers)] * times)

    def receive(self, method: str, target: str) -> tuple[int, tuple[bytes, int, Headers] | None]:
        """Records a request; returns how often it has come so far, and its scripted answer, if any."""
        with self._lock:
            self.requests.append((method, target))
            del self.requests[:-_REMEMBERED]
            scripted = self._script.popleft() if self._script else None
            return self.requests.count((method, target)), scripted


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.user_api", description="Serves invented users.")
    parser.add_argument("--port", type=int, default=9000, help="0 picks a free one (default: 9000)")
    parser.add_argument("--host", default="127.0.0.1", help="0.0.0.0 in a container (default: 127.0.0.1)")
    options = parser.parse_args()
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        api = UserApi(options.port, options.host)
    except (OSError, OverflowError) as refused:
        sys.exit(f"The user API cannot listen on {options.host}:{options.port}: {refused}")
    with api:
        print("User APIs:", *map(api.url, ROUTES), flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
