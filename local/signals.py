"""Handles Ctrl-C and SIGTERM where it is safe to stop.

The runner only records a signal and checks for it between its steps: a handler that raises could do so
between the start of a child and the line that records it, and leave the child behind. A command that runs a
single job is interrupted at once, but only once, so that a second Ctrl-C cannot break the cleanup.
"""

import signal
from types import FrameType

from chalicelib.errors import Stopped

_received: list[int] = []


def defer() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP are only recorded, for ``check``."""
    _handle(_record)


def interrupt() -> None:
    """From now on the first SIGINT, SIGTERM or SIGHUP raises Stopped at once, the rest are ignored."""
    _handle(_raise_once)


def check() -> None:
    """Raises Stopped if a signal was recorded: an error of the app, which a run in progress records."""
    if _received:
        raise Stopped(signal.Signals(_received[0]).name)


def requested() -> bool:
    return bool(_received)


def _handle(handler: "signal._HANDLER") -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        ignored_by_caller = number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN  # nohup
        if not ignored_by_caller:
            signal.signal(number, handler)


def _record(number: int, _frame: FrameType | None) -> None:
    _received.append(number)


def _raise_once(number: int, _frame: FrameType | None) -> None:
    _received.append(number)
    if len(_received) == 1:
        check()
