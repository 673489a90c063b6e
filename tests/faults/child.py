"""Runs of the app in processes of their own, which can be killed at any step.

They are forked from one that has imported everything, since a fresh Python with pandas takes a second.
"""

import contextlib
import functools
import inspect
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from local import settings

_HOME = multiprocessing.get_context("forkserver")
_ROOMS = ("runs", "telemetry", "pipeline", "store", "cache", "sources.client", "sources.random_data_api")
_PATIENCE_SECONDS = 100


class Told(NamedTuple):
    """What a run that lived to its end took for steps, and what came of it: a status, or an error's name."""

    steps: list[str]
    ended: str


class Run:
    """A scheduled run, under way, that logs at DEBUG. It kills itself at the step ``die_at``, from 1."""

    def __init__(self, chosen: Mapping[str, str], log: Path, die_at: int = 0) -> None:
        self._hears, tells = multiprocessing.Pipe(duplex=False)
        self._process = _HOME.Process(target=_ingest, args=(dict(chosen), log, tells, die_at))
        self._process.start()
        tells.close()

    def kill(self) -> None:
        with contextlib.suppress(ValueError):  # it has ended
            self._process.kill()

    def wait(self) -> Told | None:
        """What it told in the end; None if it was killed."""
        told = None
        with contextlib.suppress(EOFError), self._hears:
            assert self._hears.poll(_PATIENCE_SECONDS), "a run does not end"
            told = self._hears.recv()
        self._process.join()
        ended = self._process.exitcode
        self._process.close()
        assert ended == (0 if told else -signal.SIGKILL)
        return told


def get_ready() -> None:
    """Imports everything, once."""
    _HOME.set_forkserver_preload([__name__, *(f"chalicelib.{room}" for room in _ROOMS)])
    ready = _HOME.Process(target=_nothing)
    ready.start()
    ready.join()


def _nothing() -> None:
    pass


def _ingest(chosen: Mapping[str, str], log: Path, tells: Connection, die_at: int) -> None:
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
    _watch(functools.partial(_step, steps, die_at))
    try:
        ended = runs.ingest({}).status
    except DecantError as error:
        ended = type(error).__name__
    tells.send(Told(steps, ended))


def _step(steps: list[str], die_at: int, name: str) -> None:
    steps.append(name)
    if len(steps) == die_at:
        os.kill(os.getpid(), signal.SIGKILL)


def _watch(step: Callable[[str], None]) -> None:
    """Makes a step before and after all that a run asks of the world, and each thing that it does itself."""
    from chalicelib import pipeline, privacy
    from chalicelib.cache import Cache
    from chalicelib.sources.client import Source
    from chalicelib.store import Store

    for edge in (Source, Store, Cache):
        for name, _ in inspect.getmembers(edge, inspect.isfunction):
            if not name.startswith("_"):
                _wrap(edge, name, step)
    _wrap(pipeline, "validate", step)
    _wrap(pipeline, "clean", step)
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
