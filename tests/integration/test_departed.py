"""People whom the source no longer has, and RETENTION_DAYS."""

import contextlib
import logging
import threading
from dataclasses import replace

import psycopg2
import pytest

from chalicelib import runs, wiring
from chalicelib.errors import StopRequested, StoreUnavailable
from chalicelib.ledger import Ending, Replay, RunRequest
from tests.builders import RANDOM_DATA_API, paged
from tests.fakes import page_load, person, reject, token, uid
from tests.waiting import until

DAYS = 30


def open_run(store, **changed):
    request = {"source": "here", "trigger": "schedule", "pages": 1, "reads_to_end": True} | changed
    return store.open_run(RunRequest(**request), "a hash", 1).run_id


@pytest.fixture
def run(store):
    """A run that meets these people; afterwards, as after every run, those who have left are removed."""

    def run(*people, ending=None, rejects=(), filtered=0, gone=(), **request):
        run_id = open_run(store, **request)
        load = page_load(run_id, *people, rejects=rejects)
        store.load_page(replace(load, filtered=filtered, gone=gone))
        store.finish_run(run_id, ending or Ending("succeeded"))
        store.remove_departed(run_id, DAYS)
        return store.get_run(run_id)

    return run


@pytest.fixture
def age(sql):
    def age(days, *numbers):
        """As if these people had last been seen so many days ago."""
        uids = [uid(number) for number in numbers]
        sql(
            "UPDATE users SET last_seen_at = now() - %s * interval '1 day' WHERE uid = ANY (%s::uuid[])",
            days,
            uids,
        )

    return age


def stored(sql):
    return [number for (number,) in sql("SELECT right(uid::text, 2)::integer FROM users ORDER BY uid")]


def test_a_complete_run_removes_whom_none_has_met_for_long_enough_and_counts_them(run, age, sql):
    run(*map(person, range(5)))
    age(DAYS + 1.01, 1, 3)
    age(DAYS + 0.99, 2)

    met = run(person(0), person(3))

    assert (stored(sql), met.departed) == ([0, 2, 3, 4], 1)
    assert sql("SELECT count(*) FROM users_address") == [(4,)]
    assert (met.fetched, met.unchanged, met.status) == (2, 2, "succeeded")


def test_who_comes_back_is_a_new_person(run, age, sql):
    run(person(1))
    age(DAYS + 2, 1)
    assert run(person(2)).departed == 1

    assert run(person(1)).inserted == 1
    assert stored(sql) == [1, 2]


def test_whom_the_dialect_does_not_want_counts_as_gone(run, age, sql):
    run(person(1), person(2))
    age(DAYS + 2, 1, 2)

    met = run(person(2), filtered=1)

    assert (stored(sql), met.departed, met.filtered, met.fetched) == ([2], 1, 1, 2)


def test_whom_a_dialect_removes_is_removed_at_once_and_counted(run, age, sql):
    run(*map(person, range(4)))
    age(DAYS + 2, 3)
    met = run(person(0), filtered=2, gone=[uid(1), uid(9)])

    assert (stored(sql), met.departed, met.filtered) == ([0, 2], 2, 2)
    assert sql("SELECT count(*) FROM users_address") == [(2,)]


def test_a_page_that_is_loaded_twice_removes_once(store, run, sql):
    run(person(1), person(2))
    run_id = open_run(store)
    load = replace(page_load(run_id), filtered=1, gone=[uid(1)])

    assert store.load_page(load).departed == 1
    assert store.load_page(load) is None
    assert store.finish_run(run_id, Ending("succeeded")).departed == 1


def test_a_load_that_is_refused_removes_nobody(store, run, sql):
    run(person(1))
    run_id = open_run(store)
    store.stop_run(run_id)

    with pytest.raises(StopRequested):
        store.load_page(replace(page_load(run_id), filtered=1, gone=[uid(1)]))
    assert stored(sql) == [1]


