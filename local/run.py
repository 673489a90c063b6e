"""`make run`: everything on one laptop, from the servers to the HTTP API. Leaves no process behind.

Exit status 0 after Ctrl-C or SIGTERM, 1 with one sentence if something failed.
"""

import contextlib
import http.client
import os
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from local import keys, lock, processes, settings, signals
from local.errors import LocalError, PortTaken, ServerFailed
from local.folders import ROOT, local_folder
from local.processes import how_it_ended
from local.stack import Server, Stack, record_file, stand_ins

_HEALTH_SECONDS = 60.0
_LOOK_SECONDS = 0.2
_REVIVE_SECONDS = 3.0  # a server that falls over at once should not do so many times a second
_STAYS_ALIVE_SECONDS = 10.0
_CHALICE = (
    "import sys; from chalice.cli import main; sys.exit(main())"  # its script's first line may be too long
)


def main() -> int:
    signals.note()
    try:
        folder = local_folder()
        with lock.hold(folder, "make run"), contextlib.suppress(signals.StopRequested):
            _run(folder, _port())
    except (LocalError, OSError) as error:
        print(f"make run: {error}.", file=sys.stderr)
        return 1
    print(f"\nEnded. The data stays in {folder} for the next run.")
    return 0


def _run(folder: Path, port: int) -> None:
    processes.end_recorded(record_file(folder))  # before the port is looked at: an orphan may have it
    _refuse_taken(port)
    print("Starting the servers …", flush=True)
    with stand_ins(folder, settings.chosen()) as stack:
        _migrate(stack)
        with settings.publish(folder, stack.settings):
            _ingest(stack)
            with _scheduler(stack), _http(stack, port):
                _announce(folder, stack, port)
                _watch(stack)


def _port() -> int:
    text = os.environ.get("PORT") or "8000"
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 65536:
        raise LocalError("PORT must be a number from 1 to 65535")
    return int(text)


def _refuse_taken(port: int) -> None:
    """Asks twice: some systems allow a second listener beside one on all addresses."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was just freed is free
        try:
            probe.bind(("127.0.0.1", port))
        except PermissionError:
            raise LocalError(f"port {port} needs more rights than yours; choose one above 1023") from None
        except OSError:
            raise PortTaken(port) from None
    if processes.listening(port):
        raise PortTaken(port)


def _migrate(stack: Stack) -> None:
    if _job(stack, "the migration", ["-m", "local.migrate"], "migrate.log"):
        raise ServerFailed("the migration", f"failed: {_last_line(stack.logs / 'migrate.log')}")


def _ingest(stack: Stack) -> None:
    """Its bar and report go to our terminal. What is there gets served even if the source is down."""
    if _job(stack, "the first ingest", ["-m", "local.ingest"], None):
        print("The first ingest failed; the schedule will try again.", flush=True)


def _job(stack: Stack, name: str, argv: list[str], log: str | None) -> int:
    child = stack.start(name, argv, log)
    try:
        while child.running:
            signals.check()
            time.sleep(0.02)
    finally:
        child.stop()
    return child.exit_status or 0


def _scheduler(stack: Stack) -> contextlib.AbstractContextManager[processes.Child]:
    return stack.running("the scheduler", ["-m", "local.schedule"], "scheduler.log")


@contextlib.contextmanager
def _http(stack: Stack, port: int) -> Iterator[None]:
    where = ["--host", "127.0.0.1", "--port", str(port), "--stage", "local", "--no-autoreload"]
    argv = ["-c", _CHALICE, "--project-dir", str(ROOT), "local", *where]
    with stack.running("the HTTP server", argv, "http.log") as child:
        child.wait_until(lambda: _answers(port), _HEALTH_SECONDS)
        yield


def _answers(port: int) -> bool:
    """Any status will do: without a database /health says so, and that is an answer."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(line), contextlib.suppress(OSError, http.client.HTTPException):
        line.request("GET", "/health")
        return line.getresponse().status > 0
    return False


def _announce(folder: Path, stack: Stack, port: int) -> None:
    if stack.settings.get("API_KEYS") == keys.api_keys(folder):
        print(f"API key: {keys.api_key(folder)} (in {keys.api_key_file(folder)})")
    print(f"Logs: {stack.logs}. Ctrl-C ends everything.")
    print(f"Decant serves at http://127.0.0.1:{port}", flush=True)


def _watch(stack: Stack) -> None:
    """Until somebody asks us to end, or a server ends by itself for good."""
    revived_at: dict[str, float] = {}
    while True:
        signals.check()
        for server in stack.servers:
            if not server.running:
                _revive(server, revived_at)
        time.sleep(_LOOK_SECONDS)


def _revive(server: Server, revived_at: dict[str, float]) -> None:
    """Postgres and Valkey are started again, as a cloud would do; whoever uses them copes meanwhile.

    One that cannot stay alive ends everything, and so does any other child.
    """
    how = how_it_ended(server.exit_status)
    since = time.monotonic() - revived_at.get(server.name, -_STAYS_ALIVE_SECONDS)
    if isinstance(server, processes.Child) or since < _STAYS_ALIVE_SECONDS:
        raise ServerFailed(server.name, f"ended by itself ({how})", server.log)
    print(
        f"{server.name} ended by itself ({how}); it is started again in {_REVIVE_SECONDS:.0f} s.", flush=True
    )
    for _ in range(round(_REVIVE_SECONDS / _LOOK_SECONDS)):
        signals.check()
        time.sleep(_LOOK_SECONDS)
    server.start()
    revived_at[server.name] = time.monotonic()
    print(f"{server.name} is back.", flush=True)


def _last_line(log: Path) -> str:
    return (log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["it said nothing"])[-1]


if __name__ == "__main__":
    sys.exit(main())
