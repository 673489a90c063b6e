"""A Lambda for the tests: AWS's own runtime client over an unpacked package, and a server that feeds it.

The interpreter sees the package, what AWS's runtime provides (its client, boto3), and the standard library.
"""

import json
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import Future
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.metadata import distribution
from pathlib import Path
from queue import Queue
from typing import Any

from packaging.requirements import Requirement

_BROUGHT_BY_AWS = ("awslambdaric", "boto3")


class Lambda:
    """One execution environment of a function. It lasts until the end of the with-block."""

    def __init__(self, package: Path, runtime: Path, handler: str, environment: dict[str, str]) -> None:
        self._package, self._runtime, self._handler = package, runtime, handler
        self._environment = environment
        self._events: Queue[tuple[str, bytes] | None] = Queue()
        self._answers: dict[str, Future[Any]] = {}

    def __enter__(self) -> "Lambda":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_for(self))
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        paths = [str(self._package), str(self._runtime)]
        start = "from awslambdaric.__main__ import main; main(sys.argv)"
        script = f"import sys; sys.path[:0] = {paths!r}; {start}"
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", script, self._handler],
            cwd=self._package,
            env=self._environment
            | {
                "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self._server.server_port}",
                "AWS_LAMBDA_FUNCTION_NAME": "decant-prod",
                "AWS_REGION": "us-east-1",
                "LAMBDA_TASK_ROOT": str(self._package),
            },
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._events.put(None)
        self._server.shutdown()
        self._server.server_close()

    def __call__(self, event: Any, seconds: float = 60) -> Any:
        """Returns what the function returns; raises the error with which it or its start-up failed."""
        request, answer = str(uuid.uuid4()), Future[Any]()
        self._answers[request] = answer
        self._events.put((request, json.dumps(event).encode()))
        return answer.result(seconds)

    def next_event(self) -> tuple[str, bytes] | None:
        return self._events.get()

    def set_answer(self, path: str, body: bytes) -> None:
        if path.endswith("/response"):
            self._answers[path.split("/")[-2]].set_result(json.loads(body))
        else:  # an error of an event or of the start-up
            for answer in self._answers.values():
                if not answer.done():
                    answer.set_exception(AssertionError(body.decode()))


def _handler_for(function: Lambda) -> type[BaseHTTPRequestHandler]:
    class RuntimeApi(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            event = function.next_event()
            if event is None:
                self.close_connection = True
                return
            request, body = event
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Lambda-Runtime-Aws-Request-Id", request)
            self.send_header("Lambda-Runtime-Deadline-Ms", str(int(time.time() * 1000) + 60_000))
            self.send_header("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:0:function:it")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            function.set_answer(self.path, self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(202)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    return RuntimeApi


def link_runtime(folder: Path) -> None:
    """Fills the folder with what AWS's runtime provides, as symlinks into this environment."""
    for name, place in set(_tops(set(_BROUGHT_BY_AWS))):
        (folder / name).symlink_to(place)


def _tops(wanted: set[str]) -> Iterator[tuple[str, Path]]:
    seen = set[str]()
    while wanted - seen:
        name = (wanted - seen).pop()
        seen.add(name)
        found = distribution(name)
        requirements = map(Requirement, found.requires or ())
        wanted |= {one.name for one in requirements if not one.marker or one.marker.evaluate({"extra": ""})}
        for file in found.files or ():
            top = file.parts[0]
            if top not in {"..", "__pycache__"} and not top.endswith(".dist-info"):
                yield top, Path(str(found.locate_file(top)))
