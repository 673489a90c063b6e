"""Child processes: starts them, waits for them, ends them, and finds those that a killed run left behind.

Ends only processes that it started itself or can prove to be ours, and always by process id.
"""

import contextlib
import json
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from local import signals
from local.errors import ServerFailed
from local.folders import write_private

_PATIENCE_SECONDS = 10.0
_CLOCK_DRIFT_SECONDS = 5.0  # start times derive from the wall clock, which may be adjusted


class Child:
    """A process in its own session, so that the terminal's Ctrl-C reaches only the runner."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        log: Path | None = None,
        user: pwd.struct_passwd | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        stdin: bytes = b"",
    ) -> None:
        """Without a log the child writes to our own terminal. ``stdin`` is its entire standard input."""
        self.name, self.log, self.argv = name, log, list(argv)
        self._env, self._cwd, self._user, self._stdin = dict(env), cwd, user, stdin
        self._stop_signal = stop_signal
        self.start()

    def start(self) -> None:
        """May be called again after the process has ended."""
        with contextlib.ExitStack() as opened:
            output = opened.enter_context(_open_log(self.log)) if self.log else None
            errors = subprocess.STDOUT if output else None
            self._process = subprocess.Popen(
                self.argv, env=self._env, cwd=self._cwd, stdin=subprocess.PIPE, stdout=output, stderr=errors,
                start_new_session=True, **identity(self._user),
            )  # fmt: skip
        self._feed()

    def _feed(self) -> None:
        with contextlib.suppress(BrokenPipeError):  # it has already ended, which the caller will notice
            if self._process.stdin:
                with self._process.stdin as pipe:
                    pipe.write(self._stdin)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative if a signal ended it."""
        return self._process.poll()

    def wait(self) -> int:
        """Waits and returns its exit status. If we are asked to stop, ends it and raises Stopped."""
        try:
            while self.running:
                signals.check()
                time.sleep(0.02)
            signals.check()  # systemd sends it to both of us, and the child may have ended by it
        finally:
            self.stop()
        return self.exit_status or 0

    def stop(self, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        """Sends the stop signal, waits, then kills. Also ends the processes that the child had started."""
        family = _descendants(self.pid) if self.running else []  # once it has ended, its id may be reused
        if self.running:
            self._process.send_signal(self._stop_signal)
        try:
            self._process.wait(patience_seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        end(family, signal.SIGTERM, patience_seconds=1)

    def wait_until(self, ready: Callable[[], bool], seconds: float) -> None:
        """Raises ServerFailed if the child ends first or takes longer."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise ServerFailed(
                    self.name, f"ended while starting ({how_it_ended(self.exit_status)})", self.log
                )
            if time.monotonic() > deadline:
                raise ServerFailed(self.name, f"was not ready within {seconds:.0f} seconds", self.log)
            signals.check()
            time.sleep(0.02)


def identity(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """The arguments with which ``subprocess`` runs a program as this user; None is the current one."""
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}


def how_it_ended(status: int | None) -> str:
    status = status or 0
    return f"exit status {status}" if status >= 0 else f"ended by {signal.Signals(-status).name}"


def _open_log(path: Path) -> BinaryIO:
    """A new log for each start, so that none grows without bound. The previous one is kept beside it: it may
    show why the process died."""
    with contextlib.suppress(FileNotFoundError):
        path.replace(path.with_name(f"{path.name}.1"))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    return os.fdopen(descriptor, "ab")


def end(processes: Iterable[psutil.Process], stop_signal: signal.Signals, patience_seconds: float) -> None:
    """Signals all of them, waits once for all, and kills the rest. psutil guards against reused ids."""
    alive = list(processes)
    for number in (stop_signal, signal.SIGKILL):
        for process in alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        alive = _alive_after(alive, patience_seconds)


def _alive_after(processes: Sequence[psutil.Process], patience_seconds: float) -> list[psutil.Process]:
    """A zombie counts as ended: it may never be reaped, as not every container's first process does that."""
    deadline = time.monotonic() + patience_seconds
    while (alive := [process for process in processes if _is_alive(process)]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return alive


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def processes_in(folder: Path, name: str) -> list[psutil.Process]:
    """The processes with that name and working folder, which distinguish our servers from others."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.name() == name and process.cwd() == str(folder):
                found.append(process)
    return found


def record(path: Path, child: Child) -> None:
    """Records a child for the next run, in case this one has no chance to end it."""
    created = psutil.Process(child.pid).create_time()
    entry = {"pid": child.pid, "created": created, "arguments": child.argv[1:]}
    write_private(path, json.dumps([*_recorded(path), entry]))


def end_recorded(path: Path) -> None:
    """Ends what a killed run left behind: processes with the recorded id, start time and arguments."""
    orphans = [process for entry in _recorded(path) for process in _matching(entry)]
    family = [relative for orphan in orphans for relative in _descendants(orphan.pid)]
    end([*orphans, *family], signal.SIGTERM, _PATIENCE_SECONDS)
    path.unlink(missing_ok=True)


def _recorded(path: Path) -> list[dict[str, Any]]:
    try:
        entries: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # the latter after a power cut, which no process survives
        return []
    return entries


def _matching(entry: Mapping[str, Any]) -> list[psutil.Process]:
    try:
        process = psutil.Process(entry["pid"])
        same_start = abs(process.create_time() - entry["created"]) < _CLOCK_DRIFT_SECONDS
        return [process] if same_start and process.cmdline()[1:] == entry["arguments"] else []
    except psutil.Error:
        return []


def free_port() -> int:
    """A port that is free now. Another process may take it before it is used: rare, and not silent."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
