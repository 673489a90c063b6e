"""Lets threads that want the same thing at the same time share one call."""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

from chalicelib.errors import DecantError

T = TypeVar("T")


class _Flight(Generic[T]):
    """A call in progress. A lock is all it takes to wait for it, and is quicker than a Future."""

    def __init__(self) -> None:
        self.outcome: list[T] = []
        self.error = DecantError("the call that this one had joined failed unexpectedly")
        self.over = threading.Lock()
        self.over.acquire()

    def result(self) -> T:
        if not self.outcome:
            raise self.error
        return self.outcome[0]


class SingleFlight(Generic[T]):
    """One of the threads makes the call; all get its outcome."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_flight: dict[str, _Flight[T]] = {}

    def share(self, name: str, work: Callable[[], T]) -> T:
        """The outcome of ``work``, or of the call of this name in flight."""
        with self._lock:
            flight = self._in_flight.get(name)
            if flight is None:
                mine = self._in_flight[name] = _Flight()
        if flight is not None:
            with flight.over:
                return flight.result()
        try:
            mine.outcome.append(work())
        except DecantError as error:
            mine.error = error
        finally:
            with self._lock:
                if self._in_flight.get(name) is mine:
                    del self._in_flight[name]
            mine.over.release()
        return mine.result()

    def forget(self, name: str) -> None:
        """Keeps later threads from joining the call in flight; those that have joined get its outcome."""
        with self._lock:
            self._in_flight.pop(name, None)
