"""Postgres: people, the ledger of runs, rejects. The only file that knows psycopg2.

Driver errors end here: theirs hold rows in their DETAIL, ours hold the query's name and the SQLSTATE.
No session state (no SET, no session lock, no temporary table), so any pooler may stand in front.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import psycopg2

from chalicelib.errors import LeaseLost, StoreError, StoreUnavailable
from chalicelib.ledger import Erased, Loaded, OpenRun, PageLoad, RejectRow
from chalicelib.pool import Pool
from chalicelib.privacy import TOKENISED
from chalicelib.views import RejectView, Run, UserView, encode, stats_view, user_view

T = TypeVar("T")

_SQL = Path(__file__).parent / "sql"

# How long a statement may take before its connection is cut: a server that hangs answers nothing by itself.
_READ_SECONDS = 5.0
_MIGRATION_SECONDS = 300.0
_SECONDS = {"load_page": 60.0, "erase": 30.0, "stats": 20.0}

LEASE_SECONDS = 120

_FILTERS = ("country", "state", "city", "gender", "plan", "updated_since", *TOKENISED)


class Store:
    """All that is kept. Every method is one transaction; safe to share between threads.

    Raises StoreUnavailable if Postgres cannot be reached, StoreError if it refuses.
    """

    def __init__(self, url: str) -> None:
        self._pool = Pool(url)

    def migrate(self) -> list[str]:
        """Applies the migrations that are missing, all or none; returns their names."""
        return _translated("migrate", self._migrate)

    def _migrate(self) -> list[str]:
        with self._pool.connection(_MIGRATION_SECONDS) as held, held, held.cursor() as cursor:
            cursor.execute(_sql("migrations"))
            applied = {name for (name,) in cursor.fetchall()}
            files = sorted((_SQL / "migrations").glob("*.sql"))
            missing = [file for file in files if file.stem not in applied]
            for file in missing:
                cursor.execute(file.read_text(encoding="utf-8"))
                cursor.execute(_sql("note_migration"), {"name": file.stem})
            return [file.stem for file in missing]

    def open_run(
        self, source: str, trigger: str, pages: int, contract_hash: str, key_version: int
    ) -> OpenRun:
        """Opens a run and takes the source's lease, or records that it was skipped."""
        values = {
            "source": source,
            "trigger": trigger,
            "pages": pages,
            "contract_hash": contract_hash,
            "key_version": key_version,
            "lease_seconds": LEASE_SECONDS,
        }
        return OpenRun(*self._rows("open_run", values)[0])

    def load_page(self, load: PageLoad) -> Loaded:
        """Loads a page, all or nothing; the counts in the ledger go with it.

        Raises LeaseLost, and writes nothing, if the run is no longer running.
        """
        values = {
            "run_id": load.run_id,
            "page": load.page,
            "rows": load.rows_json(),
            "rejects": encode(load.rejects).decode(),
            "duplicate": load.duplicates,
            "key_version": load.key_version,
            "lease_seconds": LEASE_SECONDS,
        }
        rows = self._rows("load_page", values)
        if not rows:
            raise LeaseLost("load_page")
        return Loaded(*rows[0])

    def note_rejects(self, run_id: str, page: int, rejects: Sequence[RejectRow]) -> None:
        """Keeps the rejects of a page that is not loaded."""
        self._rows("note_rejects", {"run_id": run_id, "page": page, "rejects": encode(rejects).decode()})

    def finish_run(self, run_id: str, status: str, error: str | None, timings: Mapping[str, float]) -> bool:
        """Ends a run; False if it had already been counted as lost."""
        values = {"run_id": run_id, "status": status, "error": error, "timings": json.dumps(dict(timings))}
        return bool(self._rows("finish_run", values))

    def get_user(self, uid: str) -> bytes | None:
        """The JSON body of one person, or None."""
        rows = self._rows("user", {"uid": uid})
        return encode(user_view(rows[0])) if rows else None

    def list_users(
        self, limit: int, after: str | None = None, filters: Mapping[str, Any] | None = None
    ) -> list[UserView]:
        """People in the order of their uid, after the one given.

        ``filters`` are those of ``users.sql``: of a kept column its text, of a tokenised one its tokens.
        """
        values = dict.fromkeys(_FILTERS) | dict(filters or {}) | {"limit": limit, "after": after}
        return [user_view(row) for row in self._rows("users", values)]

    def erase(self, uid: str, uid_token: str) -> Erased:
        """Deletes a person and remembers the token, so that no later load brings the person back."""
        return Erased(*self._rows("erase", {"uid": uid, "uid_token": uid_token})[0])

    def stats(self) -> bytes:
        """The JSON body of the statistics, computed now."""
        total, computed_at, counts = self._rows("stats", {})[0]
        return encode(stats_view(total, computed_at, counts))

    def list_runs(self, limit: int) -> list[Run]:
        """The newest runs first."""
        return [Run(*row) for row in self._rows("runs", {"limit": limit})]

    def get_run(self, run_id: str) -> Run | None:
        rows = self._rows("run", {"run_id": run_id})
        return Run(*rows[0]) if rows else None

    def list_rejects(self, run_id: str, limit: int) -> list[RejectView]:
        """The first rejects of a run, in the order of the source."""
        return [RejectView(*row) for row in self._rows("rejects", {"run_id": run_id, "limit": limit})]

    def last_success_age(self) -> float | None:
        """Seconds since a run last succeeded, or None."""
        return self._rows("health", {})[0][0]  # type: ignore[no-any-return]

    def close(self) -> None:
        self._pool.close_idle()

    def _rows(self, query: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return _translated(query, lambda: self._ask(query, values))

    def _ask(self, query: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        with self._pool.connection(_SECONDS.get(query, _READ_SECONDS)) as held, held.cursor() as cursor:
            cursor.execute(_sql(query), values)
            return cursor.fetchall() if cursor.description else []


@cache
def _sql(query: str) -> str:
    return (_SQL / "queries" / f"{query}.sql").read_text(encoding="utf-8")


def _translated(query: str, work: Callable[[], T]) -> T:
    """Raises our errors for the driver's, outside its ``except``: not even their context holds a row."""
    try:
        return work()
    except psycopg2.Error as error:
        ours = _ours(query, error)
    raise ours


def _ours(query: str, error: psycopg2.Error) -> StoreError:
    unreachable = isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError)
    if unreachable and (error.pgcode is None or error.pgcode[:2] in {"08", "53", "57"}):
        return StoreUnavailable(query, error.pgcode)
    return StoreError(query, error.pgcode, error.diag.constraint_name)
