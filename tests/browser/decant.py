"""A complete Decant for the page's tests and screenshots: its own servers, people, a day of runs."""

import base64
import contextlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import redis

from chalicelib import pipeline
from chalicelib.access import key_hash
from chalicelib.cache import Cache
from chalicelib.edges import Edges, Plan
from chalicelib.errors import SourceUnavailable
from chalicelib.privacy import Tokeniser
from chalicelib.store import Store
from local import people
from local.postgres import Postgres
from local.user_api import UserApi
from local.valkey import Valkey
from tests.chalice_local import Server, serving
from tests.conftest import TTL_SECONDS, Sql
from tests.fakes import FakeSource
from tests.integration.api_support import KEYS
from tests.keys import PII_KEY, pii_keys

RUNS = 50
PAGE_SIZE = 120


@dataclass
class Decant:
    """The servers, which a test may stop, and direct access past the app to inspect and prepare data."""

    server: Server
    postgres: Postgres
    valkey: Valkey
    source: UserApi
    store: Store
    cache: Cache
    sql: Sql

    @property
    def url(self) -> str:
        return self.server.url

    def forget_cached(self) -> None:
        """Empties the cache, so that the next answer comes from Postgres."""
        with redis.Redis.from_url(self.valkey.url) as client:
            client.flushall()

    def empty(self) -> None:
        """Deletes all people, runs, erasures and key versions, and the cache."""
        self.sql.empty()
        self.forget_cached()

    @contextlib.contextmanager
    def without(self, server: Postgres | Valkey) -> Iterator[None]:
        self.sql.close()
        server.stop()
        try:
            yield
        finally:
            server.start()


@contextlib.contextmanager
def start_decant(folder: Path) -> Iterator[Decant]:
    """Starts one, with a source slow enough for a run in progress to be seen."""
    with contextlib.ExitStack() as open_:
        postgres = open_.enter_context(Postgres(folder / "postgres", throwaway=True))
        valkey = open_.enter_context(Valkey(folder / "valkey"))
        source = open_.enter_context(UserApi())
        store = open_.enter_context(contextlib.closing(Store(postgres.url)))
        cache = open_.enter_context(contextlib.closing(Cache(valkey.url, store, TTL_SECONDS)))
        sql = open_.enter_context(contextlib.closing(Sql(postgres.url)))
        store.migrate()
        settings = {
            "DATABASE_URL": postgres.url,
            "REDIS_URL": valkey.url,
            "SOURCE_URL": source.url("random-data-api", bad=0.02, fault="delay-0.3"),
            "PII_KEYS": pii_keys({1: PII_KEY}),
            "QUARANTINE_KEY": base64.b64encode(PII_KEY).decode(),
            "API_KEYS": json.dumps({key_hash(key): scopes for key, scopes in KEYS.items()}),
        }
        server = open_.enter_context(serving(folder, **settings))
        yield Decant(server, postgres, valkey, source, store, cache, sql)


def simulate_a_day(decant: Decant) -> None:
    """Does runs as a schedule would, dated five minutes apart; the same each time."""
    chance = random.Random(7)  # noqa: S311
    tokeniser = Tokeniser({1: PII_KEY})
    known = [person["uid"] for person in json.loads(page_of_source(1))]
    for number in range(RUNS):
        source = _source(number, chance)
        if number % 5 == 3:  # simulates changes in the source
            changed = known[10 : chance.randrange(25, 80)]
            decant.sql("UPDATE users SET content_hash = '\\x00' WHERE uid::text = ANY (%s)", changed)
        if number == 20:
            for uid in known[:9]:
                decant.store.erase(uid, [tokeniser.token("uid", uid)], tokeniser.key_in_use)
        plan = Plan("schedule", _pages(number), PAGE_SIZE, max_reject_ratio=0.2)
        pipeline.run(Edges(source, decant.store, decant.cache, tokeniser), plan)
    _spread(decant.sql)
    decant.forget_cached()


def _pages(number: int) -> int:
    return 3 if number in {0, 12, 13, 27} else 2 if number % 4 == 0 else 1


def _source(number: int, chance: random.Random) -> FakeSource:
    """Slightly more of the same people each time, some records invalid; fails in two of the runs."""
    bodies: list[bytes | Exception] = [
        page_of_source(page, bad=chance.choice((0, 0, 0.02, 0.06)), seed=1 if page == 1 else number)
        for page in range(1, _pages(number) + 1)
    ]
    if number == 31:
        bodies[0] = SourceUnavailable(1, "status 503")
    if number == 12:
        bodies[2] = SourceUnavailable(3, "status 503")
    if number == 40:
        bodies[0] = page_of_source(1, bad=0.5, seed=1)
    return FakeSource(*bodies)


def page_of_source(page: int, bad: float = 0.0, seed: int = 1) -> bytes:
    """A page as the stand-in would send it."""
    return people.random_data_api(people.Page(str(seed), page, PAGE_SIZE, bad))


def _spread(sql: Sql) -> None:
    """Dates the runs back, five minutes apart."""
    sql(
        "UPDATE runs SET started_at = started_at - back, finished_at = finished_at - back FROM ("
        " SELECT run_id, interval '5 minutes' * (row_number() OVER (ORDER BY started_at DESC) - 0.8) AS back"
        " FROM runs) AS moved WHERE runs.run_id = moved.run_id"
    )
