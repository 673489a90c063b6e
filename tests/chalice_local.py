"""`chalice local` as `make run` starts it, for tests that use the app over HTTP."""

import contextlib
import json
import socket
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from local.processes import Child, free_port
from local.run import http_server_argv
from tests.checkout import ROOT, environment
from tests.keys import API_KEY

START_SECONDS, RUN_SECONDS = 30, 30


@dataclass(frozen=True)
class Server:
    """A running `chalice local`."""

    port: int
    log: Path

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def ask(self, method, path, body=None, key=API_KEY, **headers):
        """Status, headers and body, whatever the status."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if key:
            sent["Authorization"] = f"Bearer {key}"
        if body is not None:
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        request = urllib.request.Request(self.url + path, body, sent, method=method)  # noqa: S310  our own server
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.headers, refused.read()

    def get_json(self, path):
        status, _, body = self.ask("GET", path)
        assert status == 200, body
        return json.loads(body)

    def run(self, **wanted):
        """Starts a run and returns it once it has ended."""
        run_id = json.loads(self.ask("POST", "/runs", wanted)[2])["run_id"]
        deadline = time.monotonic() + RUN_SECONDS
        while (run := self.get_json(f"/runs/{run_id}"))["status"] == "running":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return run

    def line(self):
        return contextlib.closing(socket.create_connection(("127.0.0.1", self.port), timeout=5))


@contextlib.contextmanager
def serving(folder, **chosen):
    """`chalice local` with these settings; its output goes to a log."""
    port = free_port()
    child = Child(
        "chalice local",
        [sys.executable, *http_server_argv(port)],
        env=environment(**chosen, PYTHONUNBUFFERED="1"),
        cwd=ROOT,
        log=folder / "http.log",
    )
    server = Server(port, folder / "http.log")

    def answers():
        with contextlib.suppress(OSError):
            return server.ask("GET", "/health", key=None)[0] > 0
        return False

    try:
        child.wait_until(answers, START_SECONDS)
        yield server
    finally:
        child.stop()
