"""The benchmark on a small scale, with the competitors that need no further installation."""

import os

import pytest

from bench.ingest import tables
from bench.ingest.contest import contest
from bench.ingest.decant import Decant
from bench.ingest.pages import pages_of
from bench.ingest.way import WrongResult
from bench.placement import PLACES, placed
from bench.read.contest import contests, markdown
from bench.servers import Servers

WAYS = ("tutorial", "by-hand", "decant", "decant-bad", "decant-again", "ceiling")


@pytest.fixture
def servers(postgres, valkey, sql, redis_client):
    yield Servers(postgres.url, valkey.url, (postgres.pid, valkey.pid))
    redis_client.flushall()


def test_every_competitor_stores_what_it_is_given(servers):
    results = contest(servers, records=200, page_size=100, rounds=1, names=WAYS)

    assert [result.way for result in results] == list(WAYS)
    assert all(result.rate > 0 for result in results)
    assert "| the ceiling: prepared rows and cache entries |" in tables.one(results)
    assert "| load |" in tables.steps(results[WAYS.index("decant")])
    assert "| 200 | 100 |" in tables.by_pages({(200, 100): results})


def test_a_competitor_that_stores_less_is_detected(servers):
    way = Decant(servers, pages_of(20, 10))
    way.prepare()
    way.work()
    servers.rows("DELETE FROM users_address WHERE uid = (SELECT min(uid::text)::uuid FROM users)")

    with pytest.raises(WrongResult):
        way.check()
    way.close()


def test_a_read_is_compared_with_bare_postgres_and_redis(servers, app_environment):
    hot, miss, listed = contests(servers, rounds=1, calls=4, names=["decant"])
    app_environment()

    for place in PLACES:
        assert set(hot.turns[place]) == {"GET, held", "GET, pooled", "decant", "authorizer"}
        assert set(miss.turns[place]) == {"SELECT", "GET, SELECT, SET", "decant"}
        assert set(listed.turns[place]) == {"SELECT", "decant"}
    assert "| **Decant** |" in markdown(hot)


def cores_of(pids):
    return [os.sched_getaffinity(pid) for pid in pids]


@pytest.mark.skipif("two cores" not in PLACES, reason="needs Linux and two cores")
@pytest.mark.parametrize(("place", "cores"), [("one core", 1), ("two cores", 2)])
def test_pinned_processes_get_all_cores_back_even_after_an_error(servers, place, cores):
    everybody = (os.getpid(), *servers.pids)
    before = cores_of(everybody)

    def look_and_fail():
        with placed(servers, place):
            raise KeyError(*cores_of(everybody))

    with pytest.raises(KeyError) as raised:
        look_and_fail()

    assert [len(one) for one in raised.value.args] == [1, 1, 1]
    assert len(set.union(*raised.value.args)) == cores
    assert cores_of(everybody) == before