def test_an_invalid_record_of_whom_a_page_removes_changes_nothing(run, age, sql):
    run(person(1))
    age(2, 1)

    assert run(rejects=[replace(reject(0), uid=uid(1))], filtered=1, gone=[uid(1)]).departed == 1
    assert stored(sql) == []


@pytest.mark.parametrize(
    "such",
    [
        {"ending": Ending("partial", "page 2: status 500")},
        {"ending": Ending("failed", "page 2: 61 of 100 records are invalid")},
        {"ending": Ending("succeeded", missed=True)},
        {"reads_to_end": False},
        {"incremental": True},
    ],
    ids=["partial", "failed", "missed", "no end", "changes"],
)
def test_no_other_run_removes_anybody(run, age, sql, such):
    run(person(1), person(2))
    age(DAYS + 2, 1)

    assert run(person(2), **such).departed == 0
    assert stored(sql) == [1, 2]


def test_a_run_in_parts_counts_from_when_the_first_part_began(run, age, sql):
    run(person(1), person(2))
    age(DAYS + 2, 1)
    first = run(person(2), ending=Ending("partial", "out of time", next_page=2), pages=2, page_size=100)
    sql("UPDATE runs SET as_of = as_of - interval '2 days' WHERE run_id = %s", first.run_id)

    assert run(person(3), pages=2, page_size=100).departed == 0
    assert stored(sql) == [1, 2, 3]


def test_if_the_first_part_filters_everybody_nobody_counts_as_gone(run, age, sql):
    """As after one run that does: a mistake in a filter must not cost all rows."""
    run(*map(person, range(21)))
    age(DAYS + 2, *range(21))
    parts = {"pages": 2, "page_size": 100}
    run(filtered=1, ending=Ending("partial", "out of time", next_page=2), **parts)

    assert run(filtered=1, **parts).departed == 0
    assert len(stored(sql)) == 21


def test_a_source_that_was_away_for_long_loses_nobody(run, age, sql):
    """What counts is when people were last seen before a run, not when they were last asked for."""
    run(person(1), person(2))
    age(10 * DAYS, 1, 2)

    assert run(person(1), person(2)).departed == 0
    assert stored(sql) == [1, 2]


def test_seen_is_who_is_unchanged_changed_or_invalid(run, age, sql):
    run(*map(person, range(5)))
    age(DAYS + 2, 1, 2, 3, 4)
    invalid = [of_person(reject(2), 3), of_person(reject(3), 1), of_person(reject(4), None)]

    assert run(person(1), person(2, city="Å"), rejects=invalid).departed == 1
    assert stored(sql) == [0, 1, 2, 3]
    assert sql("SELECT version FROM users WHERE uid = %s", uid(1)) == [(1,)]


def of_person(row, number):
    return type(row)(row.position, row.issues, row.fingerprint, None if number is None else uid(number))


def test_a_replay_sees_nobody(run, age, store, sql):
    sealed_in = run(person(1), person(2)).run_id
    age(5, 1, 2)
    replay = Replay(sealed_in, [], "2999-01-01T00:00:00Z")

    run_id = open_run(store, trigger="replay", replay_of=sealed_in, reads_to_end=False)
    loaded = store.load_page(replace(page_load(run_id, person(1), person(2, city="Å")), replay=replay))

    assert (loaded.unchanged, loaded.updated) == (1, 1)
    assert sql("SELECT count(*) FROM users WHERE last_seen_at < now() - interval '4 days'") == [(2,)]


def test_whom_only_a_replay_has_stored_was_last_seen_when_the_record_was_sealed(run, store, sql):
    sealed_in = run(person(1)).run_id
    replay = Replay(sealed_in, [], "2026-01-31T12:00:00Z")

    run_id = open_run(store, trigger="replay", replay_of=sealed_in, reads_to_end=False)
    store.load_page(replace(page_load(run_id, person(2)), replay=replay))
    store.finish_run(run_id, Ending("succeeded"))

    assert sql("SELECT last_seen_at = '2026-01-31T12:00:00Z' FROM users ORDER BY uid") == [(False,), (True,)]
    assert run(person(1)).departed == 1


