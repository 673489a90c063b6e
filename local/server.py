"""What the embedded servers have in common: a child, which a `with` starts and ends."""

from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from local.processes import Child


class Server:
    """Whoever inherits makes the child in ``start``. Between ``stop`` and ``start`` it is away."""

    name: ClassVar[str]
    stop_seconds: ClassVar[float]

    log: Path
    _child: Child | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def pid(self) -> int | None:
        return self._child.pid if self._child else None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.running

    @property
    def exit_status(self) -> int | None:
        return self._child.exit_status if self._child else None

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """May be called twice."""
        if self._child:
            self._child.stop(self.stop_seconds)
        self._child = None
