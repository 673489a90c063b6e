"""Brings a database's tables and functions up to date."""

import logging

from chalicelib.pool import Pool
from chalicelib.queries import files, sql

_SECONDS = 300.0
_log = logging.getLogger("decant.migrations")


def apply_missing(pool: Pool) -> list[str]:
    """Applies the missing migrations, whose names it returns, and defines the functions; all or nothing.

    Logs a warning if Postgres' own log may hold what is stored.
    """
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
