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
            if is_first := flight is None:
                flight = self._in_flight[name] = _Flight()
        if is_first:
            self._make(name, flight, work)
        else:
            with flight.over:
                pass
        return flight.result()

    def _make(self, name: str, flight: _Flight[T], work: Callable[[], T]) -> None:
        try:
            flight.outcome.append(work())
        except DecantError as error:
            flight.error = error
        finally:
            with self._lock:
                if self._in_flight.get(name) is flight:
                    del self._in_flight[name]
            flight.over.release()

    def forget(self, name: str) -> None:
        """Keeps later threads from joining the call in flight; those that have joined get its outcome."""
        with self._lock:
            self._in_flight.pop(name, None)
