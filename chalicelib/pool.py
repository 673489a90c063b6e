"""Connections to Postgres: a few, opened when needed, none of which waits for ever. Knows psycopg2 alone.

Driver errors end here: theirs hold rows in their DETAIL, ours hold the query's name and the SQLSTATE.

psycopg2's own pools either open all at once or keep none, and do not wait when all are out.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from queue import Empty, LifoQueue
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg2
from psycopg2.extensions import connection as Connection  # noqa: N812  the class is named in lower case

from chalicelib.errors import ConfigError, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from tenacity import Retrying

T = TypeVar("T")

# Whatever the URL, or PGCLIENTENCODING and the like, may say.
_OURS: dict[str, Any] = {"connect_timeout": 3, "tcp_user_timeout": 5_000, "client_encoding": "UTF8"}
_SIZE = 8
_WAIT_SECONDS = 5
_TRUSTED_IDLE_SECONDS = 1.0  # a connection idle for longer is tried before it is used
_TRY_SECONDS = 2.0
_LOOK_SECONDS = 0.25
_TRIES, _TRY_NO_LONGER_SECONDS = 5, 15.0
_SOON_SECONDS = 1.0
_READ_ONLY, _DISK_FULL = "25006", "53100"
_LOST_RACES = {"40001", "40P01", "users_pkey"}  # two SQLSTATEs, and what a person's second insert meets


class Pool:
    """Autocommitting connections. Raises ConfigError for a malformed URL, StoreUnavailable if all are out."""

    def __init__(self, url: str) -> None:
        self._url = _readable(url)
        self._idle: LifoQueue[tuple[Connection, float]] = LifoQueue()
        self._places = threading.BoundedSemaphore(_SIZE)
        self._watch = _Watch()

    @contextlib.contextmanager
    def connection(self, seconds: float) -> Iterator[Connection]:
        """A connection for one piece of work, which is cut off after so many seconds."""
        if not self._places.acquire(timeout=_WAIT_SECONDS):
            raise StoreUnavailable("connect")
        try:
            held = self._take()
            try:
                with self._watch.over(held, seconds):
                    yield held
            except psycopg2.Error as error:
                if _is_of_no_use(held, error):  # and the idle ones are no better
                    held.close()
                    self.close_idle()
                raise
            finally:
                if not held.closed:
                    self._idle.put((held, time.monotonic()))
        finally:
            self._places.release()

    def close_idle(self) -> None:
        while True:
            try:
                self._idle.get_nowait()[0].close()
            except Empty:
                return

    def _take(self) -> Connection:
        try:
            held, since = self._idle.get_nowait()
        except Empty:
            return self._open()
        if time.monotonic() - since < _TRUSTED_IDLE_SECONDS or self._is_alive(held):
            return held
        held.close()
        self.close_idle()
        return self._open()

    def _open(self) -> Connection:
        try:
            opened: Connection = psycopg2.connect(self._url, application_name="decant", **_OURS)
            opened.autocommit = True
            return opened
        except psycopg2.OperationalError as error:
            refusal = _refusal(str(error))
        raise StoreUnavailable("connect", refusal)

    def _is_alive(self, held: Connection) -> bool:
        try:
            with self._watch.over(held, _TRY_SECONDS), held.cursor() as cursor:
                cursor.execute("SELECT")
        except psycopg2.Error:
            return False
        return True


class _Watch:
    """Cuts connections that have been at work for too long, by one thread for all of them.

    A server that is stopped or stuck acknowledges packets and says nothing; no setting of the driver helps.
    """

    def __init__(self) -> None:
        self._deadlines: dict[Connection, float] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def over(self, held: Connection, seconds: float) -> Iterator[None]:
        with self._lock:
            self._deadlines[held] = time.monotonic() + seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._look, name="postgres-watch", daemon=True)
                self._thread.start()
        try:
            yield
        finally:
            with self._lock:
                self._deadlines.pop(held, None)

    def _look(self) -> None:
        """Ends when there is nothing to watch; the next work starts it anew."""
        while True:
            time.sleep(_LOOK_SECONDS)
            with self._lock:
                overdue = [held for held, until in self._deadlines.items() if until < time.monotonic()]
                for held in overdue:
                    del self._deadlines[held]
                    _cut(held)
                if not self._deadlines:
                    self._thread = None
                    return


def _cut(held: Connection) -> None:
    """Ends the conversation on its socket, as if the server had; the driver then says so by itself."""
    with (
        contextlib.suppress(OSError, psycopg2.Error),  # it ended just now
        socket.fromfd(held.fileno(), socket.AF_INET, socket.SOCK_STREAM) as line,
    ):
        line.shutdown(socket.SHUT_RDWR)


def _readable(url: str) -> str:
    try:
        psycopg2.extensions.parse_dsn(url)
        return url
    except psycopg2.ProgrammingError:
        pass  # its text holds a part of the URL
    raise ConfigError("DATABASE_URL", "cannot be read as a URL")


def _is_of_no_use(held: Connection, error: psycopg2.Error) -> bool:
    """The server went away, talked nonsense, or is a standby by now: another may find the primary."""
    return bool(held.closed) or error.pgcode in {None, _READ_ONLY}


# What a server says when it refuses a connection. The driver hands on its words (English, unless
# `lc_messages` is set), not its SQLSTATE. The first two are the driver's own, and no server's.
_REFUSALS = {
    "certificate": "08001",  # not verified, not of this host, or nothing there to verify it by
    "SSL was required": "08001",
    "too many c": "53300",  # clients, or connections for a role or a database
    "remaining connection slots": "53300",
    "starting up": "57P03",
    "in recovery": "57P03",
    "not yet accepting connections": "57P03",
    "shutting down": "57P03",
    "authentication failed": "28P01",
    "does not exist": "3D000",
}


def _refusal(words: str) -> str | None:
    """The SQLSTATE of a refused connection, if it can be told; the words themselves hold parts of the URL."""
    return next((state for said, state in _REFUSALS.items() if said in words), None)


def _passes(error: BaseException) -> bool:
    """Whether a failure may pass: Postgres is away, or this lost against another transaction."""
    is_away = isinstance(error, StoreUnavailable) and error.sqlstate != _DISK_FULL
    return is_away or _lost_a_race(error)


def _lost_a_race(error: BaseException | None) -> bool:
    """Against a transaction that has ended by now: a deadlock, or it brought the same new person."""
    return isinstance(error, StoreError) and bool({error.sqlstate, error.constraint} & _LOST_RACES)


@cache
def again() -> Retrying:
    """For what a run has worked for: tries for some seconds."""
    from tenacity import (  # late: it imports asyncio, which would take a third of a cold start
        Retrying,
        retry_if_exception,
        stop_after_attempt,
        stop_after_delay,
        wait_exponential_jitter,
    )

    patience = wait_exponential_jitter(multiplier=0.5, max=5, jitter=0.5)  # 8 s: Postgres may be starting
    return Retrying(
        retry=retry_if_exception(_passes),
        stop=stop_after_attempt(_TRIES) | stop_after_delay(_TRY_NO_LONGER_SECONDS),
        wait=lambda t: 0 if _lost_a_race(t.outcome.exception()) else patience(t),  # type: ignore[union-attr]
        reraise=True,
    )


def at_once(work: Callable[[], T]) -> T:
    """Does it once more if that may help, but not after what took long to fail: whoever asks is waiting."""
    began = time.monotonic()
    try:
        return work()
    except StoreError as error:
        if not _passes(error) or time.monotonic() - began > _SOON_SECONDS:
            raise
    return work()


def translated(query: str, work: Callable[[], T]) -> T:
    """Raises our errors for the driver's, outside its ``except``: not even their context holds a row."""
    try:
        return work()
    except psycopg2.Error as error:
        ours = _ours(query, error)
    raise ours


def _ours(query: str, error: psycopg2.Error) -> StoreError:
    state = error.pgcode
    is_garbled = type(error) is psycopg2.DatabaseError  # the driver could not make sense of what came
    if is_garbled or isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        is_away = state is None or state[:2] in {"08", "53", "57"}
    else:
        is_away = state == _READ_ONLY
    if is_away:
        return StoreUnavailable(query, state)
    return StoreError(query, state, error.diag.constraint_name)
