"""Which cores the benchmark and its servers run on; left alone, the scheduler would choose, and choose anew.

On one core an answer takes nothing but work; on two, the core that waits for it has to wake up first.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Literal, get_args

import psutil

from bench.servers import Servers

Place = Literal["one core", "two cores"]
PLACES: tuple[Place, ...] = get_args(Place)


@contextlib.contextmanager
def placed(servers: Servers, place: Place) -> Iterator[None]:
    """Everything on one core, or the servers on another than this process."""
    free = sorted(os.sched_getaffinity(0))
    ours, theirs = free[0], free[0] if place == "one core" else free[1]
    _put([os.getpid()], {ours})
    _put(_families(servers.pids), {theirs})
    try:
        yield
    finally:
        _put([os.getpid(), *_families(servers.pids)], set(free))


def _families(pids: Iterable[int]) -> Iterator[int]:
    """These processes and their descendants: Postgres has one for each connection."""
    for pid in pids:
        yield pid
        yield from (child.pid for child in psutil.Process(pid).children(recursive=True))


def _put(pids: Iterable[int], cores: set[int]) -> None:
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):  # it has ended by now
            for thread in psutil.Process(pid).threads():
                os.sched_setaffinity(thread.id, cores)
