"""Ctrl-C and SIGTERM, taken where it is safe to stop.

The runner only notes them and looks at the note between its steps: a handler that raises could do so between
the start of a child and the line that remembers it, and leave it behind. What runs a single job is
interrupted at once, but only once, so that a second Ctrl-C cannot break the tidying up.
"""

import signal
from types import FrameType

from chalicelib.errors import Stopped


class StopRequested(Stopped):
    """Somebody asked us to end. One of the app's errors, so that a run under way says so in the ledger."""


_received: list[int] = []


def note() -> None:
    """From now on the usual signals are only noted."""
    _handle(_remember)


def interrupt() -> None:
    """From now on the first of the usual signals raises StopRequested wherever we are; more are ignored."""
    _handle(_raise_once)


def check() -> None:
    """Raises StopRequested if a signal was noted."""
    if _received:
        raise StopRequested(signal.Signals(_received[0]).name)


def requested() -> bool:
    return bool(_received)


def _handle(handler: "signal._HANDLER") -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        ignored_by_caller = number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN  # nohup
        if not ignored_by_caller:
            signal.signal(number, handler)


def _remember(number: int, _frame: FrameType | None) -> None:
    _received.append(number)


def _raise_once(number: int, _frame: FrameType | None) -> None:
    _received.append(number)
    if len(_received) == 1:
        check()
