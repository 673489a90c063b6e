"""Every error of the laptop side. Each is one sentence for the person at the terminal, with what to do next.

LocalError
├── AlreadyRunning      another command of this checkout holds the lock
├── DataFolderBroken    Postgres cannot use the data in its folder
├── FolderNotOurs       our folder belongs to another user, or is not a folder
├── PortTaken           the requested port is not free
├── ServerFailed        a child process did not start, failed, or ended unexpectedly
└── ScheduleUnreadable  EventBridge would refuse the schedule expression too
"""

from pathlib import Path


class LocalError(Exception):
    """The root of the tree."""


class AlreadyRunning(LocalError):
    """Another command of this checkout holds the lock."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"this checkout is in use by `{holder}`; stop that first")


class DataFolderBroken(LocalError):
    """Postgres cannot use the data in its folder."""

    def __init__(self, folder: Path, problem: str) -> None:
        super().__init__(
            f"the Postgres data in {folder} cannot be used: {problem}. "
            "`make clean` removes it, and the keys too; the next run begins with an empty database"
        )


class FolderNotOurs(LocalError):
    """Our folder belongs to another user, or is not a folder."""

    def __init__(self, folder: Path, problem: str) -> None:
        super().__init__(f"{folder} {problem}")


class PortTaken(LocalError):
    """The requested port is not free."""

    def __init__(self, port: int, command: str) -> None:
        super().__init__(
            f"port {port} on 127.0.0.1 is taken; choose another, as in `{command} PORT={port + 1}`"
        )


class ServerFailed(LocalError):
    """A child process did not start, failed, or ended unexpectedly."""

    def __init__(self, name: str, problem: str, log: Path | None = None) -> None:
        super().__init__(f"{name} {problem}" + (f"; its log is {log}" if log else ""))


class ScheduleUnreadable(LocalError):
    """EventBridge would refuse the schedule expression too."""

    def __init__(self, problem: str) -> None:
        super().__init__(f"INGEST_SCHEDULE cannot be read: {problem}")
