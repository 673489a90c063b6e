"""`make run`: everything on one laptop, from the servers to the HTTP API. Leaves no process behind.

Exit status 0 after Ctrl-C or SIGTERM, 1 with one sentence if something failed.
"""

import base64
import contextlib
import http.client
import json
import os
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from chalicelib import config, sources, telemetry
from chalicelib.errors import ConfigError, Stopped
from chalicelib.pool import Pool
from chalicelib.redis_connections import Connections
from local import expressions, keys, lock, output, ports, processes, settings, signals
from local.errors import LocalError, ServerFailed
from local.folders import ROOT, local_folder
from local.stack import Stack, record_file, running_stack
from local.watch import watch

_PORT = 8000
_HEALTH_SECONDS = 60.0
_PLACEHOLDERS = {  # well-formed values for the check, before the servers run
    "DATABASE_URL": "postgresql://",
    "REDIS_URL": "redis://",
    "SOURCE_URL": "http://127.0.0.1",
    "PII_KEYS": json.dumps({"1": base64.b64encode(bytes(32)).decode()}),
}


def main() -> int:
    telemetry.disable_core_dumps()
    signals.defer()
    try:
        folder = local_folder()
        with lock.hold(folder, "make run"), contextlib.suppress(Stopped):
            _run(folder, ports.requested() or _PORT)
    except (LocalError, ConfigError, OSError) as error:
        print(f"make run: {error}.", file=sys.stderr)
        return 1
    with output.while_read():  # Ctrl-C also ends what it may be piped into
        print(f"\nStopped. The data stays in {folder} for the next run.")
    return 0


def _run(folder: Path, port: int) -> None:
    processes.end_recorded(record_file(folder))  # before the port is checked: an orphan may hold it
    ports.refuse_taken(port, "make run")
    chosen = settings.chosen()
    _refuse_malformed(chosen)
    print("Starting the servers …", flush=True)
    with running_stack(folder, chosen) as stack:
        _migrate(stack)
        with settings.publish(folder, stack.settings):
            link_key = _link_key(folder, stack)
            with _http(stack, port):  # serves what is stored while the ingest, which may be long, goes on
                _ingest(stack)
                with _scheduler(stack):
                    _announce(folder, stack, port, link_key)
                    watch(stack)


def _refuse_malformed(chosen: Mapping[str, str]) -> None:
    """Checks the settings before a server starts or a child fails on them. Raises ConfigError, LocalError."""
    os.environ.update(chosen)
    config.log_level()
    config.allowed_origin()
    config.queue_name()
    expressions.parse(config.ingest_schedule(), datetime.now(UTC))
    if "SECRET_ID" not in chosen:
        read = config.read({**_PLACEHOLDERS, **chosen})
        sources.named(read.source_dialect)
        Pool(read.database_url)  # connects only when it is used, as does the next
        Connections(read.redis_url, seconds=1)


def _migrate(stack: Stack) -> None:
    if stack.start("the migration", ["-m", "local.migrate"], "migrate.log").wait():
        raise ServerFailed("the migration", f"failed: {_last_line(stack.logs / 'migrate.log')}")


def _ingest(stack: Stack) -> None:
    """Its bar and report go to our terminal."""
    if stack.start("the first ingest", ["-m", "local.ingest"], log=None).wait():
        print("The first ingest is not complete; the schedule will try again.", flush=True)


def _scheduler(stack: Stack) -> contextlib.AbstractContextManager[processes.Child]:
    return stack.running("the scheduler", ["-m", "local.schedule"], "scheduler.log")


@contextlib.contextmanager
def _http(stack: Stack, port: int) -> Iterator[None]:
    with stack.running("the HTTP server", http_server_argv(port), "http.log") as child:
        child.wait_until(lambda: _answers(port), _HEALTH_SECONDS)
        yield


def http_server_argv(port: int) -> list[str]:
    """The arguments with which Python serves the app by `chalice local`."""
    options = ["--host", "127.0.0.1", "--port", str(port), "--stage", "local", "--no-autoreload"]
    return ["-m", "local.http_server", "--project-dir", str(ROOT), "local", *options]


def _answers(port: int) -> bool:
    """Any status counts: without a database /health reports that, which is an answer too."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("GET", "/health")
        return connection.getresponse().status > 0
    return False


def _link_key(folder: Path, stack: Stack) -> str | None:
    """A key for the link to the page, valid for this run only, because a browser's history keeps links. None
    if the user has set the keys."""
    if stack.settings.get("API_KEYS") != keys.api_keys(folder):
        return None
    key = keys.fresh_api_key()
    stack.settings["API_KEYS"] = keys.api_keys(folder, key)
    return key


def _announce(folder: Path, stack: Stack, port: int, link_key: str | None) -> None:
    """The link holds its key in the fragment, which browsers do not send; the page removes it at once."""
    url = f"http://127.0.0.1:{port}"
    if link_key:
        print(f"API key: {keys.api_key(folder)} (in {keys.api_key_file(folder)})")
        print(f"The page: {url}/#key={link_key}")
    print(f"Logs: {stack.logs}. Ctrl-C stops everything.")
    print(f"Decant is running at {url}", flush=True)


def _last_line(log: Path) -> str:
    return (log.read_text(encoding="utf-8", errors="replace").strip().splitlines() or ["no output"])[-1]


if __name__ == "__main__":
    sys.exit(main())
