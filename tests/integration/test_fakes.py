"""The fakes behave like the real edges: each test runs against both."""

from dataclasses import replace

import pytest

from chalicelib.cache import Cache
from chalicelib.errors import LeaseLost
from chalicelib.ledger import Counts, Ending, RunRequest
from chalicelib.store import Store
from tests.fakes import KEY, FakeCache, FakeStore, page_load, person, reject, token, uid


class FakeDatabase:
    """A fake store, with the direct access that SQL gives to the real one."""

    def __init__(self) -> None:
        self.store = FakeStore()

    def lose(self, run_id):
        self.store.lose(run_id)

    def erase(self, uid_token):
        self.store.erased.add(uid_token)

    def status(self, run_id):
        return self.store.runs[run_id]["status"]

    def people(self):
        return sorted(self.store.people)

    def rejects(self, run_id):
        return [(page, row.position) for held, page, row in self.store.rejects if held == run_id]


class RealDatabase:
    def __init__(self, store: Store, sql) -> None:
        self.store, self._sql = store, sql

    def lose(self, run_id):
        self._sql("UPDATE runs SET status = 'lost', finished_at = now() WHERE run_id = %s", run_id)

    def erase(self, uid_token):
        self._sql("INSERT INTO erasures (uid_token) VALUES (%s)", uid_token)

    def status(self, run_id):
        return self._sql("SELECT status FROM runs WHERE run_id = %s", run_id)[0][0]

    def people(self):
        return [who for (who,) in self._sql("SELECT uid FROM users ORDER BY uid")]

    def rejects(self, run_id):
        return self._sql(
            "SELECT page, position FROM rejects WHERE run_id = %s ORDER BY page, position", run_id
        )


@pytest.fixture(params=["fake", "real"])
def database(request):
    if request.param == "fake":
        return FakeDatabase()
    return RealDatabase(request.getfixturevalue("store"), request.getfixturevalue("sql"))


@pytest.fixture
def run_id(database):
    return open_run(database).run_id


def open_run(database, source="here"):
    return database.store.open_run(RunRequest(source, "manual", 1), "hash", 1)


def counts(loaded):
    return (loaded.inserted, loaded.updated, loaded.unchanged, loaded.suppressed, loaded.rejected)


def test_a_second_run_of_a_source_is_skipped_until_the_first_has_ended(database):
    first, second = open_run(database), open_run(database)
    assert (first.status, second.status) == ("running", "skipped")

    assert database.store.finish_run(first.run_id, Ending("succeeded", timings={"fetch": 1.5}))

    assert open_run(database).status == "running"
    assert database.status(first.run_id) == "succeeded"


def test_runs_of_different_sources_can_be_concurrent(database):
    assert [open_run(database, source).status for source in ("here", "there")] == ["running", "running"]


def test_a_load_distinguishes_new_changed_and_unchanged_people(database, run_id):
    first = database.store.load_page(page_load(run_id, person(1), person(2)))
    second = database.store.load_page(page_load(run_id, person(1), person(2, city="Å"), person(3), page=2))

    assert (counts(first), first.versions) == ((2, 0, 0, 0, 0), {uid(1): 1, uid(2): 1})
    assert (counts(second), second.versions) == ((1, 1, 1, 0, 0), {uid(2): 2, uid(3): 1})


def test_a_load_leaves_out_erased_people(database, run_id):
    database.erase(token("x"))

    loaded = database.store.load_page(
        page_load(run_id, person(1), person(2), erasure_tokens=[[token("y"), token("x")], [token("z")]])
    )

    assert (counts(loaded), database.people()) == ((1, 0, 0, 1, 0), [uid(2)])


def test_a_load_keeps_the_pages_rejects(database, run_id):
    loaded = database.store.load_page(page_load(run_id, person(1), rejects=[reject(3), reject(5)], page=2))

    assert loaded.rejected == 2
    assert database.rejects(run_id) == [(2, 3), (2, 5)]


def test_the_rejects_of_a_page_that_is_not_loaded_can_be_kept(database, run_id):
    database.store.note_rejects(run_id, 4, [reject(0)], KEY)

    assert database.rejects(run_id) == [(4, 0)]


def test_a_lost_run_loads_nothing_and_stays_lost(database, run_id):
    database.lose(run_id)

    with pytest.raises(LeaseLost):
        database.store.load_page(page_load(run_id, person(1)))

    assert database.store.finish_run(run_id, Ending("succeeded")) is None
    assert (database.status(run_id), database.people()) == ("lost", [])


def test_ending_a_run_returns_all_its_counts(database, run_id):
    database.erase(token("x"))
    people = [person(1), person(2), person(3)]
    erasure_tokens = [[token("x")], [token("y")], [token("z")]]
    database.store.load_page(page_load(run_id, *people, erasure_tokens=erasure_tokens, duplicates=4))
    second = page_load(run_id, person(2, city="Å"), person(3), rejects=[reject(5)], page=2)
    database.store.load_page(replace(second, filtered=8))

    counted = database.store.finish_run(run_id, Ending("succeeded"))

    assert counted == Counts(
        "succeeded",
        2,
        18,
        inserted=2,
        updated=1,
        unchanged=1,
        duplicate=4,
        rejected=1,
        suppressed=1,
        filtered=8,
        departed=0,
        error=None,
    )


class RealCache:
    def __init__(self, cache: Cache, redis_client) -> None:
        self.put_users, self._client = cache.put_users, redis_client

    def body(self, who):
        return self._client.get(f"user:{who}")


class FakeCacheSeen:
    def __init__(self) -> None:
        self._cache = FakeCache()
        self.put_users = self._cache.put_users

    def body(self, who):
        return self._cache.held[who][0]


@pytest.fixture(params=["fake", "real"])
def shelf(request):
    if request.param == "fake":
        return FakeCacheSeen()
    return RealCache(request.getfixturevalue("cache"), request.getfixturevalue("redis_client"))


def body(version):
    return b'{"uid":"%s","version":%d}' % (uid(1).encode(), version)


def test_a_newer_body_replaces_an_older_one(shelf):
    shelf.put_users({uid(1): body(1)})
    shelf.put_users({uid(1): body(2)})

    assert shelf.body(uid(1)) == body(2)


def test_an_older_body_never_replaces_a_newer_one(shelf):
    shelf.put_users({uid(1): body(2)})
    shelf.put_users({uid(1): body(1)})

    assert shelf.body(uid(1)) == body(2)
