"""How long the steps of a run take."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from chalicelib.report import Report


@contextmanager
def timed(report: Report, step: str) -> Iterator[None]:
    """Adds the time that a block takes, in milliseconds, to its step. Only one thread may time a step."""
    started = time.perf_counter()
    try:
        yield
    finally:
        spent = (time.perf_counter() - started) * 1000
        report.timings[step] = round(report.timings.get(step, 0.0) + spent, 3)
