"""Starts the servers that the app needs and the user has not configured; ends them in reverse order."""

import contextlib
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from local import keys, processes, settings
from local.errors import LocalError
from local.folders import ROOT, make_private
from local.postgres import Postgres
from local.processes import Child
from local.server import Server
from local.user_api import ROUTES
from local.valkey import Valkey

_USER_API_SECONDS = 15.0


Watched = Server | Child


@dataclass
class Stack:
    """The complete settings, and every server of ours that must stay alive."""

    folder: Path
    settings: dict[str, str]
    servers: list[Watched] = field(default_factory=list)

    @property
    def logs(self) -> Path:
        return make_private(self.folder / "logs")

    def start(self, name: str, argv: Sequence[str], log: str | None) -> Child:
        """Starts a Python program of this checkout. If this run is killed, the next one finds and ends it."""
        child = Child(
            name,
            [sys.executable, *argv],
            env=settings.for_child(self.settings),
            cwd=ROOT,
            log=self.logs / log if log else None,
        )
        try:
            processes.record(record_file(self.folder), child)
        except BaseException:
            child.stop()
            raise
        return child

    def restart(self, server: Watched) -> None:
        """Restarts a server that ended unexpectedly."""
        server.start()
        if isinstance(server, Child):
            processes.record(record_file(self.folder), server)

    @contextlib.contextmanager
    def running(self, name: str, argv: Sequence[str], log: str) -> Iterator[Child]:
        child = self.start(name, argv, log)
        self.servers.append(child)
        try:
            yield child
        finally:
            child.stop()


def record_file(folder: Path) -> Path:
    return folder / "children.json"


@contextlib.contextmanager
def running_stack(folder: Path, chosen: Mapping[str, str]) -> Iterator[Stack]:
    """Provides servers and keys for every setting that is not set. The caller holds the folder's lock."""
    stack = Stack(folder, dict(chosen))
    processes.end_recorded(record_file(folder))
    settings.withdraw(folder)
    with contextlib.ExitStack() as running:
        running.callback(record_file(folder).unlink, missing_ok=True)
        if "SECRET_ID" not in chosen:  # a secret holds all settings and takes precedence
            _fill(stack, running)
        yield stack


def _fill(stack: Stack, running: contextlib.ExitStack) -> None:
    settings, folder = stack.settings, stack.folder
    _refuse_half(settings)
    if "PII_KEYS" not in settings:
        settings["PII_KEYS"] = keys.pii_keys(folder)
    settings.setdefault("API_KEYS", keys.api_keys(folder))
    if "DATABASE_URL" not in settings:
        postgres = running.enter_context(Postgres(folder / "postgres"))
        settings["DATABASE_URL"] = f"{postgres.url}?sslmode=disable&options="  # overrides PGSSLMODE
        stack.servers.append(postgres)
    if "REDIS_URL" not in settings:
        valkey = running.enter_context(Valkey(folder / "valkey"))
        settings["REDIS_URL"] = valkey.url
        stack.servers.append(valkey)
    if "SOURCE_URL" not in settings:
        dialect = settings.setdefault("SOURCE_DIALECT", "random-data-api")
        settings["SOURCE_URL"] = running.enter_context(_user_api(stack, dialect))


def _refuse_half(settings: Mapping[str, str]) -> None:
    """A laptop's keys and invented people must never get into a database that the user configured."""
    open_ones = [name for name in ("PII_KEYS", "SOURCE_URL") if name not in settings]
    if "DATABASE_URL" in settings and open_ones:
        raise LocalError(f"DATABASE_URL is set, so {' and '.join(open_ones)} must be set too")


@contextlib.contextmanager
def _user_api(stack: Stack, dialect: str) -> Iterator[str]:
    port = processes.free_port()
    argv = ["-m", "local.user_api", "--port", str(port)]
    with stack.running("the user API's stand-in", argv, "user-api.log") as child:
        child.wait_until(lambda: processes.listening(port), _USER_API_SECONDS)
        path = ROUTES[dialect].path if dialect in ROUTES else "/"  # the app itself refuses an unknown dialect
        yield f"http://127.0.0.1:{port}{path}"
