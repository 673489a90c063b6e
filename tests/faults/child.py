"""Runs of the app in separate processes, which can be killed at any step.

They are forked from one that has imported everything, since starting Python with pandas takes a second.
"""

import contextlib
import functools
import inspect
import logging
import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from local import settings

_HOME = multiprocessing.get_context("forkserver")
_ROOMS = (
    "runs",
    "telemetry",
    "prepare",
    "loading",
    "pipeline",
    "store",
    "cache",
    "sources.client",
    "sources.random_data_api",
)
_PATIENCE_SECONDS = 100


class Outcome(NamedTuple):
    """The steps of a run that was not killed, its outcome (a status or an error's name), and the reason."""

    steps: list[str]
    ended: str
    error: str | None


class Order(NamedTuple):
    """The kind of run, and the step, counted from 1, at which it sends itself a signal."""

    trigger: str = "schedule"
    step: int = 0
    sends: signal.Signals = signal.SIGKILL


class Run:
    """A run of the app in progress, which logs at DEBUG."""

    def __init__(self, chosen: Mapping[str, str], log: Path, order: Order) -> None:
        self._receiver, sender = multiprocessing.Pipe(duplex=False)
        self._process = _HOME.Process(target=_ingest, args=(dict(chosen), log, sender, order))
        self._process.start()
        sender.close()

    def kill(self) -> None:
        with contextlib.suppress(ValueError):  # it has ended
            self._process.kill()

    def wait_until_stopped(self) -> None:
        process, until = psutil.Process(self._process.pid), time.monotonic() + _PATIENCE_SECONDS
        while process.status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < until, "a run does not stop"
            time.sleep(0.005)

    def freeze(self) -> None:
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            os.kill(self._process.pid or 0, number)

    def has_reported(self, seconds: float) -> bool:
        """Whether it reports its outcome, or is killed, within this time."""
        return self._receiver.poll(seconds)

    def wait(self) -> Outcome | None:
        """Waits for its end; returns the outcome, or None if it was killed before reporting one."""
        outcome = None
        with contextlib.suppress(EOFError), self._receiver:
            assert self.has_reported(_PATIENCE_SECONDS), "a run does not end"
            outcome = self._receiver.recv()
        self._process.join()
        ended = self._process.exitcode
        self._process.close()
        assert ended == -signal.SIGKILL or (outcome and ended == 0)  # it may be killed after reporting
        return outcome


def preload() -> None:
    """Imports everything, once."""
    _HOME.set_forkserver_preload([__name__, *(f"chalicelib.{room}" for room in _ROOMS)])
    ready = _HOME.Process(target=_nothing)
    ready.start()
    ready.join()


def _nothing() -> None:
    pass


def _ingest(chosen: Mapping[str, str], log: Path, sender: Connection, order: Order) -> None:
    from chalicelib import runs
    from chalicelib.errors import DecantError

    for name in settings.NAMES:
        os.environ.pop(name, None)
    os.environ.update(chosen)
    with log.open("ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    logging.basicConfig(level=logging.DEBUG)
    steps = list[str]()
    _watch(functools.partial(_step, steps, order))
    try:
        report = runs.ingest({}) if order.trigger == "schedule" else runs.run_ingest(order.trigger)
        ended, error = report.status, report.error
    except DecantError as raised:
        ended, error = type(raised).__name__, str(raised)
    sender.send(Outcome(steps, ended, error))


def _step(steps: list[str], order: Order, name: str) -> None:
    steps.append(name)
    if len(steps) == order.step:
        os.kill(os.getpid(), order.sends)


def _watch(step: Callable[[str], None]) -> None:
    """Makes a step before and after each call of an edge, and each stage of the run's own work."""
    from chalicelib import prepare, privacy
    from chalicelib.cache import Cache
    from chalicelib.sources.client import Source
    from chalicelib.store import Store

    for edge in (Source, Store, Cache):
        for name, _ in inspect.getmembers(edge, inspect.isfunction):
            if not name.startswith("_"):
                _wrap(edge, name, step)
    _wrap(prepare, "validate", step)
    _wrap(prepare, "clean", step)
    _wrap(privacy, "protect", step)


def _wrap(owner: Any, name: str, step: Callable[[str], None]) -> None:
    work = getattr(owner, name)

    @functools.wraps(work)
    def wrapped(*arguments: Any, **named: Any) -> Any:
        step(f"before {name}")
        done = work(*arguments, **named)
        step(f"after {name}")
        return done

    setattr(owner, name, wrapped)
