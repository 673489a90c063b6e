"""`DELETE /users/{uid}`: a person is erased for good, even with concurrent reads and writes."""

import contextlib
import itertools
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib import people, privacy, runs
from chalicelib.cache import Cache
from chalicelib.ledger import RunRequest
from tests.builders import RANDOM_DATA_API
from tests.fakes import page_load, person, uid
from tests.integration.api_support import ERASE, load
from tests.keys import PII_KEY, pii_keys
from tests.waiting import until

WHO, KEY = f"/users/{uid(1)}", f"user:{uid(1)}"
OLD, BOTH = {1: PII_KEY}, {1: PII_KEY, 2: b"2" * 32}


@pytest.fixture
def known(store):
    """Stores three people; returns the run that loaded them."""
    run_id, _ = load(store, person(1), person(2), person(3))
    return run_id


def stored(sql):
    """The uids in each of the two tables."""
    return [{who for (who,) in sql(f"SELECT uid FROM {table}")} for table in ("users", "users_address")]


# The receipt, and what is erased


def test_the_receipt_says_what_was_erased_and_where(api, tokeniser, known):
    answer = api.delete(WHO)

    receipt = answer.json
    erased_at = datetime.fromisoformat(receipt.pop("erased_at"))
    assert answer.status == 200
    assert abs(datetime.now(UTC) - erased_at) < timedelta(minutes=1)
    assert receipt == {
        "uid_token": tokeniser.token("uid", uid(1)),
        "users": 1,
        "addresses": 1,
        "sealed_records": 0,
        "cache_cleared": True,
        "cache_gone_within_seconds": 132,
        "run_ids": [known],
    }


def test_the_receipt_names_the_first_and_the_last_run_that_wrote_the_person(api, store):
    runs = [load(store, person(1, birth_year=year))[0] for year in (1950, 1951, 1952)]

    assert sorted(api.delete(WHO).json["run_ids"]) == sorted([runs[0], runs[2]])


@pytest.mark.usefixtures("known")
def test_only_the_rows_of_the_person_are_deleted(api, sql):
    api.delete(WHO)

    assert stored(sql) == [{uid(2), uid(3)}] * 2


@pytest.mark.usefixtures("known")
def test_the_person_is_no_longer_found(api):
    api.get(WHO)  # puts the person into Redis

    api.delete(WHO)

    assert api.get(WHO).status == 404
    assert [item["uid"] for item in api.get("/users").json["items"]] == [uid(2), uid(3)]


@pytest.mark.usefixtures("known")
def test_redis_holds_an_erasure_mark_in_place_of_the_person(api, redis_client):
    api.get(WHO)

    api.delete(WHO)

    assert redis_client.get(KEY) == b"erased"
    assert 590 < redis_client.ttl(KEY) <= 600


@pytest.mark.usefixtures("known")
@pytest.mark.parametrize(("on_delete", "status", "left"), [("", 409, 1), ("ON DELETE CASCADE", 200, 0)])
def test_a_table_of_the_users_own_may_refer_to_people_who_can_be_erased(
    api, sql, known, on_delete, status, left
):
    """Without ON DELETE nothing is erased: docs/api.md says so."""
    sql(f"CREATE TABLE notes (uid uuid REFERENCES users {on_delete})")
    try:
        sql("INSERT INTO notes SELECT uid FROM users WHERE uid = %s", uid(1))
        assert api.delete(WHO).status == status
        assert sql("SELECT count(*) FROM notes") == [(left,)]
        assert (uid(1) in stored(sql)[0]) is bool(left)
    finally:
        sql("DROP TABLE notes")


def test_only_a_token_of_the_person_is_kept(api, sql, tokeniser):
    api.delete(WHO)

    ((token, _, _),) = sql("SELECT * FROM erasures")
    assert token == tokeniser.token("uid", uid(1))
    for table in ("users", "users_address", "runs", "rejects", "erasures"):
        assert not sql(f"SELECT 1 FROM {table} AS everything WHERE everything::text LIKE %s", f"%{uid(1)}%")


@pytest.mark.usefixtures("known")
def test_the_erase_scope_is_enough(api):
    assert api.delete(WHO, key=ERASE).json["users"] == 1


