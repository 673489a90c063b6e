"""A run notices changes between two of its steps: of keys, seals, the page. Each could once lose data."""

import contextlib
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest

from chalicelib import opening, people, pipeline
from chalicelib.edges import Edges, Plan
from chalicelib.errors import ConfigError, KeysOvertaken, LeaseLost
from chalicelib.ledger import Ending, RunRequest
from chalicelib.privacy import Tokeniser, refuse_wrong_keys
from chalicelib.quarantine import Quarantine
from chalicelib.store import Store
from tests.builders import RANDOM_DATA_API
from tests.fakes import KEY, FakeCache, FakeSource, page_load, person, reject, uid
from tests.keys import PII_KEY
from tests.waiting import until

KEYS = {1: PII_KEY, 2: b"2" * 32}
FIRST, BOTH, SECOND = Tokeniser({1: KEYS[1]}), Tokeniser(KEYS), Tokeniser({2: KEYS[2]})
QUARANTINE = Quarantine(b"q" * 32, days=7)
WAITING = "SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
OVERTAKEN = "PII_KEYS: newer or different keys are in use; nothing was written"


@pytest.fixture
def held_up(sql, postgres):
    """The outcome of a work that has to wait for another transaction, which makes these changes."""

    def outcome(work, *changes):
        with ThreadPoolExecutor(1) as thread, contextlib.closing(psycopg2.connect(postgres.url)) as other:
            cursor = other.cursor()
            for change in changes:
                cursor.execute(*change)
            working = thread.submit(work)
            until(lambda: working.done() or sql(WAITING))
            assert not working.done()
            other.commit()
            return working.result(20)

    return outcome


class Cache(FakeCache):
    longest_ttl_seconds = 1

    def forget_user(self, uid):
        return True


class Interrupted:
    """A store that calls ``happening`` right before a page is loaded or its rejects are recorded."""

    def __init__(self, store, happening):
        self._store, self._happening = store, happening

    def __getattr__(self, name):
        return getattr(self._store, name)

    def load_page(self, load):
        self._happening()
        return self._store.load_page(load)

    def note_rejects(self, *what):
        self._happening()
        self._store.note_rejects(*what)


def page(*numbers, **changes):
    return RANDOM_DATA_API.page(
        *[RANDOM_DATA_API.record({"uid": uid(number), **changes}) for number in numbers]
    )


def run(store, tokeniser, *bodies, source=None, quarantine=QUARANTINE, budget=1.0):
    edges = Edges(source or FakeSource(*bodies), store, Cache(), tokeniser, quarantine)
    return pipeline.run(edges, Plan("manual", len(bodies), 10, max_reject_ratio=budget))


def replay(store, run_id, source=None):
    edges = Edges(source or FakeSource(), store, Cache(), FIRST, QUARANTINE)
    return pipeline.run(edges, Plan("replay", 1, 10, max_reject_ratio=1.0, replay_of=run_id))


def seals(sql):
    return sql("SELECT count(*) FROM rejects WHERE sealed IS NOT NULL")[0][0]


# Keys


def test_a_run_that_started_with_older_keys_does_not_bring_an_erased_person_back(store, sql):
    """The erasure, by a container with newer keys, leaves a token that the run could not recognise."""

    class Source(FakeSource):
        def fetch(self, number, size):
            if number == 2:
                until = time.monotonic() + 10
                while not sql("SELECT page FROM pages") and time.monotonic() < until:
                    time.sleep(0.01)  # the first page is being loaded
                people.erase(store, Cache(), BOTH, uid(7))
            return super().fetch(number, size)

    report = run(store, FIRST, page(1, 7), page(2, 7), source=Source(page(1, 7), page(2, 7)))

    assert report.status == "failed"
    assert report.error == OVERTAKEN
    assert sql("SELECT uid FROM users") == [(uid(1),)]
    assert run(store, BOTH, page(2, 7)).suppressed == 1


def test_an_older_run_seals_nothing_of_a_person_erased_under_newer_keys(store, sql):
    refused = page(7, email="none")

    report = run(
        Interrupted(store, lambda: people.erase(store, Cache(), BOTH, uid(7))),
        FIRST,
        refused,
        budget=0.1,
    )

    assert report.error == OVERTAKEN
    assert sql("SELECT count(*) FROM rejects") == [(0,)]
    assert run(store, BOTH, refused, budget=0.1).error == "page 1: 1 of 1 records are invalid"
    assert sql("SELECT sealed, uid_token FROM rejects") == [(None, None)]


