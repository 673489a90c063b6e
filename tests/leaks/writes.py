"""Notes which files a process writes, wherever they are."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_APPEND
_NAMED_SECOND = {"os.rename", "os.link"}  # a file that was written under another name

_notes: list[int] = []  # the file descriptor of the list, while in use


def note_in(list_file: Path) -> None:
    """From now on, records every file that this process opens for writing as a line of that list."""
    if not _notes:
        sys.addaudithook(_note)  # it cannot be removed again
        if sys.version_info < (3, 12):  # two threads that get tracers at once, with a hook: one dies
            threading.settrace(None)  # type: ignore[arg-type]
    _notes[:] = [os.open(list_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)]


@contextlib.contextmanager
def noted_in(list_file: Path) -> Iterator[None]:
    """The same for the duration of a with-block."""
    note_in(list_file)
    try:
        yield
    finally:
        os.close(_notes.pop())


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if not _notes:
        return
    path: object = None
    if event == "open":
        path, _, flags = arguments
        path = path if isinstance(flags, int) and flags & _WRITING else None
    elif event in _NAMED_SECOND:
        path = arguments[1]
    elif event == "sqlite3.connect":
        path = arguments[0]
    if isinstance(path, str | bytes | os.PathLike):
        os.write(_notes[0], os.path.abspath(os.fsencode(path)) + b"\n")  # noqa: PTH100  bytes