def test_a_run_of_which_older_code_loaded_a_page_removes_nobody(run, age, store, sql):
    """That code notes no sights."""
    run(person(1), person(2))
    age(DAYS + 2, 1)
    run_id = open_run(store, pages=2)
    store.load_page(page_load(run_id, person(1)))
    age(DAYS + 2, 1)
    sql("UPDATE runs SET filled = '{}' WHERE run_id = %s", run_id)
    store.load_page(page_load(run_id, person(2), page=2))
    store.finish_run(run_id, Ending("succeeded"))

    assert store.remove_departed(run_id, DAYS) == (0, [])
    assert stored(sql) == [1, 2]


def test_a_removal_whose_answer_was_lost_is_counted(run, age, store):
    run(person(1), person(2))
    age(DAYS + 2, 1)
    met = run(person(2))

    assert (met.departed, store.remove_departed(met.run_id, DAYS)) == (1, (1, []))


def test_whoever_is_removed_is_named_although_the_answer_was_lost(run, age, store, sql, monkeypatch):
    """Redis would keep them otherwise."""
    run(person(1), person(2))
    run_id = open_run(store)
    store.load_page(page_load(run_id, person(2)))
    store.finish_run(run_id, Ending("succeeded"))
    age(DAYS + 2, 1)
    execute, lost = store._execute, []

    def lose_first(query, values, conn):
        answer = execute(query, values, conn)
        if query == "remove_departed" and not lost:
            lost.append(query)
            raise psycopg2.OperationalError
        return answer

    monkeypatch.setattr(store, "_execute", lose_first)

    assert store.remove_departed(run_id, DAYS) == (1, [uid(1)])
    assert stored(sql) == [2]


def test_whoever_was_seen_less_than_a_day_ago_is_not_written(run, age, sql):
    run(person(1), person(2))
    age(0.99, 1)
    age(1.01, 2)
    before = sql("SELECT uid::text, xmin::text FROM users ORDER BY uid")

    run(person(1), person(2))

    after = sql("SELECT uid::text, xmin::text FROM users ORDER BY uid")
    assert (after[0] == before[0], after[1] == before[1]) == (True, False)
    assert sql("SELECT version, updated_at < last_seen_at FROM users WHERE uid = %s", uid(2)) == [(1, True)]


def test_a_page_that_is_loaded_already_counts_as_no_sight(store, run, age, sql):
    run(person(1), person(2))
    run_id = open_run(store)
    load = page_load(run_id, person(1), rejects=[of_person(reject(0), 2)])
    store.load_page(load)
    age(5, 1, 2)

    assert store.load_page(load) is None
    assert sql("SELECT max(last_seen_at) < now() - interval '4 days' FROM users") == [(True,)]


def test_an_erased_person_is_not_counted(run, age, store, sql):
    run(person(1), person(2))
    age(DAYS + 2, 1)
    store.erase(uid(1), [token("x")], page_load("", person(1)).key)

    assert run(person(2)).departed == 0


def test_an_erased_person_whom_the_source_still_has_keeps_nobody_else(run, age, store, sql):
    run(person(1), person(2), person(3))
    age(DAYS + 2, 2)
    store.erase(uid(1), [token("x")], page_load("", person(1)).key)
    run_id = open_run(store)
    store.load_page(page_load(run_id, person(1), person(3), erasure_tokens=[[token("x")], [token("y")]]))
    store.finish_run(run_id, Ending("succeeded"))

    assert store.remove_departed(run_id, DAYS)[0] == 1
    assert stored(sql) == [3]


def test_who_is_stored_and_turns_out_to_be_erased_is_suppressed_and_not_seen(run, age, store, sql):
    """As after a key that was given up, without which the person came back, is known again."""
    run(person(1), person(2))
    age(DAYS + 2, 1, 2)
    erased = [[token("x")], [token("y")]]
    for (made,) in erased:
        sql("INSERT INTO erasures (uid_token) VALUES (%s)", made)
    load = page_load(open_run(store), person(1), person(2, city="Å"), erasure_tokens=erased)

    loaded = store.load_page(load)

    assert (loaded.suppressed, loaded.updated, loaded.unchanged) == (2, 0, 0)
    assert sql("SELECT max(last_seen_at) < now() - interval '1 day' FROM users") == [(True,)]


