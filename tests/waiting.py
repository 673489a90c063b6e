"""Waiting for conditions, and how long something takes."""

import time
from collections.abc import Callable
from typing import TypeVar

import psutil

from local.processes import Child

T = TypeVar("T")


def until(holds: Callable[[], T], seconds: float = 100) -> T:
    """Polls `holds` until its result is truthy, and returns that."""
    deadline = time.monotonic() + seconds
    while not (said := holds()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)
    return said


def seconds_of(work: Callable[[], object]) -> float:
    started = time.monotonic()
    work()
    return time.monotonic() - started


def recognisable(child: Child) -> Child:
    """The child, once its command line can be read: a moment after it has started, it is still empty."""
    until(lambda: psutil.Process(child.pid).cmdline()[1:] == child.argv[1:])
    return child


def gone(pid: int) -> bool:
    """Whether the process has ended; a zombie counts, as a container may have no parent to reap it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
