"""Waiting for what comes true in its own time."""

import time
from collections.abc import Callable
from typing import TypeVar

import psutil

T = TypeVar("T")


def until(holds: Callable[[], T], seconds: float = 100) -> T:
    """What `holds` says as soon as that is true."""
    deadline = time.monotonic() + seconds
    while not (said := holds()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.05)
    return said


def gone(pid: int) -> bool:
    """Ended, or at least a zombie that waits for the parent that a container may lack."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