def test_a_removal_takes_ten_thousand_at_most(run, store, sql):
    run(person(1))
    sql(
        "INSERT INTO users (uid, key_version, content_hash, first_run_id, last_run_id, last_seen_at)"
        " SELECT gen_random_uuid(), 1, '', gen_random_uuid(), gen_random_uuid(), now() - interval '99 days'"
        " FROM generate_series(1, 10001)"
    )

    first = run(person(1))
    assert first.departed == 10_000
    assert store.remove_departed(first.run_id, DAYS)[0] == 10_001


def test_a_removal_waits_for_loads_in_progress(run, age, store, sql, postgres):
    run(person(1), person(2))
    age(DAYS + 2, 1)
    run_id = open_run(store)
    store.load_page(page_load(run_id, person(2)))
    store.finish_run(run_id, Ending("succeeded"))
    with contextlib.closing(psycopg2.connect(postgres.url)) as loading, loading.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock_shared(hashtext('decant.erasures'))")
        removal = threading.Thread(target=store.remove_departed, args=(run_id, DAYS))
        removal.start()
        waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
        until(lambda: sql(waiting) == [(1,)])
        cursor.execute("UPDATE users SET last_seen_at = now() WHERE uid = %s", (uid(1),))
        loading.commit()
    removal.join(timeout=10)

    assert stored(sql) == [1, 2]


@pytest.fixture
def source(app_environment, user_api, monkeypatch):
    """A source that has an end and gives these people; its second page is empty."""
    app_environment(SOURCE_URL=user_api.url("random-data-api"), SOURCE_PAGES="2", RETENTION_DAYS=str(DAYS))
    source = wiring.source()
    monkeypatch.setattr(source, "dialect", paged(source.dialect, ends=True))

    def script(*records):
        user_api.script(RANDOM_DATA_API.page(*records))
        user_api.script(RANDOM_DATA_API.page())

    return script


def record(number, **changed):
    return RANDOM_DATA_API.record({"uid": uid(number)} | changed)


def test_a_scheduled_run_removes_who_has_left_and_keeps_who_is_invalid(source, age, sql, capsys):
    source(record(1), record(2), record(3), *(record(number) for number in range(10, 20)))
    runs.ingest({})
    age(DAYS + 2, 1, 2)
    source(record(2, email="nobody"), record(3), *(record(number) for number in range(10, 20)))

    report = runs.ingest({})

    assert (report.status, report.rejected, report.departed) == ("succeeded", 1, 1)
    assert stored(sql)[:2] == [2, 3]
    assert '"Departed":1' in capsys.readouterr().out


def without_men(user):
    return user if user.gender != "Male" else None


@pytest.mark.parametrize("removes", [True, False])
def test_whoever_is_filtered_goes_if_the_dialect_says_so(source, sql, monkeypatch, removes):
    dialect = wiring.source().dialect
    wanting = {"to_user": without_men, "removes_filtered": removes}
    source(record(1, gender="Male"), record(2), record(3))
    runs.ingest({})
    monkeypatch.setattr(wiring.source(), "dialect", replace(dialect, **wanting))
    source(record(1, gender="Male"), record(2), record(3), record(3, gender="Male"), record(4), record(2))

    report = runs.ingest({})

    assert (report.filtered, report.duplicate, report.departed) == (2, 2, 2 if removes else 0)
    assert stored(sql) == ([2, 4] if removes else [1, 2, 3, 4])
    assert sql("SELECT filtered, duplicate, departed FROM runs WHERE run_id = %s", report.run_id) == [
        (report.filtered, report.duplicate, report.departed)
    ]


