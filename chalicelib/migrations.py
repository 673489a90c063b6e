"""Brings a database's tables and functions up to date."""

import logging
import time

from chalicelib.pool import Connection, Pool
from chalicelib.queries import files, sql
from chalicelib.retries import retry_while_locked

_SECONDS, _LOCKED_SECONDS = 300.0, 120.0
_log = logging.getLogger("decant.migrations")


def apply_missing(pool: Pool) -> list[str]:
    """Applies the missing migrations, whose names it returns, and then defines the functions.

    Each in a transaction of its own: one that has changed a table does not keep its readers waiting while the
    next one works. Waits for no lock longer than two seconds, since others would wait behind it, but tries
    again for two minutes. Logs a warning if Postgres' own log may hold what is stored.
    """
    until, applied = time.monotonic() + _SECONDS, list[str]()

    def step() -> str | None:
        return pool.run("migrate", _step, max(1.0, until - time.monotonic()))

    while name := retry_while_locked(step, min(_LOCKED_SECONDS, until - time.monotonic())):
        applied.append(name)
    return applied


def _step(conn: Connection) -> str | None:
    """Applies the first missing migration and returns its name; if there is none, defines the functions."""
    with conn, conn.cursor() as cursor:
        cursor.execute(sql("migrations"))
        applied = {name for (name,) in cursor.fetchall()}
        for file in files("migrations"):
            if file.stem not in applied:
                cursor.execute(file.read_text(encoding="utf-8"))
                cursor.execute(sql("note_migration"), {"name": file.stem})
                return file.stem
        for file in files("functions"):
            cursor.execute(file.read_text(encoding="utf-8"))
        cursor.execute(sql("statement_log"))
        if wrong := [name for (name,) in cursor.fetchall()]:
            _log.warning("Postgres may log what is stored; see docs/configuration.md: %s", ", ".join(wrong))
        return None