def test_an_erasure_that_was_overtaken_by_newer_keys_erases_nothing(store, sql):
    """It would not find records that were sealed under the newer keys meanwhile."""
    run(store, FIRST, page(7))

    class Slow(Interrupted):
        def erase(self, *whom):
            self._happening()
            return self._store.erase(*whom)

    with pytest.raises(KeysOvertaken):
        people.erase(Slow(store, lambda: run(store, BOTH, page(8))), Cache(), FIRST, uid(7))

    assert sql("SELECT uid FROM users ORDER BY uid") == [(uid(7),), (uid(8),)]
    assert sql("SELECT count(*) FROM erasures") == [(0,)]
    assert people.erase(store, Cache(), BOTH, uid(7)).users == 1


def test_a_page_refused_for_its_older_keys_leaves_the_recorded_rejects(store, sql):
    run_id = store.open_run(RunRequest("source", "manual", 1), "0" * 16, 1).run_id
    store.note_rejects(run_id, 1, [reject(0), reject(1)], KEY)
    store.reconcile_keys(BOTH.proofs(), [])
    noted = sql("SELECT * FROM rejects ORDER BY position")

    with pytest.raises(KeysOvertaken):
        store.load_page(page_load(run_id, person(1), rejects=[reject(0)]))
    with pytest.raises(KeysOvertaken):
        store.note_rejects(run_id, 1, [reject(0)], KEY)

    assert sql("SELECT * FROM rejects ORDER BY position") == noted
    assert (
        store.load_page(page_load(run_id, person(1), rejects=[reject(0)], key=BOTH.key_in_use)).rejected == 1
    )
    assert sql("SELECT position FROM rejects") == [(0,)]


def test_a_page_is_not_loaded_with_another_key_of_the_same_version(store, sql):
    report = opening.open_run(store, FIRST, RunRequest(FakeSource.name, "manual", 1), {})
    edges = Edges(FakeSource(page(1)), store, Cache(), Tokeniser({1: b"!" * 32}))

    assert pipeline.work(edges, Plan("manual", 1, 10, max_reject_ratio=1.0), report).status == "failed"
    assert sql("SELECT count(*) FROM users") == [(0,)]


def test_a_newer_version_is_not_forgotten_before_anybody_is_stored_under_it(store, sql):
    opening.open_run(store, BOTH, RunRequest(FakeSource.name, "manual", 1), {})

    with pytest.raises(ConfigError, match="version 2 was in use"):
        refuse_wrong_keys(store, FIRST)
    with pytest.raises(ConfigError, match="version 2 is not the key"):
        refuse_wrong_keys(store, Tokeniser({**KEYS, 2: b"!" * 32}))


def test_giving_up_the_newest_version_leaves_the_previous_one_in_use(store):
    run(store, BOTH, page(1))

    report = run(store, Tokeniser({1: KEYS[1], 2: None}), page(1))

    assert (report.status, report.updated) == ("succeeded", 1)


def test_a_key_is_not_forgotten_while_an_erasure_or_a_load_under_it_is_in_progress(store, held_up):
    refuse_wrong_keys(store, FIRST)

    found = held_up(
        lambda: store.reconcile_keys(SECOND.proofs(), SECOND.given_up),
        ("SELECT pg_advisory_xact_lock_shared(hashtext('decant.erasures'))",),
        ("INSERT INTO erasures (uid_token) VALUES (%s)", (FIRST.token("uid", uid(1)),)),
    )

    assert [(trouble.version, trouble.erasures) for trouble in found] == [(1, 1)]


def test_keys_are_compared_beside_a_load_if_none_is_missing(store, postgres):
    refuse_wrong_keys(store, FIRST)
    with contextlib.closing(psycopg2.connect(postgres.url)) as loading:
        loading.cursor().execute("SELECT pg_advisory_xact_lock_shared(hashtext('decant.erasures'))")

        assert store.reconcile_keys(BOTH.proofs(), BOTH.given_up) == []


