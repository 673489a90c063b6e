"""Stands in for the user APIs on a laptop and in tests: both dialects, over real HTTP, on 127.0.0.1 only.

The URL decides everything: `size` or `results`, `page`, `seed`; `bad=0.1` for a share of invalid records;
`fault=` for one of FAULTS (a name that ends in a hyphen wants a number: `status-503`, `delay-1.5`), and
`times=2` lets only the first two requests of that very URL meet it.
"""

import argparse
import contextlib
import gzip
import json
import math
import signal
import socket
import struct
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler
from socketserver import ThreadingTCPServer
from typing import Any, NamedTuple, Self
from urllib.parse import parse_qsl, urlencode, urlsplit

from local import people

_JSON = {"Content-Type": "application/json; charset=utf-8"}
_HTML = {"Content-Type": "text/html; charset=utf-8"}
_MAX_SIZE, _MAX_NUMBER, _MAX_DELAY_SECONDS = 5_000, 10**9, 3_600.0
_REMEMBERED = 10_000  # requests: a stand-in that runs for weeks must not grow
_TRICKLE_SECONDS = 0.2
_HUGE_CHUNKS, _CHUNK = 3_200, b" " * 65_536  # 200 MiB


class Door(NamedTuple):
    """Where a dialect is served, what it calls the number of records, and how it wraps them."""

    path: str
    size_name: str
    default_size: int
    render: people.Render
    wrap: Callable[["Asked", list[object]], object]


@dataclass(frozen=True)
class Asked:
    """A request, understood."""

    door: Door
    seed: str
    page: int
    size: int
    bad: float
    fault: str
    number: float
    times: float

    def body(self) -> bytes:
        records = people.page(self.door.render, self.seed, self.page, self.size, self.bad)
        text = json.dumps(self.door.wrap(self, records), ensure_ascii=False, separators=(",", ":"))
        return text.encode("utf-8", "backslashreplace")  # half a surrogate pair becomes its JSON escape

    def half_body(self) -> bytes:
        body = self.body()
        return body[: len(body) // 2]


def _envelope(asked: Asked, records: list[object]) -> object:
    info = {"seed": asked.seed, "results": len(records), "page": asked.page, "version": "1.4"}
    return {"results": records, "info": info}


DOORS = {
    "random-data-api": Door(
        "/api/v2/users", "size", 100, people.random_data_api, lambda asked, records: records
    ),
    "randomuser": Door("/api/1.4/", "results", 1, people.randomuser, _envelope),
}


def _understand(target: str) -> Asked | None:
    """None if nothing lives at that path; a ValueError if the query makes no sense."""
    url = urlsplit(target)
    door = next((door for door in DOORS.values() if door.path.rstrip("/") == url.path.rstrip("/")), None)
    if door is None:
        return None
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    fault, number = _fault(query.get("fault", ""))
    return Asked(
        door=door,
        seed=query.get("seed", "decant"),
        page=_whole(query, "page", 1),
        size=min(_whole(query, door.size_name, door.default_size), _MAX_SIZE),
        bad=_share(query.get("bad", "0")),
        fault=fault,
        number=number,
        times=_whole(query, "times", 0) if "times" in query else math.inf,
    )


def _whole(query: Mapping[str, str], name: str, default: int) -> int:
    """A number that is not below its default, or for the size not below one."""
    text, least = query.get(name, str(default)), min(default, 1)
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= _MAX_NUMBER):
        raise ValueError(f"{name} must be a whole number from {least} to {_MAX_NUMBER}")
    return int(text)


def _share(text: str) -> float:
    share = float(text)
    if not 0 <= share <= 1:
        raise ValueError("bad must be a share from 0 to 1")
    return share


def _fault(text: str) -> tuple[str, float]:
    name = text.rstrip("0123456789.")
    has_number = name != text
    if name not in FAULTS or name.endswith("-") != has_number:
        raise ValueError(f"fault must be one of {', '.join(filter(None, FAULTS))} (after a hyphen, a number)")
    number = float(text.removeprefix(name)) if has_number else 0.0
    if name == "status-" and not 200 <= number < 600:
        raise ValueError("a status must be a number from 200 to 599")
    return name, number


class _Talk(BaseHTTPRequestHandler):
    """One client's connection."""

    server: "_Server"
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "user-api", ""
    disable_nagle_algorithm = True  # else the body waits 40 ms for the headers to be acknowledged

    def do_GET(self) -> None:
        nth, scripted = self.server.api.receive(self.command, self.path)
        if scripted:
            return self.send(*scripted)
        try:
            asked = _understand(self.path)
        except ValueError as wrong:
            return self.fail(400, str(wrong))
        if asked is None:
            return self.fail(404, "nothing lives here")
        return FAULTS[asked.fault if nth <= asked.times else ""](self, asked)

    def send(self, body: bytes, status: int = 200, headers: Mapping[str, str] = _JSON) -> None:
        self.send_head(status, {"Content-Length": str(len(body))} | headers)
        if status not in (204, 304):
            self.wfile.write(body)

    def send_head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in (_JSON | headers).items():
            self.send_header(name, value)
        self.end_headers()

    def fail(self, status: int, error: str, **headers: str) -> None:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.send(json.dumps({"error": error}).encode(), status, named)

    def wait(self, seconds: float) -> None:
        if self.server.closing.wait(min(seconds, _MAX_DELAY_SECONDS)):
            raise ConnectionAbortedError

    def log_message(self, *_: object) -> None:
        """Says nothing: the app's own log tells what it makes of the answers."""


