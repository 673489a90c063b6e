"""A semaphore for what every request takes; the one in `threading` takes several times as long."""

from queue import Empty, SimpleQueue


class Semaphore:
    """Like `threading.Semaphore`, with a required timeout."""

    def __init__(self, value: int) -> None:
        self._free: SimpleQueue[None] = SimpleQueue()
        for _ in range(value):
            self.release()

    def acquire(self, timeout: float) -> bool:
        """Whether one became free within the timeout, in seconds."""
        try:
            self._free.get(timeout=timeout)
        except Empty:
            return False
        return True

    def release(self) -> None:
        self._free.put(None)
