"""The connection pool for Postgres: opens on demand, bounds every wait. The only room that uses psycopg2.

Driver errors end here: theirs hold rows in their DETAIL; ours hold the query's name and the SQLSTATE.

psycopg2's own pools either open every connection at once or keep none, and never wait for a free one.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

import psycopg2

from chalicelib.errors import ConfigError, StoreError, StoreUnavailable
from chalicelib.semaphore import Semaphore

Connection = psycopg2.extensions.connection
T = TypeVar("T")

# These override the URL and environment variables such as PGCLIENTENCODING.
_OPTIONS: dict[str, Any] = {"connect_timeout": 3, "tcp_user_timeout": 5_000, "client_encoding": "UTF8"}
_SIZE = 8
_WAIT_SECONDS = 5
_TRUSTED_IDLE_SECONDS = 1.0  # a connection that was idle for longer is tested before use
_PROBE_SECONDS = 2.0
_WATCH_SECONDS = 0.25
_READ_ONLY = "25006"


class Pool:
    """Autocommitting connections. ConfigError if the URL is malformed, StoreUnavailable if all are in use."""

    def __init__(self, url: str) -> None:
        self._url = _checked_url(url)
        self._idle: deque[tuple[Connection, float]] = deque()
        self._slots = Semaphore(_SIZE)
        self._watchdog = _Watchdog()

    def run(self, query: str, work: Callable[[Connection], T], seconds: float) -> T:
        """Lends a connection for one piece of work, and cuts it after the given time.

        Raises our errors in place of the driver's, outside ``except``: not even their context holds a row.
        """
        if not self._slots.acquire(timeout=_WAIT_SECONDS):
            raise StoreUnavailable("connect")
        try:
            return self._use(self._take(), work, seconds)
        except psycopg2.Error as error:
            translated = _store_error(query, error)
        finally:
            self._slots.release()
        raise translated

    def close_idle(self) -> None:
        while True:
            try:
                self._idle.pop()[0].close()
            except IndexError:
                return

    def _take(self) -> Connection:
        try:
            conn, since = self._idle.pop()
        except IndexError:
            return self._open()
        if time.monotonic() - since < _TRUSTED_IDLE_SECONDS or self._is_alive(conn):
            return conn
        conn.close()
        self.close_idle()
        return self._open()

    def _use(self, conn: Connection, work: Callable[[Connection], T], seconds: float) -> T:
        try:
            self._watchdog.watch(conn, seconds)
            return work(conn)
        except psycopg2.Error as error:
            if _is_unusable(conn, error):  # and presumably so are the idle ones
                conn.close()
                self.close_idle()
            raise
        finally:
            self._watchdog.leave(conn)
            if not conn.closed:
                self._idle.append((conn, time.monotonic()))

    def _open(self) -> Connection:
        try:
            opened: Connection = psycopg2.connect(self._url, application_name="decant", **_OPTIONS)
            opened.autocommit = True
            return opened
        except psycopg2.OperationalError as error:
            sqlstate = _refusal_sqlstate(str(error))
        except UnicodeDecodeError:  # the server refused in its own language and encoding
            sqlstate = None
        raise StoreUnavailable("connect", sqlstate)

    def _is_alive(self, conn: Connection) -> bool:
        try:
            self._watchdog.watch(conn, _PROBE_SECONDS)
            with conn.cursor() as cursor:
                cursor.execute("SELECT")
        except psycopg2.Error:
            return False
        finally:
            self._watchdog.leave(conn)
        return True


class _Watchdog:
    """Cuts connections whose work takes too long. One thread watches all of them.

    A server that is stopped or stuck acknowledges packets but never answers; no driver setting covers this.
    """

    def __init__(self) -> None:
        self._deadlines: dict[Connection, float] = {}
        self._lock = threading.Lock()
        self._is_watching = False

    def watch(self, conn: Connection, seconds: float) -> None:
        with self._lock:
            if not self._is_watching:
                threading.Thread(target=self._run, name="postgres-watch", daemon=True).start()
                self._is_watching = True
            self._deadlines[conn] = time.monotonic() + seconds

    def leave(self, conn: Connection) -> None:
        with self._lock:
            self._deadlines.pop(conn, None)

    def _run(self) -> None:
        """Ends when there is nothing left to watch; the next work starts a new thread."""
        while True:
            time.sleep(_WATCH_SECONDS)
            with self._lock:
                overdue = [conn for conn, until in self._deadlines.items() if until < time.monotonic()]
                for conn in overdue:
                    del self._deadlines[conn]
                    _cut(conn)
                if not self._deadlines:
                    self._is_watching = False
                    return


def _cut(conn: Connection) -> None:
    """Shuts down its socket, as if the server had closed it; the driver then raises by itself."""
    with (
        contextlib.suppress(OSError, psycopg2.Error),  # it has just been closed
        socket.fromfd(conn.fileno(), socket.AF_INET, socket.SOCK_STREAM) as sock,
    ):
        sock.shutdown(socket.SHUT_RDWR)


def _checked_url(url: str) -> str:
    try:
        psycopg2.extensions.parse_dsn(url)
        return url
    except psycopg2.ProgrammingError:
        pass  # the error's text holds a part of the URL
    raise ConfigError("DATABASE_URL", "is not a valid URL")


def _is_unusable(conn: Connection, error: psycopg2.Error) -> bool:
    """The server is gone, sent garbage, or is now a standby: a new connection may reach the primary."""
    return bool(conn.closed) or error.pgcode in {None, _READ_ONLY}


# Parts of the messages with which connections are refused. The driver passes on the server's text (English,
# unless `lc_messages` is set), but not its SQLSTATE. The first two come from the driver itself.
_REFUSAL_SQLSTATES = {
    "certificate": "08001",  # not verified, not for this host, or no root certificate to verify it with
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


def _refusal_sqlstate(message: str) -> str | None:
    """The SQLSTATE of a refused connection, if recognised; the text itself holds parts of the URL."""
    return next((sqlstate for part, sqlstate in _REFUSAL_SQLSTATES.items() if part in message), None)


def _store_error(query: str, error: psycopg2.Error) -> StoreError:
    state = error.pgcode
    is_garbled = type(error) is psycopg2.DatabaseError  # the driver could not parse the response
    if is_garbled or isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
        is_unavailable = state is None or state[:2] in {"08", "53", "57"}
    else:
        is_unavailable = state == _READ_ONLY
    if is_unavailable:
        return StoreUnavailable(query, state)
    return StoreError(query, state, error.diag.constraint_name)
