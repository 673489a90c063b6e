"""The Lambda Runtime API (2018-06-01) for one process, which fetches invocations here and answers them."""

import json
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from queue import SimpleQueue
from socketserver import ThreadingTCPServer

_ROOT = "/2018-06-01/runtime"


@dataclass(frozen=True)
class Invocation:
    """An invocation of the function, as the caller made it."""

    request_id: str
    function_arn: str
    payload: bytes
    trace_id: str

    def headers(self, deadline: float) -> dict[str, str]:
        """As the process gets it; the deadline is in seconds since the Unix epoch."""
        return {
            "Lambda-Runtime-Aws-Request-Id": self.request_id,
            "Lambda-Runtime-Invoked-Function-Arn": self.function_arn,
            "Lambda-Runtime-Trace-Id": self.trace_id,
            "Lambda-Runtime-Deadline-Ms": str(int(deadline * 1000)),
            "Content-Type": "application/json",
        }


@dataclass(frozen=True)
class Ready:
    """The process has loaded the function, or has finished the last invocation, and asks for the next."""


@dataclass(frozen=True)
class InitFailed:
    """The function cannot be loaded; the body is Lambda's error document."""

    body: bytes
    error_type: str


@dataclass(frozen=True)
class Answered:
    """The function's result, or its error document."""

    request_id: str
    body: bytes
    error_type: str | None  # None for a result


@dataclass(frozen=True)
class Exited:
    """The process has ended or was ended; ``status`` is negative if a signal ended it."""

    status: int


Event = Ready | InitFailed | Answered | Exited


class RuntimeApi:
    """A server on a free loopback port. What the process reports arrives in ``events``."""

    def __init__(self, events: SimpleQueue[Event], largest_payload: int) -> None:
        self._server = _Server(events, largest_payload)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def address(self) -> str:
        host, port = self._server.server_address[:2]
        return f"{host!s}:{port}"

    def submit(self, invocation: Invocation, seconds: float) -> None:
        """Queues the invocation, which may take so long, until the process asks for it."""
        self._server.current = invocation.request_id
        self._server.invocations.put((invocation, time.time() + seconds))

    def close(self) -> None:
        self._server.invocations.put(None)
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingTCPServer):  # HTTPServer would ask DNS for its own name, which can take seconds
    daemon_threads = True
    block_on_close = False  # a client that keeps its connection open must not block us

    def __init__(self, events: SimpleQueue[Event], largest_payload: int) -> None:
        self.events, self.largest_payload = events, largest_payload
        self.invocations: SimpleQueue[tuple[Invocation, float] | None] = SimpleQueue()  # with their deadlines
        self.current = ""
        super().__init__(("127.0.0.1", 0), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """A killed process may disconnect at any point; its end is detected elsewhere."""


class _Handler(BaseHTTPRequestHandler):
    """One connection of the process."""

    server: _Server
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        if self.path != f"{_ROOT}/invocation/next":
            return self._send(404)
        self.server.events.put(Ready())
        queued = self.server.invocations.get()
        if queued is None:  # the environment is being stopped
            self.close_connection = True
            return None
        invocation, deadline = queued
        return self._send(200, invocation.payload, invocation.headers(deadline))

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        error_type = self.headers.get("Lambda-Runtime-Function-Error-Type") or "Unhandled"
        match self.path.removeprefix(_ROOT).strip("/").split("/"):
            case ["init", "error"]:
                self.server.events.put(InitFailed(body, error_type))
                self._send(202)
            case ["invocation", request_id, "response" | "error" as kind] if (
                request_id == self.server.current
            ):
                failed = kind == "error"
                self._answer(Answered(request_id, body, error_type if failed else None))
            case _:
                self._send(400, b'{"errorType": "InvalidRequestID"}')

    def _answer(self, answer: Answered) -> None:
        size, most = len(answer.body), self.server.largest_payload
        if size > most:
            message = (
                f"Response payload size ({size} bytes) exceeded maximum allowed payload size ({most} bytes)."
            )
            document = {"errorType": "Function.ResponseSizeTooLarge", "errorMessage": message}
            answer = Answered(answer.request_id, json.dumps(document).encode(), document["errorType"])
        self.server.events.put(answer)
        self._send(202)

    def _send(self, status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Logs nothing: what matters is in the function's own log."""
