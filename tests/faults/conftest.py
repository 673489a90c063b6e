"""A trial with its own databases."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from local.postgres import Postgres
from local.valkey import Valkey
from tests.conftest import Sql
from tests.faults.trial import DATABASES, Trial, make_databases


@pytest.fixture(scope="session")
def databases(postgres: Postgres) -> Iterator[None]:
    make_databases(postgres)
    yield
    with contextlib.closing(Sql(postgres.url)) as sql:  # the server may have been restarted in between
        for name in DATABASES:
            sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def trial(databases: None, postgres: Postgres, valkey: Valkey, tmp_path: Path) -> Iterator[Trial]:
    with Trial(postgres, valkey, tmp_path / "log").running() as running:
        yield running
