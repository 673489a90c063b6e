"""The app behind wires that can be disturbed, and next to it an undisturbed one for comparison."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg2
import redis

from chalicelib.privacy import Tokeniser
from chalicelib.store import Store
from local.postgres import Postgres
from local.valkey import Valkey
from tests.conftest import Sql
from tests.faults import invariants
from tests.faults.child import Order, Outcome, Run, preload
from tests.faults.invariants import Problem
from tests.faults.source import PAGES, SIZE, ChangingUserApi
from tests.faults.wire import Wire
from tests.keys import PII_KEY, pii_keys

_SCHEDULED = Order()
_PATIENCE_SECONDS = 30
DATABASES = ("trial", "undisturbed")


def make_databases(postgres: Postgres) -> None:
    with contextlib.closing(Sql(postgres.url)) as sql:
        for name in DATABASES:
            sql(f"CREATE DATABASE {name}")
            with contextlib.closing(Store(postgres.url.removesuffix("/postgres") + f"/{name}")) as store:
                store.migrate()


class Trial:
    """For each day: begin it, disturb its run, let the next run recover, then look for problems."""

    def __init__(self, postgres: Postgres, valkey: Valkey, log: Path) -> None:
        """Requires the DATABASES."""
        self.log = log
        self.postgres, self.valkey, self.source = postgres, valkey, ChangingUserApi()
        self.wires = {
            "source": Wire(self.source.port), "Postgres": Wire(postgres.port), "Redis": Wire(valkey.port),
        }  # fmt: skip
        self.url = postgres.url.removesuffix("/postgres") + "/trial"
        self.sql, self._undisturbed = Sql(self.url), Sql(self._undisturbed_settings["DATABASE_URL"])
        self._store, self.redis = Store(self.url), redis.Redis.from_url(valkey.url)
        self.is_read = False
        self._held_before: invariants.Held = {}
        self.messages: Mapping[str, int] = {}  # by wire, in an undisturbed run

    @contextlib.contextmanager
    def running(self) -> Iterator["Trial"]:
        preload()
        closing = map(contextlib.closing, (self.sql, self._undisturbed, self._store, self.redis))
        with contextlib.ExitStack() as opened:
            for part in (self.source, *self.wires.values(), *closing):
                opened.enter_context(part)
            self._begin()
            yield self
            assert invariants.raw_values(self.source.secrets(), self.sql, self.redis, self.log) == []

    def _begin(self) -> None:
        """Starts empty except for one erased person, with one undisturbed day."""
        (token,) = Tokeniser({1: PII_KEY}).candidates("uid", self.source.somebody())
        for sql in (self.sql, self._undisturbed):
            sql.empty()
            sql("INSERT INTO erasures (uid_token) VALUES (%s)", token)
        self.redis.flushall()
        self.begin_day()
        self.recover()
        self.messages = {name: wire.passed for name, wire in self.wires.items()}
        assert self.problems() == []

    def begin_day(self) -> None:
        """Changes the source; the undisturbed app ingests the changes immediately."""
        self.source.day += 1
        outcome = Run(self._undisturbed_settings, self.log, Order()).wait()
        assert outcome is not None
        assert outcome.ended == "succeeded"
        self._held_before = invariants.held(self.redis)
        self._heal()

    def start(self, order: Order = _SCHEDULED, **changed: str) -> Run:
        """Starts a run with the usual settings, or changed ones."""
        return Run({**self.settings, **changed}, self.log, order)

    def recover(self) -> Outcome | None:
        """Does the next scheduled run, after the leases of dead runs have expired."""
        self._heal()
        self.sql.expire_leases()
        return self.start().wait()

    def _heal(self) -> None:
        for wire in self.wires.values():
            wire.begin()

    def hang_up(self) -> None:
        """Closes the trial's own connections, before Postgres goes down: they are not part of the trial."""
        self.sql.close()
        self._undisturbed.close()

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

    def problems(self) -> list[Problem]:
        """All problems after the day's last run."""
        problems = [
            *invariants.violations(self.sql),
            *invariants.differences(self.sql, self._undisturbed),
            *invariants.lasting(self.redis),
        ]
        if not self.is_read:  # a slow reader may still cache what was current when it asked
            problems += invariants.stale(self.redis, self._store, self._held_before)
        return problems

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
                ("SOURCE_URL", "source", self.source.port, self._undisturbed_settings["SOURCE_URL"]),
            )
        }
        return {**self._undisturbed_settings, **through}

    @property
    def _undisturbed_settings(self) -> Mapping[str, str]:
        return {
            "DATABASE_URL": self.postgres.url.removesuffix("/postgres") + "/undisturbed",
            "REDIS_URL": self.valkey.url.removesuffix("/0") + "/1",
            "SOURCE_URL": self.source.url("random-data-api"),
            "SOURCE_PAGES": str(PAGES),
            "SOURCE_PAGE_SIZE": str(SIZE),
            "PII_KEYS": pii_keys({1: PII_KEY}),
            "API_KEYS": "{}",
        }
