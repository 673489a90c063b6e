"""Runs in threads of this process, outside AWS: how they start, and how they end when the process does."""

import contextlib
import logging
import threading
import time
from collections.abc import Callable

from chalicelib import wiring
from chalicelib.errors import Stopped, StoreError, safe
from chalicelib.ledger import Ending
from chalicelib.report import Report

_LEAVE_SECONDS = 6.0  # of the ten that a process has after SIGTERM

_threads: dict[str, threading.Thread] = {}  # by run
_leaving = threading.Event()

_log = logging.getLogger("decant.background")


def start(run_id: str, work: Callable[[], object]) -> None:
    """Works on a run in a thread of its own."""
    _threads[run_id] = threading.Thread(target=_work, args=(run_id, work), name="run", daemon=True)
    _threads[run_id].start()


def _work(run_id: str, work: Callable[[], object]) -> None:
    try:
        work()
    except Exception as error:  # noqa: BLE001  the thread's boundary: the text may hold a personal value
        _log.error("run %s: %s", run_id, safe(error))
    finally:
        del _threads[run_id]


def leave() -> None:
    """Before the process ends: each run ends with the page in hand, or without it if that takes too long."""
    _leaving.set()
    deadline = time.monotonic() + _LEAVE_SECONDS
    for run_id, thread in list(_threads.items()):
        thread.join(max(0.0, deadline - time.monotonic()))
        if thread.is_alive():
            with contextlib.suppress(StoreError):  # then the next run will record it as lost
                wiring.store().finish_run(run_id, Ending("partial", str(Stopped("SIGTERM"))))


def stop_if_leaving(planned: int, report: Report) -> None:
    """An ``OnPage`` that ends a run, unless nothing is left to do. Raises Stopped."""
    if _leaving.is_set() and report.has_more(planned):
        raise Stopped("SIGTERM")
