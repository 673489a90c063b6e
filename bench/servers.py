"""Postgres and Valkey as `make run` starts them: with their defaults, so that a commit waits for the disk."""

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psycopg2
import redis

from chalicelib.store import Store
from local import postgres, signals
from local.valkey import Valkey

# All of Decant's tables, and those that the competitors have created beside them.
_TABLES = r"""
SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
WHERE schemaname NOT IN ('pg_catalog', 'information_schema') AND schemaname NOT LIKE 'pg\_temp%'
    AND tablename <> 'migrations' AND tablename NOT LIKE '\_dlt%'
"""


@dataclass(frozen=True)
class Servers:
    """Two running servers, with Decant's tables migrated."""

    database_url: str
    redis_url: str
    pids: tuple[int, ...]

    def empty(self) -> None:
        """Removes every row and entry, and makes a checkpoint, so that the next one has nothing to do."""
        tables = [name for (name,) in self.rows(_TABLES)]
        self.rows(f"TRUNCATE {', '.join(tables)}")
        self.rows("CHECKPOINT")
        with redis.Redis.from_url(self.redis_url) as client:
            client.flushall()

    def count(self, table: str) -> int:
        return int(self.rows(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608  names of our own

    def entries(self) -> int:
        """How many entries Redis holds."""
        with redis.Redis.from_url(self.redis_url) as client:
            return int(client.dbsize())

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(psycopg2.connect(self.database_url)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchall() if cursor.description else []


@contextlib.contextmanager
def running() -> Iterator[Servers]:
    """Starts servers for this benchmark alone, and removes them however it ends."""
    signals.interrupt()
    with tempfile.TemporaryDirectory(prefix="decant-bench-") as folder:
        place = Path(folder, "postgres")
        try:
            with postgres.Postgres(place) as database, Valkey(Path(folder, "valkey")) as cache:
                pids = cast("int", database.pid), cast("int", cache.pid)  # both run
                servers = Servers(database.url, cache.url, pids)
                with contextlib.closing(Store(servers.database_url)) as store:
                    store.migrate()
                yield servers
        finally:
            postgres.remove(place)
