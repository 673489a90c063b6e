"""Real servers for the tests, started on first use, on ports and in folders of their own.

They never touch the developer's. A unit test that uses none of these fixtures starts nothing.
"""

import contextlib
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import psycopg2
import pytest
import redis
from xdist.scheduler import LoadFileScheduling

from chalicelib import wiring
from chalicelib.access import SCOPES, key_hash
from chalicelib.cache import Cache
from chalicelib.privacy import Tokeniser
from chalicelib.store import Store
from chalicelib.telemetry import NoValues
from local import settings
from local.postgres import Postgres
from local.user_api import UserApi
from local.valkey import Valkey
from tests.keys import API_KEY, KEY_WITHOUT_SCOPES, PII_KEY, pii_keys

TTL_SECONDS = 120

# Faster than TRUNCATE, which creates new files. Addresses and rejects are deleted by cascade.
_EMPTY = "DELETE FROM users; DELETE FROM runs; DELETE FROM erasures; DELETE FROM key_versions"
_EXPIRE = "UPDATE runs SET lease_expires_at = now() - interval '1 second' WHERE status = 'running'"


class AFileAtATime(LoadFileScheduling):
    """Runs each file's tests in one xdist worker, and all files that share one LocalStack in one worker."""

    def _split_scope(self, nodeid: str) -> str:
        is_shared = nodeid.startswith("tests/e2e/in_localstack/")
        return "LocalStack" if is_shared else super()._split_scope(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> AFileAtATime:
    return AFileAtATime(config, log)


class Sql:
    """Runs SQL directly on a database, bypassing the store. Each call is a transaction; returns the rows."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: Any = None

    def __call__(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        if self._connection is None:
            self._connection = psycopg2.connect(self._url)
            self._connection.autocommit = True
        with self._connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []

    def empty(self) -> None:
        """Deletes all people, runs, erasures and key versions."""
        self(_EMPTY)

    def expire_leases(self) -> None:
        """Makes the lease of every running run expire."""
        self(_EXPIRE)

    def close(self) -> None:
        """Closes the connection; the next call opens a new one."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A migrated Postgres."""
    with Postgres(tmp_path_factory.mktemp("postgres") / "server", throwaway=True) as server:
        with contextlib.closing(Store(server.url)) as store:
            store.migrate()
        yield server


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("valkey") / "server") as server:
        yield server


@pytest.fixture
def sql(postgres: Postgres) -> Iterator[Sql]:
    """The migrated database, emptied."""
    with contextlib.closing(Sql(postgres.url)) as run:
        run.empty()
        yield run


@pytest.fixture
def empty_database_url(postgres: Postgres, sql: Sql) -> Iterator[str]:
    """A database without any tables."""
    sql("CREATE DATABASE empty")
    try:
        yield postgres.url.removesuffix("/postgres") + "/empty"
    finally:
        sql("DROP DATABASE empty WITH (FORCE)")


@pytest.fixture
def store(postgres: Postgres, sql: Sql) -> Iterator[Store]:
    with contextlib.closing(Store(postgres.url)) as opened:
        yield opened


@pytest.fixture
def redis_client(valkey: Valkey) -> Iterator[redis.Redis]:
    """A direct client of Redis, which is empty."""
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
        yield client


@pytest.fixture
def cache(valkey: Valkey, redis_client: redis.Redis, store: Store) -> Iterator[Cache]:
    with contextlib.closing(Cache(valkey.url, store, TTL_SECONDS)) as opened:
        yield opened


@pytest.fixture
def postgres_down(postgres: Postgres, sql: Sql) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Stops Postgres for the duration of a with-block."""
    return lambda: _down(postgres, sql.close)


@pytest.fixture
def redis_down(
    valkey: Valkey, redis_client: redis.Redis
) -> Callable[[], contextlib.AbstractContextManager[None]]:
    """Stops Redis for the duration of a with-block; it comes back empty."""
    return lambda: _down(valkey, redis_client.connection_pool.disconnect)


@contextlib.contextmanager
def _down(server: Postgres | Valkey, hang_up: Callable[[], None]) -> Iterator[None]:
    hang_up()
    server.stop()
    try:
        yield
    finally:
        server.start()


@pytest.fixture
def unfiltered_log() -> Iterator[None]:
    """Shows log lines as they were before the filter of values, which has tests of its own."""
    handlers = [*logging.getLogger().handlers, *logging.getLogger("decant").handlers]
    filters = [handler.filters for handler in handlers]
    for handler in handlers:
        handler.filters = [one for one in handler.filters if not isinstance(one, NoValues)]
    yield
    for handler, before in zip(handlers, filters, strict=True):
        handler.filters = before


@pytest.fixture
def tokeniser() -> Tokeniser:
    return Tokeniser({1: PII_KEY})


@pytest.fixture
def user_api() -> Iterator[UserApi]:
    with UserApi() as running:
        yield running


@pytest.fixture
def app_environment(
    monkeypatch: pytest.MonkeyPatch,
    postgres: Postgres,
    valkey: Valkey,
    sql: Sql,
    redis_client: redis.Redis,
    user_api: UserApi,
) -> Iterator[Callable[..., None]]:
    """Sets the app's settings in the environment; call it to change some. Resets wiring before and after."""

    def change(**changed: str) -> None:
        for name, value in changed.items():
            monkeypatch.setenv(name, value)
        wiring.reset()

    for name in settings.NAMES:
        monkeypatch.delenv(name, raising=False)
    change(
        DATABASE_URL=postgres.url,
        REDIS_URL=valkey.url,
        SOURCE_URL=user_api.url("random-data-api"),
        SOURCE_PAGE_SIZE="20",
        PII_KEYS=pii_keys({1: PII_KEY}),
        API_KEYS=json.dumps({key_hash(API_KEY): sorted(SCOPES), key_hash(KEY_WITHOUT_SCOPES): []}),
    )
    yield change
    wiring.reset()
