"""Redis' protocol (RESP 2), as much of it as a cache needs: connections that stay open, and bounded waits.

In place of redis-py, whose import took more than half of a cold start; docs/decisions.md has the figures.
Whatever goes wrong on a connection closes it, so no reply is ever taken for that to another question.
"""

import io
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from chalicelib.errors import ConfigError

_CONNECTIONS = 32  # more threads than these wait for one another, which is no outage
_LONGEST_LINE, _LARGEST_VALUE = 65_536, 16_000_000  # bytes; whoever says more is no Redis of ours


class Refused(Exception):
    """Redis answered with an error; of its text only the code is kept, since the rest may hold a value."""

    def __init__(self, text: bytes) -> None:
        code = re.match(rb"[A-Z]{2,20}\b", text)
        super().__init__(code.group().decode() if code else "ERR")


def command(*words: str | bytes | int) -> bytes:
    """A command as it is sent."""
    encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"".join([b"*%d\r\n" % len(encoded), *[b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded]])


class Connections:
    """At most 32 connections to one Redis, each opened when it is needed; safe to share between threads."""

    def __init__(self, url: str, seconds: float) -> None:
        """No question takes longer than about twice so many seconds. Raises ConfigError."""
        server = server_of(url)
        self._idle = deque(_Connection(server, seconds) for _ in range(_CONNECTIONS))
        self._free, self._seconds, self._closed = threading.Semaphore(_CONNECTIONS), seconds, False

    def ask(self, *commands: bytes) -> list[Any]:
        """The replies, in order. Raises Refused if one is an error, OSError if Redis cannot be reached or
        does not answer in time."""
        if not self._free.acquire(timeout=self._seconds):
            raise TimeoutError
        connection = self._idle.pop()
        try:
            return connection.ask(commands)
        finally:
            if self._closed:
                connection.close()
            self._idle.append(connection)
            self._free.release()

    def close(self) -> None:
        """What is in use is closed when it comes back."""
        self._closed = True
        self.close_idle()

    def close_idle(self) -> None:
        """Takes them as if to ask, so that nobody is asking on one that is closed."""
        taken = []
        while self._free.acquire(blocking=False):
            taken.append(self._idle.pop())
        for connection in taken:
            connection.close()
            self._idle.append(connection)
            self._free.release()


@dataclass(frozen=True)
class Server:
    """Where Redis is, and what opens it; with a ``path``, it is a Unix socket."""

    path: str
    host: str
    port: int
    has_tls: bool
    authorities: str | None
    entrance: tuple[bytes, ...] = field(repr=False)

    def connect(self, seconds: float) -> socket.socket:
        if self.path:
            line = socket.socket(socket.AF_UNIX)
            line.settimeout(seconds)
        else:
            line = socket.create_connection((self.host, self.port), seconds)
        try:
            return self._through(line)
        except OSError:
            line.close()
            raise

    def _through(self, line: socket.socket) -> socket.socket:
        if self.path:
            line.connect(self.path)
            return line
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._tls.wrap_socket(line, server_hostname=self.host) if self.has_tls else line

    @cached_property
    def _tls(self) -> Any:
        """Verifies the server, always."""
        import ssl  # late: it takes 12 ms, and a laptop's Redis has no TLS

        return ssl.create_default_context(cafile=self.authorities)


class _Connection:
    """One connection, opened by its first question."""

    def __init__(self, server: Server, seconds: float) -> None:
        self._server, self._seconds = server, seconds
        self._line: socket.socket | None = None
        self._heard: _Heard

    def ask(self, commands: Sequence[bytes]) -> list[Any]:
        """If it died while idle, once more on a new one; who is silent does not get a second chance."""
        was_open = self._line is not None
        try:
            replies = self._try(commands)
        except TimeoutError:
            raise
        except OSError:
            if not was_open:
                raise
            replies = self._try(commands)
        for reply in replies:
            if isinstance(reply, Refused):
                raise reply
        return replies

    def close(self) -> None:
        if self._line:
            self._line.close()
        self._line = None

    def _try(self, commands: Sequence[bytes]) -> list[Any]:
        done = False
        try:
            line = self._line or self._open()
            replies = self._said(line, commands)
            done = True
            return replies
        finally:
            if not done:
                self.close()

    def _open(self) -> socket.socket:
        self._line = line = self._server.connect(self._seconds)
        self._heard = _Heard(line)
        for reply in self._said(line, self._server.entrance):
            if isinstance(reply, Refused):
                raise reply
        return line

    def _said(self, line: socket.socket, commands: Sequence[bytes]) -> list[Any]:
        line.sendall(b"".join(commands))
        return self._heard.replies(len(commands), time.monotonic() + self._seconds)


class _Heard(io.RawIOBase):
    """What comes over a line, as a file that fails when its time is up."""

    def __init__(self, line: socket.socket) -> None:
        self._line, self._until, self._buffered = line, 0.0, io.BufferedReader(self)

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any) -> int:
        if time.monotonic() > self._until:
            raise TimeoutError
        return self._line.recv_into(room)

    def replies(self, count: int, until: float) -> list[Any]:
        self._until = until
        try:
            return [self._reply() for _ in range(count)]
        except ValueError:
            raise ConnectionError("this is not Redis") from None

    def _reply(self) -> bytes | int | Refused | None:
        said = self._buffered.readline(_LONGEST_LINE)
        kind, rest = said[:1], said[1:-2]
        if not said.endswith(b"\r\n"):
            raise ConnectionError("it ended in the middle")
        if kind == b"$":
            return None if rest == b"-1" else self._value(int(rest))
        if kind == b"+":
            return rest
        if kind == b":":
            return int(rest)
        if kind == b"-":
            return Refused(rest)
        raise ConnectionError("this is not Redis")

    def _value(self, size: int) -> bytes:
        if not 0 <= size <= _LARGEST_VALUE:
            raise ConnectionError("this is not ours")
        value = self._buffered.read(size + 2)
        if len(value) < size + 2:
            raise ConnectionError("it ended in the middle")
        return value[:-2]


def server_of(url: str) -> Server:
    """What a URL means: redis://, rediss:// (with TLS) or unix://, as redis-py reads it."""
    try:
        return _read(url)
    except ValueError:
        pass  # its text may hold a part of the password
    raise ConfigError("REDIS_URL", "cannot be read as a URL that asks for db and ssl_ca_certs at most")


def _read(url: str) -> Server:
    parts = urlsplit(url, allow_fragments=False)
    is_socket = parts.scheme == "unix"
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    database = int(options.pop("db", "") or ("" if is_socket else parts.path.strip("/")) or 0)
    authorities = options.pop("ssl_ca_certs", None)
    is_verified = options.pop("ssl_cert_reqs", "required") == "required"
    if not is_verified or options or parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError
    entrance = [command("SELECT", database)] if database else []
    if parts.password:
        name = [unquote(parts.username)] if parts.username else []
        entrance.insert(0, command("AUTH", *name, unquote(parts.password)))
    return Server(
        path=unquote(parts.path) if is_socket else "",
        host=parts.hostname or "localhost",
        port=parts.port or 6379,
        has_tls=parts.scheme == "rediss",
        authorities=authorities,
        entrance=tuple(entrance),
    )
