"""Lets one command at a time own `.local/` and its servers. The kernel frees the lock even after a kill."""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from local.errors import AlreadyRunning


@contextlib.contextmanager
def hold(folder: Path, command: str) -> Iterator[None]:
    """Raises AlreadyRunning at once if another command holds the lock."""
    with (folder / "lock").open("a+", encoding="utf-8") as file:
        if not _take(file.fileno()):
            raise AlreadyRunning(_holder(folder))
        file.truncate(0)
        file.write(f"{command}, process {os.getpid()}")
        file.flush()
        try:
            yield
        finally:
            file.truncate(0)  # else a later holder that has not written its own yet would be taken for us


def is_held(folder: Path) -> bool:
    path = folder / "lock"
    if not path.exists():
        return False
    with path.open("a+", encoding="utf-8") as file:
        return not _take(file.fileno())


def holder(folder: Path) -> int | None:
    """The id of the process that holds the lock; None if none does, or it has not written its id yet."""
    number = _holder(folder).rpartition(" ")[2] if is_held(folder) else ""
    return int(number) if number.isdigit() else None


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(folder: Path) -> str:
    return (folder / "lock").read_text(encoding="utf-8") or "another command"