def test_one_of_two_first_containers_with_different_keys_is_refused(postgres, sql):
    for _ in range(10):
        sql("DELETE FROM key_versions")
        accepted, together = [], threading.Barrier(2)

        def come(key, accepted=accepted, together=together):
            with contextlib.closing(Store(postgres.url)) as store:
                store.last_success_age()
                together.wait(10)
                with contextlib.suppress(ConfigError):
                    refuse_wrong_keys(store, Tokeniser({1: key}))
                    accepted.append(key)

        threads = [threading.Thread(target=come, args=(letter * 32,)) for letter in (b"a", b"b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
        assert len(accepted) == 1


def test_a_key_that_sealed_records_need_cannot_be_removed(store, sql):
    """Without it, an erasure could not tell whose records they are."""
    run(store, FIRST, page(5, email="none"))
    run(store, BOTH, page(9))

    report = run(store, SECOND, page(9))

    assert report.status == "failed"
    assert "(people: 0, erasures: 0, sealed records: 1)" in report.error
    assert people.erase(store, Cache(), BOTH, uid(5)).sealed_records == 1


def test_a_refused_key_does_not_make_a_known_version_forgotten(store):
    refuse_wrong_keys(store, FIRST)
    refuse_wrong_keys(store, BOTH)

    with pytest.raises(ConfigError, match="version 1 is not the key"):
        refuse_wrong_keys(store, Tokeniser({1: b"!" * 32, 2: KEYS[2]}))

    with pytest.raises(ConfigError, match="version 2 was in use"):
        refuse_wrong_keys(store, FIRST)


# Seals


def test_a_seal_that_expires_while_it_is_replayed_is_not_renewed(store, sql):
    run_id = run(store, FIRST, page(5, email="none")).run_id

    def expire():
        sql("UPDATE rejects SET sealed_until = now() - interval '1 second' WHERE sealed IS NOT NULL")
        store.open_run(RunRequest("another source", "manual", 1), "0" * 16, 1)

    report = replay(Interrupted(store, expire), run_id)

    assert report.error == "sealed records have expired, been erased or been replayed by another run"
    assert seals(sql) == 0


def test_two_concurrent_replays_use_a_record_once(store, sql):
    """A lease is per source name, and the same records can be replayed under two names of a source."""
    run_id = run(store, FIRST, page(5, 6, email="none")).run_id
    elsewhere = FakeSource()
    elsewhere.name = "random-data-api http://elsewhere"

    report = replay(Interrupted(store, lambda: replay(store, run_id, elsewhere)), run_id)

    assert report.status == "failed"
    assert seals(sql) == 2


def test_a_replay_that_waited_for_another_does_not_use_its_record_again(store, held_up):
    run_id = run(store, FIRST, page(5, email="none")).run_id

    used = "UPDATE rejects SET sealed = NULL, sealed_until = NULL, uid_token = NULL"
    report = held_up(lambda: replay(store, run_id), (used,))

    assert (report.status, report.fetched) == ("failed", 0)


def test_an_erasure_wins_against_a_concurrent_replay(store, sql):
    run_id = run(store, FIRST, page(5, 6, email="none")).run_id

    replay(Interrupted(store, lambda: people.erase(store, Cache(), FIRST, uid(5))), run_id)

    assert seals(sql) == 1
    assert (replay(store, run_id).rejected, seals(sql)) == (1, 1)


def test_a_record_replayed_twice_keeps_the_date_of_its_first_seal(store, sql):
    run_id = run(store, FIRST, page(5, email="none")).run_id
    sql("UPDATE rejects SET created_at = created_at - interval '1 hour'")
    dates = sql("SELECT created_at FROM rejects")

    replay(store, replay(store, run_id).run_id)

    assert sql("SELECT DISTINCT created_at FROM rejects") == dates


def test_a_replay_does_not_count_as_a_success_of_the_source(store):
    edges = Edges(FakeSource(page(5, email="none")), store, Cache(), FIRST, QUARANTINE)
    run_id = pipeline.run(edges, Plan("manual", 1, 10, max_reject_ratio=0.1)).run_id

    assert replay(store, run_id).status == "succeeded"
    assert store.last_success_age() is None


@pytest.mark.parametrize("thinks_it_empty", [False, True])
def test_a_run_opens_however_many_seals_expire(store, sql, thinks_it_empty):
    run_id = store.open_run(RunRequest("source", "manual", 1), "0" * 16, 1).run_id

    def seal():
        sql(
            "INSERT INTO rejects (run_id, page, position, issues, fingerprint, sealed, sealed_until) "
            "SELECT %s, 1, n, '[]', %s, 'x', now() FROM generate_series(1, 25000) AS n",
            run_id,
            FIRST.fingerprint(b""),
        )

    seal()
    if thinks_it_empty:
        sql("DELETE FROM rejects")
        sql("ANALYZE rejects")
        seal()

    for left in (15_000, 5_000, 0):
        store.open_run(RunRequest("another", "manual", 1), "0" * 16, 1)
        assert seals(sql) == left


def test_an_erasure_that_was_overtaken_leaves_earlier_erasures_seals_and_cursors(store, sql):
    """Otherwise it would forget a person whom it cannot remember under the newest key."""
    third = Tokeniser({**KEYS, 3: b"3" * 32})
    people.erase(store, Cache(), FIRST, uid(7))
    run(store, FIRST, page(5, email="none"))
    remembered = sql("SELECT uid_token FROM erasures")
    sql("UPDATE runs SET next_cursor = 'sealed'")
    refuse_wrong_keys(store, BOTH)
    store.reconcile_keys(third.proofs(), [])

    for number in (5, 7):
        with pytest.raises(KeysOvertaken):
            store.erase(uid(number), BOTH.candidates("uid", uid(number)), BOTH.key_in_use)

    assert sql("SELECT uid_token FROM erasures") == remembered
    assert seals(sql) == 1
    assert sql("SELECT next_cursor FROM runs") == [("sealed",)]


# The page


def test_rejects_are_not_recorded_for_a_page_that_another_worker_loaded(store, sql):
    run_id = store.open_run(RunRequest("source", "manual", 2, queued=True), "0" * 16, 1).run_id
    store.load_page(page_load(run_id, person(1), rejects=[reject(0)]))

    store.note_rejects(run_id, 1, [reject(0), reject(5)], KEY)

    assert sql("SELECT position FROM rejects") == [(0,)]


def test_a_load_whose_lease_runs_out_while_it_waits_writes_nothing(store, sql, postgres):
    """A worker that was that slow may have a successor already."""
    run_id = store.open_run(RunRequest("source", "manual", 1), "0" * 16, 1).run_id
    with contextlib.closing(psycopg2.connect(postgres.url)) as other, ThreadPoolExecutor(1) as thread:
        cursor = other.cursor()
        cursor.execute("SELECT FROM runs WHERE run_id = %s FOR UPDATE", (run_id,))
        loading = thread.submit(store.load_page, page_load(run_id, person(1)))
        until(lambda: sql(WAITING))
        cursor.execute("UPDATE runs SET lease_expires_at = clock_timestamp()")
        other.commit()

        with pytest.raises(LeaseLost):
            loading.result(20)

    assert sql("SELECT count(*) FROM users") == [(0,)]


def test_rejects_are_not_recorded_for_a_page_that_is_being_loaded(store, sql, held_up):
    run_id = store.open_run(RunRequest("source", "manual", 2, queued=True), "0" * 16, 1).run_id

    held_up(
        lambda: store.note_rejects(run_id, 1, [reject(0)], KEY),
        ("SELECT FROM runs WHERE run_id = %s FOR UPDATE", (run_id,)),
        ("INSERT INTO pages (run_id, page) VALUES (%s, 1)", (run_id,)),
    )

    assert sql("SELECT count(*) FROM rejects") == [(0,)]


def test_a_run_that_ends_while_its_last_page_is_being_loaded_sees_the_page(store, held_up):
    run_id = store.open_run(RunRequest("source", "manual", 2, queued=True), "0" * 16, 1).run_id
    store.load_page(page_load(run_id, person(1)))
    store.fail_page(run_id, 2, "page 2: status 500")

    ended = held_up(
        lambda: store.finish_page(run_id, {}).status,
        ("UPDATE runs SET pages_done = 2 WHERE run_id = %s", (run_id,)),
        ("UPDATE pages SET error = NULL WHERE run_id = %s", (run_id,)),
    )

    assert ended == "succeeded"


def test_a_run_that_fails_while_its_first_page_is_being_loaded_sees_the_page(store, held_up):
    run_id = store.open_run(RunRequest("source", "manual", 2), "0" * 16, 1).run_id

    counts = held_up(
        lambda: store.finish_run(run_id, Ending("partial")),
        ("UPDATE runs SET pages_done = 1 WHERE run_id = %s", (run_id,)),
    )

    assert (counts.status, counts.pages) == ("partial", 1)


def test_a_page_given_up_while_a_run_ends_does_not_reopen_it(store, held_up):
    run_id = store.open_run(RunRequest("source", "manual", 20, queued=True), "0" * 16, 1).run_id

    held_up(
        lambda: store.finish_run(run_id, Ending("failed", "not all sent")),
        ("SELECT FROM runs WHERE run_id = %s FOR UPDATE", (run_id,)),
        ("INSERT INTO pages (run_id, page, error) VALUES (%s, 1, 'status 500')", (run_id,)),
    )

    assert not store.claim_page(run_id, 1, "0" * 16, 1)


def test_a_run_whose_messages_were_not_all_sent_is_not_reopened_by_one_of_them(store):
    run_id = store.open_run(RunRequest("source", "manual", 20, queued=True), "0" * 16, 1).run_id
    store.fail_page(run_id, 1, "page 1: status 500")
    store.finish_run(run_id, Ending("failed", "the queue did not accept all messages"))

    assert not store.claim_page(run_id, 1, "0" * 16, 1)
    assert not store.claim_page(run_id, 2, "0" * 16, 1)
    assert store.get_run(run_id).status == "failed"


def test_a_partial_run_without_a_page_fails_however_often_its_end_is_recorded(store):
    run_id = store.open_run(RunRequest("source", "manual", 2), "0" * 16, 1).run_id

    ended = [store.finish_run(run_id, Ending("partial")) for _ in range(2)]

    assert [counts.status for counts in ended] == ["failed"] * 2
