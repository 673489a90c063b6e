"""Servers over TLS, with a deployment's URLs: one that cannot prove its name gets no data and no key."""

import contextlib
import logging

import pytest
import trustme

from chalicelib import transport
from chalicelib.cache import Cache
from chalicelib.errors import SourceUnavailable, StoreUnavailable
from chalicelib.sources import random_data_api
from chalicelib.sources.client import Source
from chalicelib.sources.exchange import Limits
from chalicelib.store import Store
from tests.integration.tls import tls_proxy

AUTHORITY = trustme.CA()
GOOD = AUTHORITY.issue_cert("127.0.0.1")
BAD = {
    "of nobody we know": trustme.CA().issue_cert("127.0.0.1"),
    "of another server": AUTHORITY.issue_cert("db.example", "127.0.0.2"),
}


@pytest.fixture
def authorities(tmp_path):
    path = tmp_path / "authorities.pem"
    AUTHORITY.cert_pem.write_to_path(path)
    return path


@pytest.fixture
def stores(postgres, valkey, store, authorities):
    """The store and the cache, connected to servers with the given certificate over deployment-like URLs."""

    @contextlib.contextmanager
    def reach(certificate):
        with (
            tls_proxy(postgres.port, certificate, asks_first=True) as database,
            tls_proxy(valkey.port, certificate, asks_first=False) as redis,
        ):
            database_url = postgres.url.replace(f":{postgres.port}/", f":{database}/")
            redis_url = valkey.url.replace(f":{valkey.port}/", f":{redis}/")
            database_url += f"?sslmode=verify-full&sslrootcert={authorities}"
            redis_url = redis_url.replace("redis://", "rediss://") + f"?ssl_ca_certs={authorities}"
            assert transport.is_safe(database_url)
            assert transport.is_safe(redis_url)
            with (
                contextlib.closing(Store(database_url)) as verified,
                contextlib.closing(Cache(redis_url, store, 120)) as cache,
            ):
                yield verified, cache

    return reach


def test_servers_that_prove_their_names_are_used(stores):
    with stores(GOOD) as (store, cache):
        assert store.last_success_age() is None
        assert cache.is_up()


@pytest.mark.parametrize("whose", BAD)
def test_a_postgres_that_cannot_prove_its_name_is_refused(stores, whose):
    with (
        stores(BAD[whose]) as (store, _),
        pytest.raises(StoreUnavailable, match="query connect failed: SQLSTATE 08001"),
    ):
        store.last_success_age()


@pytest.mark.parametrize("whose", BAD)
def test_a_redis_that_cannot_prove_its_name_is_refused_and_postgres_answers(stores, whose, caplog):
    with stores(BAD[whose]) as (_, cache), caplog.at_level(logging.WARNING):
        assert not cache.is_up()
        assert cache.get_user("7e8a6b1c-0000-4000-8000-000000000000").source == "postgres"
    assert "redis is unavailable (ConnectionError)" in caplog.text


def test_a_postgres_without_tls_is_refused(postgres, authorities):
    url = f"{postgres.url}?sslmode=verify-full&sslrootcert={authorities}"
    with (
        contextlib.closing(Store(url)) as store,
        pytest.raises(StoreUnavailable, match="query connect failed: SQLSTATE 08001"),
    ):
        store.last_success_age()


def test_a_missing_ca_file_is_not_reported_as_a_missing_database(postgres, tmp_path):
    url = f"{postgres.url}?sslmode=verify-full&sslrootcert={tmp_path / 'none.pem'}"
    with contextlib.closing(Store(url)) as store, pytest.raises(StoreUnavailable, match="SQLSTATE 08001"):
        store.last_success_age()


def test_a_redis_without_tls_is_refused(valkey, store, authorities):
    url = valkey.url.replace("redis://", "rediss://") + f"?ssl_ca_certs={authorities}"
    with contextlib.closing(Cache(url, store, 120)) as cache:
        assert not cache.is_up()


@pytest.fixture
def source(user_api, authorities, monkeypatch):
    """The user API with the given certificate."""

    @contextlib.contextmanager
    def reach(certificate):
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authorities))
        with tls_proxy(user_api.port, certificate, asks_first=False) as port:
            url = f"https://127.0.0.1:{port}/api/v2/users"
            with contextlib.closing(Source(url, random_data_api.DIALECT, Limits(attempts=1))) as verified:
                yield verified

    return reach


def test_a_source_that_proves_its_name_is_used(source):
    with source(GOOD) as verified:
        assert verified.fetch(1, 1)


@pytest.mark.parametrize("whose", BAD)
def test_a_source_that_cannot_prove_its_name_gets_no_request(source, user_api, whose):
    with source(BAD[whose]) as verified, pytest.raises(SourceUnavailable, match="no answer: SSLError"):
        verified.fetch(1, 1)
    assert user_api.requests == []
