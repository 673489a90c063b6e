"""The faults of the soak, by name; each starts while a run is in progress."""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from random import Random

import psutil

from tests.faults.child import Order, Run
from tests.faults.trial import Trial
from tests.faults.wire import Cut, Happening, Passing, at, cut, delayed, now_and_then, truncate

# Yields how often it happened, not counting what happened on wires. Its changes are undone when it ends.
Fault = Callable[[Trial, Run, Random], AbstractContextManager[int]]

_RUN_SECONDS = 0.3  # approximate duration of an undisturbed run
_STORM = 0.15  # share of messages that are disturbed


def kill(run: Run) -> Happening:
    def happen(_: Passing) -> bytes:
        run.kill()
        raise Cut

    return happen


def _sometime(dice: Random) -> None:
    time.sleep(dice.uniform(0, _RUN_SECONDS))


def _somewhere(trial: Trial, wire: str, happening: Happening, dice: Random) -> None:
    trial.wires[wire].begin(at(dice.randint(1, trial.messages[wire]), happening))


@contextmanager
def _killed(_: Trial, run: Run, dice: Random) -> Iterator[int]:
    _sometime(dice)
    run.kill()
    yield 1


@contextmanager
def _overtaken(trial: Trial, run: Run, dice: Random) -> Iterator[int]:
    """The run is frozen until its lease has expired and another run has ended."""
    _sometime(dice)
    run.freeze()
    trial.recover()
    run.resume()
    yield 1


@contextmanager
def _two_at_once(trial: Trial, _: Run, dice: Random) -> Iterator[int]:
    _sometime(dice)
    other = trial.start(Order("manual"))
    yield 1
    other.wait()


@contextmanager
def _killed_by_a_message(trial: Trial, run: Run, dice: Random) -> Iterator[int]:
    _somewhere(trial, dice.choice(list(trial.wires)), kill(run), dice)
    yield 0


def _once(wire: str, make: Callable[[Random], Happening]) -> Fault:
    @contextmanager
    def fault(trial: Trial, _: Run, dice: Random) -> Iterator[int]:
        _somewhere(trial, wire, make(dice), dice)
        yield 0

    return fault


def _storm(wire: str) -> Fault:
    @contextmanager
    def fault(trial: Trial, _: Run, dice: Random) -> Iterator[int]:
        trial.wires[wire].begin(now_and_then(dice, _STORM, (cut, truncate, delayed(0.2))))
        yield 0

    return fault


@contextmanager
def _sessions_ended(trial: Trial, _: Run, dice: Random) -> Iterator[int]:
    _sometime(dice)
    theirs = "FROM pg_stat_activity WHERE application_name = 'decant' AND pid <> pg_backend_pid()"
    ((ended,),) = trial.sql(f"SELECT count(pg_terminate_backend(pid)) {theirs}")
    yield ended


@contextmanager
def _session_killed(trial: Trial, _: Run, dice: Random) -> Iterator[int]:
    """Kills our own session, as a run's might be gone by now. Postgres ends all others too, and recovers."""
    _sometime(dice)
    ((pid,),) = trial.sql("SELECT pg_backend_pid()")
    os.kill(pid, signal.SIGKILL)
    trial.hang_up()
    trial.wait_for_postgres()
    yield 1


@contextmanager
def _postgres_restarted(trial: Trial, _: Run, dice: Random) -> Iterator[int]:
    _sometime(dice)
    trial.hang_up()
    trial.postgres.stop()
    trial.postgres.start()
    yield 1


@contextmanager
def _postgres_killed(trial: Trial, _: Run, dice: Random) -> Iterator[int]:
    _sometime(dice)
    trial.hang_up()
    os.kill(trial.postgres.pid or 0, signal.SIGKILL)
    trial.postgres.start()
    yield 1


@contextmanager
def paused(pid: int | None) -> Iterator[None]:
    """Freezes a server: its sockets still acknowledge, but nothing answers."""
    family = [psutil.Process(pid), *psutil.Process(pid).children()]
    for process in family:
        process.suspend()
    try:
        yield
    finally:
        for process in reversed(family):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()


def _paused(server: str) -> Fault:
    @contextmanager
    def fault(trial: Trial, _: Run, dice: Random) -> Iterator[int]:
        _sometime(dice)
        with paused(getattr(trial, server).pid):
            time.sleep(dice.uniform(0.5, 3))
        yield 1

    return fault


@contextmanager
def _redis_killed(trial: Trial, _: Run, dice: Random) -> Iterator[int]:
    _sometime(dice)
    os.kill(trial.valkey.pid or 0, signal.SIGKILL)
    trial.valkey.stop()
    trial.valkey.start()
    yield 1


@contextmanager
def full(trial: Trial, _: Run, dice: Random) -> Iterator[int]:
    _sometime(dice)
    trial.redis.config_set("maxmemory", 1)
    try:
        yield 1
    finally:
        trial.redis.config_set("maxmemory", 0)


@contextmanager
def replica(trial: Trial, _: Run, dice: Random) -> Iterator[int]:
    """Makes Redis a replica of a primary that does not exist."""
    _sometime(dice)
    trial.redis.replicaof("127.0.0.1", 1)
    try:
        yield 1
    finally:
        trial.redis.replicaof("NO", "ONE")


_WIRES = ("source", "Postgres", "Redis")
FAULTS: dict[str, Fault] = {
    "run killed at any moment": _killed,
    "run killed as a message passes": _killed_by_a_message,
    "run frozen and overtaken": _overtaken,
    "two runs at once": _two_at_once,
    **{f"{wire}: cut": _once(wire, lambda _: cut) for wire in _WIRES},
    **{f"{wire}: truncated": _once(wire, lambda _: truncate) for wire in _WIRES},
    **{f"{wire}: delayed": _once(wire, lambda dice: delayed(dice.uniform(0, 3))) for wire in _WIRES},
    **{f"{wire}: a storm of these": _storm(wire) for wire in _WIRES},
    "Postgres: sessions ended": _sessions_ended,
    "Postgres: a session killed": _session_killed,
    "Postgres: restarted": _postgres_restarted,
    "Postgres: killed": _postgres_killed,
    "Postgres: paused": _paused("postgres"),
    "Redis: killed": _redis_killed,
    "Redis: paused": _paused("valkey"),
    "Redis: full": full,
    "Redis: a replica": replica,
}