def test_redis_forgets_whoever_is_removed(source, age, monkeypatch):
    source(record(1), record(2), record(3))
    runs.ingest({})
    age(DAYS + 2, 1)
    dialect = replace(wiring.source().dialect, to_user=without_men, removes_filtered=True)
    monkeypatch.setattr(wiring.source(), "dialect", dialect)
    source(record(2, gender="Male"), record(3))

    assert runs.ingest({}).departed == 2

    found = [wiring.cache().get_user(uid(number)) for number in (1, 2, 3)]
    assert [answer.body is not None for answer in found] == [False, False, True]
    assert [answer.source for answer in found] == ["postgres", "postgres", "redis"]


@pytest.mark.parametrize("second", ["Male", "Female"])
def test_a_dialect_that_would_remove_others_is_refused(source, app_environment, sql, monkeypatch, second):
    """Also before it has removed anybody: a page may hold nobody but the filtered ones."""
    app_environment(RETENTION_DAYS="0")
    wrong = {"to_user": without_men, "removes_filtered": True, "uid": "username"}
    monkeypatch.setattr(wiring.source(), "dialect", replace(wiring.source().dialect, **wrong))
    source(record(1), record(2, gender=second))

    assert runs.ingest({}).error.startswith("SOURCE_DIALECT: uid or make_uid of random-data-api finds")


@pytest.mark.parametrize("wrong", [{"uid": "username"}, {"make_uid": str}], ids=["uid", "make_uid"])
def test_a_dialect_that_would_take_invalid_people_for_gone_is_refused(source, age, sql, monkeypatch, wrong):
    many = [record(number) for number in range(10, 20)]
    source(record(1), *many)
    runs.ingest({})
    age(DAYS + 2, 1)
    monkeypatch.setattr(wiring.source(), "dialect", replace(wiring.source().dialect, **wrong))
    source(*many, record(1, email="nobody"))

    report = runs.ingest({})

    problem = "uid or make_uid of random-data-api finds another uid than to_user gives"
    assert (report.status, report.error) == ("failed", f"SOURCE_DIALECT: {problem}")
    assert stored(sql)[0] == 1


def test_a_uid_that_is_no_uuid_does_not_reach_postgres_whose_log_would_show_it(
    source, app_environment, postgres, monkeypatch
):
    app_environment(RETENTION_DAYS="0")
    wrong = {"uid": "username", "make_uid": str}
    dialect = replace(paged(wiring.source().dialect, ends=True), **wrong)
    monkeypatch.setattr(wiring.source(), "dialect", dialect)
    source(record(1, email="nobody", username="canary.name"), *(record(number) for number in range(10, 20)))

    assert runs.ingest({}).status == "succeeded"
    assert "canary.name" not in postgres.log.read_text(encoding="utf-8")


def test_a_removal_that_fails_is_logged_and_the_run_has_succeeded(source, age, sql, monkeypatch, caplog):
    source(record(1), record(2))
    runs.ingest({})
    age(DAYS + 2, 1)

    def unavailable(*what):
        raise StoreUnavailable("remove_departed")

    monkeypatch.setattr(wiring.store(), "remove_departed", unavailable)
    source(record(2))
    with caplog.at_level(logging.ERROR):
        report = runs.ingest({})

    assert (report.status, report.departed, stored(sql)) == ("succeeded", 0, [1, 2])
    assert f"run {report.run_id}: people who have left were not removed: " in caplog.text


def test_after_a_run_that_may_remove_nobody_no_table_is_read_for_it(source, monkeypatch):
    monkeypatch.setattr(wiring.store(), "remove_departed", lambda *what: pytest.fail("asked"))
    source(record(1), record(2))

    assert runs.run_ingest("backfill", pages=1).status == "succeeded"


def test_without_the_setting_nobody_is_removed(source, app_environment, age, sql, monkeypatch):
    app_environment(RETENTION_DAYS="0")
    dialect = paged(wiring.source().dialect, ends=True)
    monkeypatch.setattr(wiring.source(), "dialect", dialect)
    source(record(1), record(2))
    runs.ingest({})
    age(9_999, 1)
    source(record(2))

    assert (runs.ingest({}).departed, stored(sql)) == (0, [1, 2])
