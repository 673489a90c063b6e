"""A TCP relay between the app and one of its servers that can disturb the messages passing through."""

import contextlib
import itertools
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import NamedTuple, Self

_MOST_BYTES = 65_536
_AT_ONCE = struct.pack("ii", 1, 0)  # SO_LINGER: closing resets the connection


class Passing(NamedTuple):
    """A passing message: its number, counted from 1, its data, and whether the app sent it."""

    nth: int
    data: bytes
    from_app: bool


class Cut(Exception):
    """Raised by a happening: resets the connections of both ends. Only its argument, if any, still passes."""


Happening = Callable[[Passing], bytes | None]  # returns what arrives; None: the data, undisturbed


def nothing(_: Passing) -> None:
    return None


def at(nth: int, happening: Happening) -> Happening:
    """The same happening, but only for the n-th message."""
    return lambda passing: happening(passing) if passing.nth == nth else None


def cut(_: Passing) -> bytes:
    raise Cut


def truncate(passing: Passing) -> bytes:
    """Half of the message passes, and then nothing more."""
    raise Cut(passing.data[: len(passing.data) // 2])


def delayed(seconds: float) -> Happening:
    def delay(passing: Passing) -> bytes:
        time.sleep(seconds)
        return passing.data

    return delay


def now_and_then(dice: Random, share: float, happenings: Sequence[Happening]) -> Happening:
    """Applies a random one of the happenings to this share of the messages."""
    return lambda passing: dice.choice(happenings)(passing) if dice.random() < share else None


class Wire:
    """Relays each connection to its port, and applies a happening to messages in both directions."""

    def __init__(self, server_port: int) -> None:
        self._happening: Happening = nothing
        self._server_port = server_port
        self._numbers = itertools.count(1)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self._thread = threading.Thread(target=self._serve, name="wire", daemon=True)
        self.port: int = self._listening.getsockname()[1]
        self.passed = self.happened = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def begin(self, happening: Happening = nothing) -> None:
        """Applies this happening from now on, and restarts the count."""
        self._happening, self._numbers = happening, itertools.count(1)
        self.passed = self.happened = 0

    def _serve(self) -> None:
        with contextlib.suppress(OSError):  # closing the wire closes the listening socket
            while True:
                app, _ = self._listening.accept()
                threading.Thread(target=self._connect, args=(app,), name="relay", daemon=True).start()

    def _connect(self, app: socket.socket) -> None:
        with app:
            try:
                server = socket.create_connection(("127.0.0.1", self._server_port))
            except OSError:  # the server is down
                return
            with server, self._known(app, server):
                try:
                    self._relay(app, server)
                except (OSError, Cut):
                    for end in (app, server):
                        with contextlib.suppress(OSError):
                            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)

    def _relay(self, app: socket.socket, server: socket.socket) -> None:
        """Relays until one end hangs up."""
        other = {app: server, server: app}
        for end in other:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            for end in select.select(other, [], [])[0]:
                data = end.recv(_MOST_BYTES)
                if not data:
                    return
                self.passed = next(self._numbers)
                try:
                    changed = self._happening(Passing(self.passed, data, end is app))
                    self.happened += changed is not None
                    other[end].sendall(data if changed is None else changed)
                except Cut as cut:
                    self.happened += 1
                    other[end].sendall(*cut.args or (b"",))
                    raise

    @contextlib.contextmanager
    def _known(self, *ends: socket.socket) -> Iterator[None]:
        self._open.update(ends)
        try:
            yield
        finally:
            self._open.difference_update(ends)
