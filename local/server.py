"""The base class of the embedded servers: a child process that a `with` block starts and ends."""

from pathlib import Path
from typing import ClassVar, Self

from local.processes import Child


class Server:
    """Subclasses create the child in ``start``. Between ``stop`` and ``start`` there is none."""

    name: ClassVar[str]
    stop_seconds: ClassVar[float]

    log: Path
    _child: Child | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
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