@pytest.mark.usefixtures("known")
def test_erasing_twice_does_no_harm_and_reports_nothing_left(api, sql):
    first, second = api.delete(WHO).json, api.delete(WHO).json

    assert (second["users"], second["addresses"], second["run_ids"]) == (0, 0, [])
    assert [second[name] for name in ("uid_token", "erased_at")] == [
        first[name] for name in ("uid_token", "erased_at")
    ]
    assert sql("SELECT count(*) FROM erasures") == [(1,)]


def test_an_unknown_person_can_be_erased(api, tokeniser):
    answer = api.delete(WHO)

    assert (answer.status, answer.json["users"], answer.json["addresses"]) == (200, 0, 0)
    assert answer.json["uid_token"] == tokeniser.token("uid", uid(1))


# An erased person does not come back


@pytest.fixture
def page(user_api):
    """A page that the source will send twice."""
    records = RANDOM_DATA_API.samples()
    user_api.script(RANDOM_DATA_API.page(*records), times=2)
    return records


def test_the_next_run_counts_the_person_as_suppressed(api, sql, page):
    runs.run_ingest("manual")
    api.delete(f"/users/{page[0]['uid']}")

    report = runs.run_ingest("manual")

    assert (report.suppressed, report.inserted, report.unchanged) == (1, 0, len(page) - 1)
    assert api.get("/runs").json["items"][0]["suppressed"] == 1
    assert stored(sql) == [{record["uid"] for record in page[1:]}] * 2
    assert api.get(f"/users/{page[0]['uid']}").status == 404


def test_a_person_erased_before_the_first_run_is_never_stored(api, sql, page):
    api.delete(f"/users/{page[0]['uid']}")

    report = runs.run_ingest("manual")

    assert (report.suppressed, report.inserted) == (1, len(page) - 1)
    assert stored(sql) == [{record["uid"] for record in page[1:]}] * 2


def test_an_erased_person_stays_erased_after_a_rotation_of_the_keys(api, sql, page, app_environment):
    runs.run_ingest("manual")
    api.delete(f"/users/{page[0]['uid']}")
    app_environment(PII_KEYS=pii_keys(BOTH))

    assert runs.run_ingest("manual").suppressed == 1
    assert stored(sql) == [{record["uid"] for record in page[1:]}] * 2


def test_a_uid_in_capitals_is_the_same_person(api, user_api, page):
    api.delete(f"/users/{page[0]['uid'].upper()}")

    assert runs.run_ingest("manual").suppressed == 1


# Without a server


@pytest.mark.usefixtures("known")
def test_without_redis_the_rows_are_deleted_and_the_receipt_says_when_the_cache_expires(api, sql, redis_down):
    with redis_down():
        receipt = api.delete(WHO).json

    assert (receipt["users"], receipt["cache_cleared"]) == (1, False)
    assert stored(sql) == [{uid(2), uid(3)}] * 2
    assert receipt["cache_gone_within_seconds"] >= 120


@pytest.mark.usefixtures("known")
def test_no_cache_entry_outlives_the_time_in_the_receipt(api, redis_client):
    """Checks many entries, as their lifetimes vary randomly."""
    promised = api.delete(f"/users/{uid(9)}").json["cache_gone_within_seconds"]

    for _ in range(50):
        redis_client.delete(KEY)
        api.get(WHO)
        assert redis_client.pttl(KEY) <= promised * 1000


@pytest.mark.usefixtures("known")
def test_without_postgres_nothing_is_reported_as_erased(api, sql, redis_client, postgres_down):
    api.get(WHO)
    with postgres_down():
        answer = api.delete(WHO)

    assert answer.status == 503
    assert redis_client.get(KEY) != b"erased"
    assert stored(sql) == [{uid(1), uid(2), uid(3)}] * 2


@pytest.mark.usefixtures("known")
def test_an_erasure_leaves_no_uid_in_any_log_line(api, caplog, capsys):
    caplog.set_level(logging.DEBUG)

    api.delete(WHO)

    assert uid(1) not in f"{caplog.text} {capsys.readouterr()}"


# Races. In each round, somebody is erased while a run loads the same person and others read.

ROUNDS, HEAD_START_SECONDS = 300, 0.005


