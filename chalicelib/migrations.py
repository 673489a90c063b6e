"""Brings a database's tables and functions up to date."""

import logging

from chalicelib.pool import Pool, translate_errors
from chalicelib.queries import files, sql
from chalicelib.retries import retry_while_locked

_SECONDS, _LOCKED_SECONDS = 300.0, 120.0
_log = logging.getLogger("decant.migrations")


def apply_missing(pool: Pool) -> list[str]:
    """Applies the missing migrations, whose names it returns, and defines the functions; all or nothing.

    Waits for no lock longer than two seconds, since others would wait behind it, but tries again for two
    minutes. Logs a warning if Postgres' own log may hold what is stored.
    """
    return retry_while_locked(lambda: translate_errors("migrate", lambda: _apply(pool)), _LOCKED_SECONDS)


def _apply(pool: Pool) -> list[str]:
    with pool.connection(_SECONDS) as conn, conn, conn.cursor() as cursor:
        cursor.execute(sql("migrations"))
        applied = {name for (name,) in cursor.fetchall()}
        missing = [file for file in files("migrations") if file.stem not in applied]
        for file in missing:
            cursor.execute(file.read_text(encoding="utf-8"))
            cursor.execute(sql("note_migration"), {"name": file.stem})
        for file in files("functions"):
            cursor.execute(file.read_text(encoding="utf-8"))
        cursor.execute(sql("statement_log"))
        if wrong := [name for (name,) in cursor.fetchall()]:
            _log.warning("Postgres may log what is stored; see docs/configuration.md: %s", ", ".join(wrong))
        return [file.stem for file in missing]