def _delay(talk: _Talk, asked: Asked) -> None:
    talk.wait(asked.number)
    talk.send(asked.body())


def _trickle(talk: _Talk, asked: Asked) -> None:
    body = asked.body()
    talk.send_head(200, {"Content-Length": str(len(body))})
    for byte in body:
        talk.wfile.write(bytes((byte,)))
        talk.wait(_TRICKLE_SECONDS)


def _truncate(talk: _Talk, asked: Asked) -> None:
    talk.send_head(200, {"Content-Length": str(len(asked.body()))})
    talk.wfile.write(asked.half_body())
    talk.close_connection = True


def _reset(talk: _Talk, asked: Asked) -> None:
    talk.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    talk.rfile.close()  # the socket closes with its last user, and this is one
    talk.connection.close()
    talk.close_connection = True


def _huge(talk: _Talk, asked: Asked) -> None:
    talk.send_head(200, {"Connection": "close"})  # and no length: nobody can tell where it ends
    talk.wfile.write(b"[")
    for _ in range(_HUGE_CHUNKS):
        talk.wfile.write(_CHUNK)
    talk.wfile.write(b"]")


FAULTS: dict[str, Callable[[_Talk, Asked], None]] = {
    "": lambda talk, asked: talk.send(asked.body()),
    "status-": lambda talk, asked: talk.fail(int(asked.number), "told to fail"),
    "retry-after-": lambda talk, asked: talk.fail(429, "told to wait", Retry_After=f"{asked.number:g}"),
    "delay-": _delay,
    "trickle": _trickle,
    "truncate": _truncate,
    "truncated-json": lambda talk, asked: talk.send(asked.half_body()),
    "html": lambda talk, asked: talk.send(b"<!doctype html><h1>Back soon</h1>", headers=_HTML),
    "empty": lambda talk, asked: talk.send(replace(asked, size=0).body()),
    "envelope": lambda talk, asked: talk.fail(200, "it went wrong, and the status does not say so"),
    "reset": _reset,
    "huge": _huge,
    "gzip": lambda talk, asked: talk.send(gzip.compress(asked.body()), headers={"Content-Encoding": "gzip"}),
}


class _Server(ThreadingTCPServer):  # HTTPServer would ask DNS for its own name, which can take seconds
    allow_reuse_address = True
    request_queue_size = 128

    def __init__(self, port: int, api: "UserApi") -> None:
        self.api = api
        self.closing = threading.Event()
        self.talks: dict[Any, threading.Thread] = {}
        super().__init__(("127.0.0.1", port), _Talk)

    def process_request(self, request: Any, client_address: Any) -> None:
        talk = threading.Thread(
            target=self.process_request_thread, args=(request, client_address), daemon=True
        )
        self.talks[request] = talk
        talk.start()

    def shutdown_request(self, request: Any) -> None:
        self.talks.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # clients may hang up whenever they like
            super().handle_error(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        self.closing.set()
        for request, talk in list(self.talks.items()):
            with contextlib.suppress(OSError):  # the client was faster
                request.shutdown(socket.SHUT_RDWR)
            talk.join()


class UserApi:
    """The stand-in in a thread: `with UserApi() as api: requests.get(api.url("randomuser", results=5))`."""

    def __init__(self, port: int = 0) -> None:
        self.requests: list[tuple[str, str]] = []  # (method, path with query), the latest 10,000
        self._times: Counter[str] = Counter()
        self._script: deque[tuple[bytes, int, Mapping[str, str]]] = deque()
        self._lock = threading.Lock()
        self._server = _Server(port, self)
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
        return f"http://127.0.0.1:{self.port}{DOORS[dialect].path}{'?' if query else ''}{urlencode(query)}"

    def script(
        self, body: bytes, status: int = 200, headers: Mapping[str, str] = _JSON, times: int = 1
    ) -> None:
        """The next requests, whatever they ask for, get these very bytes; later calls queue behind."""
        self._script.extend([(body, status, headers)] * times)

    def receive(self, method: str, target: str) -> tuple[int, tuple[bytes, int, Mapping[str, str]] | None]:
        """Notes a request; says how often it came by now, and what the script has for it."""
        with self._lock:
            self.requests.append((method, target))
            del self.requests[:-_REMEMBERED]
            self._times[target] += 1
            if len(self._times) > _REMEMBERED:
                del self._times[next(iter(self._times))]
            return self._times[target], self._script.popleft() if self._script else None


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m local.user_api", description="Serves invented users.")
    parser.add_argument("--port", type=int, default=9000, help="0 takes a free one (default: 9000)")
    port = parser.parse_args().port
    stopped = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopped.set())
    try:
        api = UserApi(port)
    except (OSError, OverflowError) as refused:
        sys.exit(f"The user API cannot listen on 127.0.0.1:{port}: {refused}")
    with api:
        print("User APIs:", *map(api.url, DOORS), flush=True)
        stopped.wait()


if __name__ == "__main__":
    main()
