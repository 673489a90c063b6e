"""A user API that answers with exactly the given bytes, including the status line, and then misbehaves."""

import contextlib
import socket
import struct
import threading
from collections import deque
from socketserver import BaseRequestHandler, ThreadingTCPServer
from typing import Literal, NamedTuple, Self

from local.user_api import ROUTES

_HEAD_END = b"\r\n\r\n"


class Answer(NamedTuple):
    """The bytes to send, and what happens to the connection afterwards."""

    sent: bytes
    then: Literal["close", "reset", "hold"] = "close"


def answer(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """A complete answer; header names are written with underscores. Any part of it may be invalid."""
    head = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Connection": "close"}
    head |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in head.items())]
    return "\r\n".join(lines).encode() + _HEAD_END + body


class _Talk(BaseRequestHandler):
    server: "_Server"

    def handle(self) -> None:
        head = b""
        while _HEAD_END not in head:
            received = self.request.recv(65_536)
            if not received:
                return
            head += received
        sent, then = self.server.source.receive(head)
        self.request.sendall(sent)
        if then == "hold":
            self.server.source.holding.set()
            self.server.source.closing.wait()
        elif then == "reset":
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.request.close()


class _Server(ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, source: "Source") -> None:
        self.source = source
        super().__init__(("127.0.0.1", 0), _Talk)

    def shutdown_request(self, request: socket.socket) -> None:  # type: ignore[override]
        with contextlib.suppress(OSError):  # it was reset
            super().shutdown_request(request)


class Source:
    """One answer per connection, in the order of the script; after that, a 404."""

    def __init__(self) -> None:
        self.heads: list[bytes] = []  # the requests received
        self.holding, self.closing = threading.Event(), threading.Event()
        self._script = deque[Answer]()
        self._server = _Server(self)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, dialect: str) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}{ROUTES[dialect].path}"

    def script(self, *answers: Answer) -> None:
        """Replaces the rest of the previous script."""
        self.holding.clear()
        self._script = deque(answers)

    def receive(self, head: bytes) -> Answer:
        self.heads.append(head)
        return self._script.popleft() if self._script else Answer(answer(b"", "404 Not Found"))
