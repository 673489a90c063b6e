"""The connection pool for Redis: keeps a few open, bounds every wait. The only room that uses redis-py.

Driver errors end here: their text may hold a value; ours holds only the name of their class.

redis-py's own pools check a connection and notify listeners each time one is taken or returned, which takes
half as long as a `GET` itself.
"""

import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import redis
from redis.connection import Connection, parse_url

from chalicelib.errors import ConfigError
from chalicelib.semaphore import Semaphore

T = TypeVar("T")

Command = Sequence[str | bytes | int]

_SIZE = 32  # further threads wait for a free one; that is not an outage
_ALLOWED_OPTIONS = {"connection_class", "host", "port", "path", "username", "password", "db", "ssl_ca_certs"}
_NO_HANDSHAKE = {"protocol": 2, "driver_info": None}  # saves three commands per new connection


class Unanswered(Exception):
    """Redis could not be reached or did not answer in time, or it refused a command (``is_refusal``)."""

    def __init__(self, error: Exception) -> None:
        super().__init__(type(error).__name__)
        self.is_refusal = isinstance(error, redis.ResponseError)


class _Line:
    """A connection of redis-py, whose methods are untyped, and the number of answers it has yet to read."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._unread = 0

    def send(self, commands: Sequence[Command]) -> None:
        self._connection.send_packed_command(self._connection.pack_commands(commands))
        self._unread += len(commands)

    def ask(self, commands: Sequence[Command], seconds: float) -> list[Any]:
        """The answers to these commands. What was sent before is answered first."""
        self.send(commands)
        answers: list[Any] = []
        deadline = time.monotonic() + seconds
        while self._unread:
            if time.monotonic() > deadline:
                raise redis.TimeoutError
            answers.append(self._connection.read_response(disable_decoding=True))
            self._unread -= 1
        return answers[-len(commands) :]

    def close(self) -> None:
        self._connection.disconnect()


class Connections:
    """At most 32 connections to one Redis, each opened on demand; safe to share between threads."""

    def __init__(self, url: str, seconds: float) -> None:
        """``seconds`` bounds each wait: for a free slot, a connection, the answers. Raises ConfigError."""
        self._make, self._seconds, self._closed = _connection_factory(url, seconds), seconds, False
        self._idle: deque[_Line] = deque()
        self._slots = Semaphore(_SIZE)

    def ask(self, *commands: Command) -> list[Any]:
        """The answers to the commands, in order. Raises Unanswered, also if one of them is an error, or one
        that ``send`` has left unread."""
        return self._lend(lambda line: line.ask(commands, self._seconds))

    def send(self, *commands: Command) -> None:
        """Leaves the answers to the connection's next ``ask``. Raises Unanswered if it cannot send."""
        self._lend(lambda line: line.send(commands))

    def close(self) -> None:
        """Connections in use are closed when they are returned."""
        self._closed = True
        self._close_idle()

    def _lend(self, work: Callable[[_Line], T]) -> T:
        if not self._slots.acquire(timeout=self._seconds):
            raise Unanswered(TimeoutError())
        try:
            return self._use(work)
        except (redis.RedisError, ValueError) as error:  # ValueError: a malformed host or answer
            failure = Unanswered(error)
        finally:
            self._slots.release()
            if self._closed:
                self._close_idle()
        self._close_idle()  # they may have the same refusal yet to read, or a server that is a replica by now
        raise failure

    def _use(self, work: Callable[[_Line], T]) -> T:
        """Retries on a new connection if an idle one has died. A timeout is not retried."""
        try:
            line = self._idle.pop()
        except IndexError:
            return self._try(self._open(), work)
        try:
            return self._try(line, work)
        except redis.ConnectionError:
            return self._try(self._open(), work)

    def _open(self) -> _Line:
        return _Line(self._make())

    def _try(self, line: _Line, work: Callable[[_Line], T]) -> T:
        """Closes the connection on any failure, so that no command can receive the answer to another one."""
        is_sound = False
        try:
            outcome = work(line)
            is_sound = True
        finally:
            if is_sound:
                self._idle.append(line)
            else:
                line.close()
        return outcome

    def _close_idle(self) -> None:
        while True:
            try:
                self._idle.pop().close()
            except IndexError:
                return


def _connection_factory(url: str, seconds: float) -> Callable[[], Any]:
    """A factory of connections for a URL, which must not ask for less security or longer waits."""
    try:
        options = parse_url(url)  # type: ignore[no-untyped-call]
        if options.pop("ssl_cert_reqs", "required") == "required" and options.keys() <= _ALLOWED_OPTIONS:
            connection_class = options.pop("connection_class", Connection)
            timeouts = {"socket_timeout": seconds, "socket_connect_timeout": seconds}
            return partial(connection_class, **options, **timeouts, **_NO_HANDSHAKE)
    except ValueError:
        pass  # the error's text may hold a part of the password
    raise ConfigError("REDIS_URL", "is not a valid URL, or has options other than db and ssl_ca_certs")
