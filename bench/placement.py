"""Pins the benchmark and its servers to cores; otherwise the scheduler would choose, and keep changing.

On one core, an answer takes nothing but work. On two, the core that waits for it has to wake up first.
"""

import contextlib
import os
import sys
from collections.abc import Iterable, Iterator

import psutil

from bench.servers import Servers


def _places() -> tuple[str, ...]:
    if sys.platform == "linux" and len(os.sched_getaffinity(0)) > 1:
        return "one core", "two cores"
    return ("any core",)


PLACES = _places()


@contextlib.contextmanager
def placed(servers: Servers, place: str) -> Iterator[None]:
    """Puts everything on one core, or the servers on another core than this process. Do not nest."""
    if place == "any core":
        yield
        return
    free = os.sched_getaffinity(0)
    try:
        _put([os.getpid()], {min(free)})
        _put(_families(servers.pids), {min(free) if place == "one core" else max(free)})
        yield
    finally:
        _put([os.getpid()], free)
        _put(_families(servers.pids), free)


def _families(pids: Iterable[int]) -> Iterator[int]:
    """These processes and their descendants: Postgres has one process per connection."""
    for pid in pids:
        yield pid
        with contextlib.suppress(psutil.NoSuchProcess):
            yield from (child.pid for child in psutil.Process(pid).children(recursive=True))


def _put(pids: Iterable[int], cores: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            for thread in psutil.Process(pid).threads():
                with contextlib.suppress(ProcessLookupError):  # it has ended in the meantime
                    os.sched_setaffinity(thread.id, cores)
