"""The app behind wires that can be disturbed, and next to it an undisturbed one for comparison."""

import base64
import contextlib
import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg2
import redis

from chalicelib.privacy import Tokeniser
from chalicelib.store import Store
from local.postgres import Postgres
from local.valkey import Valkey
from tests.conftest import EMPTY, Sql
from tests.faults import books
from tests.faults.child import Order, Run, Told, get_ready
from tests.faults.days import PAGES, SIZE, Days
from tests.faults.wire import Wire
from tests.keys import PII_KEY

_SCHEDULED = Order()
_PATIENCE_SECONDS = 30
DATABASES = ("trial", "peace")


def make_databases(postgres: Postgres) -> None:
    with contextlib.closing(Sql(postgres.url)) as sql:
        for name in DATABASES:
            sql(f"CREATE DATABASE {name}")
            with contextlib.closing(Store(postgres.url.removesuffix("/postgres") + f"/{name}")) as store:
                store.migrate()


class Trial:
    """For each day: begin it, disturb its run, let the next run recover, then check the books."""

    def __init__(self, postgres: Postgres, valkey: Valkey, log: Path) -> None:
        """Requires the DATABASES."""
        self.log = log
        self.postgres, self.valkey, self.days = postgres, valkey, Days()
        self.wires = {
            "source": Wire(self.days.port), "Postgres": Wire(postgres.port), "Redis": Wire(valkey.port),
        }  # fmt: skip
        self.url = postgres.url.removesuffix("/postgres") + "/trial"
        self.sql, self._peace = Sql(self.url), Sql(self._peace_settings["DATABASE_URL"])
        self._store, self.redis = Store(self.url), redis.Redis.from_url(valkey.url)
        self.is_read = False
        self._held_before: books.Held = {}
        self.messages: Mapping[str, int] = {}  # by wire, in an undisturbed run

    @contextlib.contextmanager
    def running(self) -> Iterator["Trial"]:
        get_ready()
        closing = map(contextlib.closing, (self.sql, self._peace, self._store, self.redis))
        with contextlib.ExitStack() as opened:
            for part in (self.days, *self.wires.values(), *closing):
                opened.enter_context(part)
            self._begin()
            yield self
            assert books.raw_values(self.days.secrets(), self.sql, self.redis, self.log) == []

    def _begin(self) -> None:
        """Starts empty except for one erased person, with one undisturbed day."""
        (token,) = Tokeniser({1: PII_KEY}).candidates("uid", self.days.somebody())
        for sql in (self.sql, self._peace):
            sql(EMPTY)
            sql("INSERT INTO erasures (uid_token) VALUES (%s)", token)
        self.redis.flushall()
        self.begin_day()
        self.recover()
        self.messages = {name: wire.passed for name, wire in self.wires.items()}
        assert self.problems() == []

    def begin_day(self) -> None:
        """Changes the source; the undisturbed app ingests the changes immediately."""
        self.days.day += 1
        told = Run(self._peace_settings, self.log, Order()).wait()
        assert told is not None
        assert told.ended == "succeeded"
        self._held_before = books.held(self.redis)
        self._heal()

    def start(self, order: Order = _SCHEDULED, **changed: str) -> Run:
        """Starts a run with the usual settings, or changed ones."""
        return Run({**self.settings, **changed}, self.log, order)

    def recover(self) -> Told | None:
        """Does the next scheduled run, after the leases of dead runs have expired."""
        self._heal()
        self.expire_leases()
        return self.start().wait()

    def expire_leases(self) -> None:
        self.sql("UPDATE runs SET lease_expires_at = now() - interval '1 second' WHERE status = 'running'")

    def _heal(self) -> None:
        for wire in self.wires.values():
            wire.begin()

    def hang_up(self) -> None:
        """Closes the trial's own connections, before Postgres goes down: they are not part of the trial."""
        self.sql.close()
        self._peace.close()

    def wait_for_postgres(self) -> None:
        """Waits until it has recovered from what was just done to it."""
        until = time.monotonic() + _PATIENCE_SECONDS
        time.sleep(0.1)
        while time.monotonic() < until:
            try:
                self.sql("SELECT")
                return
            except psycopg2.Error:
                self.hang_up()
                time.sleep(0.05)
        raise AssertionError("Postgres does not come back")

    def problems(self) -> list[str]:
        """All problems after the day's last run."""
        told = [
            *books.broken_laws(self.sql),
            *books.differences(self.sql, self._peace),
            *books.everlasting(self.redis),
        ]
        if not self.is_read:  # a slow reader may still cache what was current when it asked
            told += books.stale(self.redis, self._store, self._held_before)
        return told

    def statuses(self, last: int) -> list[str]:
        """The statuses of the last runs, newest last."""
        rows = self.sql("SELECT status FROM runs ORDER BY started_at DESC LIMIT %s", last)
        return [status for (status,) in reversed(rows)]

    def versions(self) -> dict[str, int]:
        """Everybody's version in Postgres."""
        return dict(self.sql("SELECT uid::text, version FROM users"))

    @property
    def settings(self) -> Mapping[str, str]:
        """The settings of the app behind the wires."""
        through = {
            name: setting.replace(f":{port}/", f":{self.wires[wire].port}/")
            for name, wire, port, setting in (
                ("DATABASE_URL", "Postgres", self.postgres.port, self.url),
                ("REDIS_URL", "Redis", self.valkey.port, self.valkey.url),
                ("SOURCE_URL", "source", self.days.port, self._peace_settings["SOURCE_URL"]),
            )
        }
        return {**self._peace_settings, **through}

    @property
    def _peace_settings(self) -> Mapping[str, str]:
        return {
            "DATABASE_URL": self.postgres.url.removesuffix("/postgres") + "/peace",
            "REDIS_URL": self.valkey.url.removesuffix("/0") + "/1",
            "SOURCE_URL": self.days.url("random-data-api"),
            "SOURCE_PAGES": str(PAGES),
            "SOURCE_PAGE_SIZE": str(SIZE),
            "PII_KEYS": json.dumps({"1": base64.b64encode(PII_KEY).decode()}),
            "API_KEYS": "{}",
        }
