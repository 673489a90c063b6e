"""The benchmark in small, with those competitors for whom nothing more need be installed."""

import pytest

from bench.ingest import tables
from bench.ingest.contest import contest
from bench.ingest.decant import Decant
from bench.ingest.pages import pages_of
from bench.ingest.way import WrongResult
from bench.read.contest import contests, told
from bench.servers import Servers

WAYS = ("tutorial", "by-hand", "decant", "decant-bad", "decant-again", "ceiling")


@pytest.fixture
def servers(postgres, valkey, sql, redis_client):
    yield Servers(postgres.url, valkey.url)
    redis_client.flushall()


def test_every_way_stores_what_it_is_given(servers):
    results = contest(servers, records=200, page_size=100, rounds=1, names=WAYS)

    assert [result.way for result in results] == list(WAYS)
    assert all(result.rate > 0 for result in results)
    assert "| the ceiling: prepared rows and cache entries |" in tables.one(results)
    assert "| load |" in tables.steps(results[WAYS.index("decant")])
    assert "| 200 | 100 |" in tables.by_pages({(200, 100): results})


def test_a_way_that_stores_less_is_found_out(servers):
    way = Decant(servers, pages_of(20, 10))
    way.prepare()
    way.work()
    servers.rows("DELETE FROM users_address WHERE uid = (SELECT min(uid::text)::uuid FROM users)")

    with pytest.raises(WrongResult):
        way.check()
    way.close()


def test_a_read_is_compared_with_the_bare_stores(servers, app_environment):
    hot, miss, listed = contests(servers, rounds=1, calls=4, names=["decant"])
    app_environment()

    assert set(hot.turns) == {"GET, held", "GET, pooled", "decant", "authorizer"}
    assert set(miss.turns) == set(listed.turns) == {"SELECT", "decant"}
    assert "| **Decant** |" in told(hot)
