"""When a query that failed is worth another try: Postgres was away, or another transaction was quicker."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from chalicelib.errors import StoreError, StoreUnavailable

if TYPE_CHECKING:
    from tenacity import Retrying

T = TypeVar("T")

_TRIES, _MAX_RETRY_SECONDS = 5, 15.0
_QUICK_FAILURE_SECONDS = 1.0
_DISK_FULL = "53100"
_LOCKED = {"40P01", "55P03"}  # deadlock, a lock that was not granted in time
_LOST_RACES = {"40001", "40P01", "users_pkey"}  # serialization failure, deadlock, a person inserted twice


def _is_transient(error: BaseException) -> bool:
    """Whether a retry may succeed: Postgres is unavailable, or another transaction won a race."""
    is_unavailable = isinstance(error, StoreUnavailable) and error.sqlstate != _DISK_FULL
    return is_unavailable or _lost_a_race(error)


def _lost_a_race(error: BaseException | None) -> bool:
    """Whether it lost to another transaction (conflict, deadlock, same new person): a retry needs no wait."""
    return isinstance(error, StoreError) and bool({error.sqlstate, error.constraint} & _LOST_RACES)


@cache
def retrying() -> Retrying:
    """Retries for several seconds, so that the work of a run is not lost."""
    from tenacity import (  # imported late: its asyncio would take a third of a cold start
        Retrying,
        retry_if_exception,
        stop_after_attempt,
        stop_after_delay,
        wait_exponential,
        wait_random,
    )

    backoff = wait_exponential(multiplier=0.5, max=5) + wait_random(0, 0.5)  # 8 s: Postgres may be starting
    return Retrying(
        retry=retry_if_exception(_is_transient),
        stop=stop_after_attempt(_TRIES) | stop_after_delay(_MAX_RETRY_SECONDS),
        wait=lambda t: 0 if _lost_a_race(t.outcome.exception()) else backoff(t),  # type: ignore[union-attr]
        reraise=True,
    )


def retry_while_locked(work: Callable[[], T], seconds: float) -> T:
    """Retries, with pauses, while others hold locks that the work needs."""
    return _retry_while(_is_locked, work, seconds)


def retry_while_away(work: Callable[[], T], seconds: float) -> T:
    """Retries, with pauses, while Postgres cannot be reached or accepts no connection."""
    return _retry_while(_is_away, work, seconds)


def _retry_while(is_temporary: Callable[[BaseException], bool], work: Callable[[], T], seconds: float) -> T:
    from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

    retrying = Retrying(
        retry=retry_if_exception(is_temporary),
        stop=stop_after_delay(seconds),
        wait=wait_fixed(1),
        reraise=True,
    )
    return retrying(work)


def _is_locked(error: BaseException) -> bool:
    return isinstance(error, StoreError) and error.sqlstate in _LOCKED


def _is_away(error: BaseException) -> bool:
    """Not if its password, name or certificate is wrong, nor if its disk is full."""
    if not isinstance(error, StoreUnavailable) or error.sqlstate == _DISK_FULL:
        return False
    return error.sqlstate is None or error.sqlstate[:2] in {"53", "57"}


def retry_once(work: Callable[[], T]) -> T:
    """Retries once, immediately, if that may help. Not after a slow failure, since the caller is waiting."""
    began = time.monotonic()
    try:
        return work()
    except StoreError as error:
        if not _is_transient(error) or time.monotonic() - began > _QUICK_FAILURE_SECONDS:
            raise
    return work()
