"""Calls that compete."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")

_PATIENCE_SECONDS = 60


def at_once(*works: Callable[[], T]) -> list[T]:
    """Starts all works at the same moment, each in its own thread; returns their results in order."""
    start = threading.Barrier(len(works))

    def begin(work: Callable[[], T]) -> T:
        start.wait(_PATIENCE_SECONDS)
        return work()

    with ThreadPoolExecutor(len(works)) as threads:
        return [one.result(_PATIENCE_SECONDS) for one in [threads.submit(begin, work) for work in works]]