@pytest.fixture
def containers(valkey, redis_client, store):
    """Two caches over the same servers, as in two Lambda containers."""
    with contextlib.ExitStack() as opened:
        yield [opened.enter_context(contextlib.closing(Cache(valkey.url, store, 120))) for _ in range(2)]


def test_an_erasure_wins_against_a_load_and_readers_in_any_order(store, sql, redis_client, containers):
    """Either may get a head start; what counts is the order in which Postgres executes them."""
    tokeniser = privacy.Tokeniser(OLD)
    run = store.open_run(RunRequest("race", "manual", 2 * ROUNDS), "0" * 16, 1)
    suppressed, errors, pages = 0, [], itertools.count(1)

    def load_again(number, version):
        row = person(number, birth_year=1900 + version)
        tokens = tokeniser.all_candidates("uid", [row["uid"]])
        loaded = store.load_page(page_load(run.run_id, row, page=next(pages), erasure_tokens=tokens))
        bodies = {
            who: b'{"uid":"%s","version":%d}' % (who.encode(), version)
            for who, version in loaded.versions.items()
        }
        containers[0].put_users(bodies)
        return loaded.suppressed

    with ThreadPoolExecutor(4) as threads:
        for number in range(ROUNDS):
            load_again(number, 1)
            redis_client.delete(f"user:{uid(number)}")
            start, first = threading.Barrier(4), ("erase", "load", "whoever is")[number % 3]

            def at_once(what, work, *arguments, start=start, first=first):
                start.wait(10)
                if first not in (what, "whoever is"):
                    time.sleep(HEAD_START_SECONDS)
                return work(*arguments)

            erasing = threads.submit(
                at_once, "erase", people.erase, store, containers[number % 2], tokeniser, uid(number)
            )
            loading = threads.submit(at_once, "load", load_again, number, 2)
            reading = [threads.submit(at_once, "read", cache.get_user, uid(number)) for cache in containers]
            assert erasing.result(10).users == 1
            suppressed += loading.result(10)
            errors += [one.exception() for one in reading if one.exception()]

    assert not errors
    assert 0 < suppressed < ROUNDS  # both orders occurred
    assert stored(sql) == [set(), set()]
    held = {number: redis_client.get(f"user:{uid(number)}") for number in range(ROUNDS)}
    assert {number: body for number, body in held.items() if body != b"erased"} == {}


def test_an_erasure_waits_for_a_load_in_progress_and_then_wins(
    store, sql, redis_client, containers, postgres
):
    """A load keeps its transaction open while the erasure is requested."""
    import psycopg2

    tokeniser = privacy.Tokeniser(OLD)
    load(store, person(1))
    with contextlib.closing(psycopg2.connect(postgres.url)) as slow, ThreadPoolExecutor(1) as threads:
        with slow.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock_shared(hashtext('decant.erasures'))")
        erasing = threads.submit(people.erase, store, containers[0], tokeniser, uid(1))
        until(lambda: sql("SELECT count(*) FROM pg_locks WHERE NOT granted") == [(1,)])
        assert not erasing.done()
        slow.commit()
        assert erasing.result(5).users == 1
    assert stored(sql) == [set(), set()]


def test_concurrent_erasures_of_different_people_all_succeed(store, sql, containers):
    tokeniser = privacy.Tokeniser(OLD)
    load(store, *[person(number) for number in range(60)])

    with ThreadPoolExecutor(8) as threads:
        receipts = list(
            threads.map(lambda n: people.erase(store, containers[n % 2], tokeniser, uid(n)), range(60))
        )

    assert {receipt.users for receipt in receipts} == {1}
    assert stored(sql) == [set(), set()]
    assert sql("SELECT count(*) FROM erasures") == [(60,)]


def test_concurrent_erasures_of_one_person_are_one_erasure(store, sql, containers):
    load(store, person(1))

    with ThreadPoolExecutor(8) as threads:
        receipts = list(
            threads.map(
                lambda n: people.erase(store, containers[n % 2], privacy.Tokeniser(OLD), uid(1)), range(24)
            )
        )

    assert sum(receipt.users for receipt in receipts) == 1
    assert sql("SELECT count(*) FROM erasures") == [(1,)]
