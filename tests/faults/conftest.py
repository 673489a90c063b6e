"""A trial with databases of its own."""

import contextlib
from collections.abc import Iterator

import pytest

from chalicelib.store import Store
from local.postgres import Postgres
from local.valkey import Valkey
from tests.conftest import Sql
from tests.faults.trial import Trial


@pytest.fixture(scope="session")
def databases(postgres: Postgres) -> Iterator[None]:
    names = ("trial", "peace")
    with contextlib.closing(Sql(postgres.url)) as sql:
        for name in names:
            sql(f"CREATE DATABASE {name}")
            with contextlib.closing(Store(postgres.url.removesuffix("/postgres") + f"/{name}")) as store:
                store.migrate()
        yield
        for name in names:
            sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def trial(databases: None, postgres: Postgres, valkey: Valkey) -> Iterator[Trial]:
    with Trial(postgres, valkey).running() as running:
        yield running
