"""Sealed rejects: kept if configured, replayed under the current rules, deleted on expiry or erasure."""

import base64
import functools
import itertools
import json
import operator
import secrets
import sys
import time
from dataclasses import replace
from datetime import datetime
from uuid import UUID

import pytest

from chalicelib import prepare, runs, sources, wiring
from chalicelib.errors import RequestError, StoreUnavailable
from chalicelib.ledger import OUTCOMES
from chalicelib.quarantine import Quarantine
from chalicelib.store import Store
from tests.builders import APIS, RANDOM_DATA_API
from tests.fakes import uid
from tests.keys import PII_KEY, pii_keys

KEY = base64.b64encode(b"a key of the quarantine, 32 byte").decode()
BAD = "no-address-of-anybody"

both = pytest.mark.parametrize("api_", APIS, ids=str)


def test_a_seal_of_an_earlier_version_still_opens():
    sealed = bytes.fromhex("000102030405060708090a0b3c20a372a1c7f83bbc3cc63ffa0bbb6b4df874a50fdabbf31072")
    quarantine = Quarantine(bytes(range(32)), days=7)

    assert quarantine.open(sealed, "00000000-0000-4000-8000-000000000001", 2, 3) == b'{"uid": 1}'
    assert quarantine.open(sealed, "00000000-0000-4000-8000-000000000001", 2, 4) is None


@pytest.mark.parametrize("altered", ["x", "é", ""])
def test_an_altered_cursor_does_not_open(altered):
    quarantine = Quarantine(bytes(32), days=7)
    sealed = quarantine.seal_cursor(b"a cursor", "a source", 3)

    assert quarantine.open_cursor(sealed, "a source", 3) == b"a cursor"
    assert quarantine.open_cursor(altered + sealed[:-1], "a source", 3) is None
    assert quarantine.open_cursor(altered, "a source", 3) is None


@pytest.fixture
def sealing(app_environment):
    """Turns the quarantine on, and lets no page exceed the reject budget."""
    app_environment(QUARANTINE_KEY=KEY, MAX_REJECT_RATIO="1")


@pytest.fixture
def refused(sealing, user_api):
    """A run of one page: a valid record, an invalid one of person 2, and one without a valid uid."""
    user_api.script(
        RANDOM_DATA_API.page(
            RANDOM_DATA_API.record({"uid": uid(1)}),
            RANDOM_DATA_API.record({"uid": uid(2), "date_of_birth": "2987-01-01"}),
            RANDOM_DATA_API.record({"uid": BAD}),
        )
    )
    report = runs.run_ingest("manual")
    assert (report.inserted, report.rejected) == (1, 2)
    return report.run_id


class Later(datetime):
    """A clock set after the birth of person 2."""

    @classmethod
    def now(cls, tz=None):
        return datetime(2990, 1, 1, tzinfo=tz)


@pytest.fixture
def change_rules(monkeypatch):
    """Changes the rules from now on, to those of the year 2990."""
    return lambda: monkeypatch.setattr(prepare, "datetime", Later)


def sealed(sql):
    return sql("SELECT position FROM rejects WHERE sealed IS NOT NULL ORDER BY position")


def without_dropped(api_, record):
    for path in sources.named(str(api_)).dropped:
        *way, last = path.split(".")
        functools.reduce(operator.getitem, way, record).pop(last, None)
    return record


def counts_add_up(sql):
    return sql(f"SELECT bool_and(fetched = {' + '.join(OUTCOMES)}) FROM runs") == [(True,)]


@both
def test_nothing_is_sealed_without_a_key(app_environment, user_api, sql, api_):
    app_environment(MAX_REJECT_RATIO="1", SOURCE_DIALECT=str(api_))
    user_api.script(api_.page(api_.record({api_.email: BAD})))

    runs.run_ingest("manual")

    assert sql("SELECT sealed, sealed_until, uid_token FROM rejects") == [(None, None, None)]


@both
def test_a_sealed_record_can_only_be_opened_with_the_key_and_in_its_own_row(
    app_environment, sealing, user_api, sql, api_, tokeniser
):
    app_environment(SOURCE_DIALECT=str(api_))
    user_api.script(api_.page(api_.record({api_.uid: uid(7), api_.email: BAD})))
    run_id = runs.run_ingest("manual").run_id

    ((held, days, whose),) = sql(
        "SELECT sealed, extract(day FROM sealed_until - created_at)::int, uid_token FROM rejects"
    )
    held = bytes(held)
    assert (days, whose) == (7, tokeniser.token("uid", uid(7)))
    assert BAD.encode() not in held
    opened = json.loads(wiring.quarantine().open(held, run_id, 1, 0))
    assert opened == without_dropped(api_, api_.record({api_.uid: uid(7), api_.email: BAD}))
    assert "password" not in json.dumps(opened)
    assert wiring.quarantine().open(held, run_id, 1, 1) is None
    assert wiring.quarantine().open(held, uid(1), 1, 0) is None
    assert wiring.quarantine().open(held[:-1] + bytes([held[-1] ^ 1]), run_id, 1, 0) is None
    assert wiring.quarantine().open(b"", run_id, 1, 0) is None


def test_a_replay_counts_whom_the_dialect_does_not_want_any_more_and_ends_the_seal(
    refused, user_api, sql, change_rules, monkeypatch
):
    user_api.script(RANDOM_DATA_API.page(RANDOM_DATA_API.record({"uid": uid(2)})))
    runs.run_ingest("manual")
    dialect = replace(RANDOM_DATA_API.dialect, to_user=lambda user: None, removes_filtered=True)
    monkeypatch.setattr(wiring.source(), "dialect", dialect)
    change_rules()

    report = runs.replay(refused)

    assert (report.filtered, report.rejected, report.inserted) == (1, 1, 0)
    assert (report.departed, sql("SELECT count(*) FROM users")) == (0, [(2,)])  # who is newer than the record
    assert sql("SELECT run_id, position FROM rejects WHERE sealed IS NOT NULL") == [(report.run_id, 2)]
    assert counts_add_up(sql)


def test_the_rejects_of_a_page_over_the_budget_are_sealed_too(app_environment, user_api, sql):
    app_environment(QUARANTINE_KEY=KEY)
    user_api.script(RANDOM_DATA_API.page(*[RANDOM_DATA_API.record({"email": BAD})] * 3))

    assert runs.run_ingest("manual").status == "failed"

    assert sealed(sql) == [(0,), (1,), (2,)]


def test_a_replay_loads_what_the_current_rules_allow_and_accounts_for_the_rest(
    api, refused, sql, change_rules
):
    change_rules()
    report = runs.replay(refused)

    assert report.is_replay
    assert (report.status, report.fetched, report.inserted, report.rejected) == ("succeeded", 2, 1, 1)
    run = api.get(f"/runs/{report.run_id}").json
    assert (run["trigger"], run["replay_of"], run["pages_planned"]) == ("replay", refused, 1)
    assert api.get(f"/users/{uid(2)}").status == 200
    before = {item["position"]: item for item in api.get(f"/runs/{refused}/rejects").json["items"]}
    after = api.get(f"/runs/{report.run_id}/rejects").json["items"]
    assert [item["replayed_by"] for item in before.values()] == [report.run_id] * 2
    assert [item["sealed_until"] for item in before.values()] == [None] * 2
    assert [item["position"] for item in after] == [2]
    assert after[0]["fingerprint"] == before[2]["fingerprint"]
    assert counts_add_up(sql)


def test_a_replay_does_not_extend_a_seal(refused, sql, change_rules):
    change_rules()
    sql("UPDATE rejects SET sealed_until = now() + interval '3 hours'")
    ((until,),) = sql("SELECT DISTINCT sealed_until FROM rejects")

    again = runs.replay(refused)
    runs.replay(again.run_id)

    assert sql("SELECT sealed_until FROM rejects WHERE sealed IS NOT NULL") == [(until,)]


def test_a_replayed_record_is_not_replayed_again(refused, sql):
    runs.replay(refused)

    assert runs.replay(refused).fetched == 0
    assert counts_add_up(sql)


def test_a_replay_skips_people_who_have_changed_since(refused, user_api, sql, change_rules):
    change_rules()
    user_api.script(RANDOM_DATA_API.page(RANDOM_DATA_API.record({"uid": uid(2), "gender": "newer"})))
    runs.run_ingest("manual")

    report = runs.replay(refused)

    assert (report.unchanged, report.updated) == (1, 0)
    assert sql("SELECT gender FROM users WHERE uid = %s", uid(2)) == [("newer",)]


def test_nothing_is_sealed_of_a_person_with_a_valid_record_on_the_same_page(
    sealing, user_api, sql, change_rules
):
    """A replay would overwrite the valid record, even one that had changed nothing."""
    wrong = {"uid": uid(2).upper(), "date_of_birth": "2987-01-01", "gender": "older"}
    page = RANDOM_DATA_API.page(RANDOM_DATA_API.record(wrong), RANDOM_DATA_API.record({"uid": uid(2)}))
    for _ in range(2):
        user_api.script(page)
        report = runs.run_ingest("manual")
    change_rules()

    assert (report.unchanged, report.rejected, sealed(sql)) == (1, 1, [])
    assert runs.replay(report.run_id).fetched == 0
    assert sql("SELECT version FROM users") == [(1,)]


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(
            b'{"password": "hush", "address": ' + b"[" * 20_000 + b"]" * 20_000 + b"}",
            marks=pytest.mark.skipif(sys.version_info >= (3, 14), reason="3.14 can read it, and seals it"),
        ),
        b'[{"password": "hush"}]',
        b'"hush"',
        b"null",
    ],
    ids=["nested too deeply", "a list", "a text", "null"],
)
def test_a_value_that_is_not_a_record_is_not_sealed(sealing, user_api, sql, record):
    user_api.script(b"[" + record + b"]")

    assert runs.run_ingest("manual").rejected == 1
    assert (sealed(sql), sql("SELECT count(*) FROM rejects")) == ([], [(1,)])


@pytest.mark.parametrize(("length", "places"), [(1_000, [(0,)]), (70_000, [])])
def test_a_record_that_is_too_large_is_not_sealed(sealing, user_api, sql, length, places):
    user_api.script(RANDOM_DATA_API.page(RANDOM_DATA_API.record({"email": BAD, "essay": "x" * length})))

    assert (runs.run_ingest("manual").rejected, sealed(sql)) == (1, places)


def test_after_several_replays_the_record_of_the_latest_run_stays(sealing, user_api, sql, change_rules):
    """In any order of the replays: what a replay wrote does not count as newer data of the source."""
    wrong = {"uid": uid(2), "date_of_birth": "2987-01-01"}
    refused = []
    for city in ("Old", "Middle", "New"):
        user_api.script(RANDOM_DATA_API.page(RANDOM_DATA_API.record({**wrong, "address.city": city})))
        refused.append(runs.run_ingest("manual").run_id)
    change_rules()

    for replayed in (refused[0], refused[2], refused[1]):
        assert runs.replay(replayed).fetched == 1

    assert sql("SELECT city, version FROM users JOIN users_address USING (uid)") == [("New", 2)]


@pytest.mark.parametrize("order", ["older first", "newer first"])
def test_a_record_sealed_again_by_a_replay_keeps_its_age(sealing, user_api, sql, change_rules, order):
    """It wins over nothing that is newer, and loses to nothing that is older."""
    refused = []
    for city in ("Older", "Newer"):
        wrong = {"uid": uid(2), "date_of_birth": "2987-01-01", "address.city": city}
        user_api.script(RANDOM_DATA_API.page(RANDOM_DATA_API.record(wrong)))
        refused.append(runs.run_ingest("manual").run_id)
    older, newer = runs.replay(refused[0]).run_id, refused[1]  # by the old rules, so it is sealed again
    change_rules()

    for replayed in (older, newer) if order == "older first" else (newer, older):
        assert runs.replay(replayed).fetched == 1

    assert sql("SELECT city FROM users_address") == [("Newer",)]


def test_a_page_that_was_sealed_later_than_others_of_its_run_keeps_its_own_age(
    sealing, user_api, sql, change_rules
):
    """As after a redrive: of the first run, the second page is sealed last of all."""
    wrong = {"uid": uid(2), "date_of_birth": "2987-01-01"}
    for pages in (((1, "Nobody"), (2, "Newest")), ((2, "Newer"),)):
        for number, city in pages:
            record = RANDOM_DATA_API.record({**wrong, "uid": uid(number), "address.city": city})
            user_api.script(RANDOM_DATA_API.page(record))
        runs.run_ingest("manual", len(pages))
    sql("UPDATE rejects SET created_at = now() WHERE page = 2")
    first, second = (run for (run,) in sql("SELECT run_id::text FROM runs ORDER BY started_at"))
    change_rules()

    for replayed in (first, second):
        runs.replay(replayed)

    assert sql("SELECT city FROM users_address WHERE uid = %s", uid(2)) == [("Newest",)]


def test_within_a_replay_the_record_of_the_last_page_stays(sealing, user_api, sql, change_rules):
    wrong = {"uid": uid(2), "date_of_birth": "2987-01-01"}
    for city in ("First", "Second"):
        user_api.script(RANDOM_DATA_API.page(RANDOM_DATA_API.record({**wrong, "address.city": city})))
    run_id = runs.run_ingest("manual", 2).run_id
    change_rules()

    report = runs.replay(run_id)

    assert (report.inserted, report.updated) == (1, 1)
    assert sql("SELECT city FROM users_address") == [("Second",)]


def test_a_replay_updates_people_who_have_not_changed_since(sealing, user_api, change_rules, sql):
    for born in ("1987-01-01", "2987-01-01"):
        user_api.script(RANDOM_DATA_API.page(RANDOM_DATA_API.record({"uid": uid(2), "date_of_birth": born})))
        refused = runs.run_ingest("manual").run_id
    change_rules()

    assert runs.replay(refused).updated == 1
    assert sql("SELECT birth_year FROM users") == [(2987,)]


@pytest.mark.parametrize("wrong", [{"uid": "username"}, {"make_uid": lambda value: UUID(int=0)}])
def test_a_dialect_that_would_hide_sealed_records_from_erasures_is_refused(
    sealing, app_environment, user_api, sql, monkeypatch, wrong
):
    page = RANDOM_DATA_API.page(
        RANDOM_DATA_API.record({"uid": uid(1)}), RANDOM_DATA_API.record({"email": BAD})
    )
    user_api.script(page, times=2)
    monkeypatch.setattr(wiring.source(), "dialect", replace(RANDOM_DATA_API.dialect, **wrong))

    refused = runs.run_ingest("manual")
    app_environment(QUARANTINE_KEY="")
    monkeypatch.setattr(wiring.source(), "dialect", replace(RANDOM_DATA_API.dialect, **wrong))

    problem = "uid or make_uid of random-data-api finds another uid than to_user gives"
    assert (refused.status, refused.error) == ("failed", f"SOURCE_DIALECT: {problem}")
    assert sealed(sql) == []
    assert runs.run_ingest("manual").status == "succeeded"


def test_a_replay_names_no_unknown_field_that_its_run_did_not_name(sealing, user_api, caplog):
    """Its records are not a whole page, so it cannot tell a field of the API from somebody's name."""
    good = [RANDOM_DATA_API.record({"uid": uid(number)}) for number in range(40)]
    bad = [RANDOM_DATA_API.record({"uid": uid(number), "email": BAD}) for number in range(40, 60)]
    user_api.script(RANDOM_DATA_API.page(*good, *(record | {"JaneRoe": 1} for record in bad)))

    sealing_run = runs.run_ingest("manual").run_id
    runs.replay(sealing_run)

    assert caplog.text.count("dropped 20 fields") == 2
    assert "JaneRoe" not in caplog.text


def test_erasing_a_person_removes_the_sealed_record_too(api, refused, sql):
    receipt = api.delete(f"/users/{uid(2)}").json

    assert (receipt["users"], receipt["sealed_records"], receipt["run_ids"]) == (0, 1, [refused])
    assert sealed(sql) == [(2,)]  # without a uid, nobody can tell whose record it is


def test_erasing_a_person_removes_records_sealed_under_an_older_key(api, refused, sql, app_environment):
    app_environment(PII_KEYS=pii_keys({1: PII_KEY, 2: b"2" * 32}))

    assert api.delete(f"/users/{uid(2)}").json["sealed_records"] == 1


@pytest.mark.parametrize("budget", ["1", "0.2"])
def test_nothing_is_sealed_of_an_erased_person(api, sealing, app_environment, user_api, sql, budget):
    app_environment(MAX_REJECT_RATIO=budget)
    api.delete(f"/users/{uid(2)}")
    user_api.script(RANDOM_DATA_API.page(RANDOM_DATA_API.record({"uid": uid(2).upper(), "email": BAD})))

    runs.run_ingest("manual")

    assert sql("SELECT sealed, uid_token FROM rejects") == [(None, None)]


def test_a_replay_does_not_bring_back_an_erased_person(api, refused, sql, change_rules):
    change_rules()
    sql("UPDATE rejects SET uid_token = NULL")  # as if its owner were unknown
    api.delete(f"/users/{uid(2)}")

    report = runs.replay(refused)

    assert (report.suppressed, report.inserted) == (1, 0)


def test_expired_seals_are_not_replayed_and_the_next_run_removes_them(refused, sql, user_api):
    sql("UPDATE rejects SET sealed_until = now() - interval '1 second'")
    assert (wiring.store().sealed_pages(refused), wiring.store().sealed_rejects(refused, 1)) == ([], [])
    assert runs.replay(refused).fetched == 0
    assert sealed(sql) == []
    assert sql("SELECT count(*) FROM rejects") == [(2,)]


def test_a_replay_that_outlives_its_lease_is_lost_and_its_seals_stay(refused, sql, change_rules, monkeypatch):
    change_rules()
    load_page = Store.load_page

    def too_late(store, load):
        sql("UPDATE runs SET lease_expires_at = now() - interval '1 second' WHERE status = 'running'")
        return load_page(store, load)

    monkeypatch.setattr(Store, "load_page", too_late)

    assert runs.replay(refused).status == "lost"
    assert sealed(sql) == [(1,), (2,)]


def test_a_replay_that_cannot_see_what_is_left_is_recorded_as_failed(refused, sql, monkeypatch):
    wiring.store()
    begun = itertools.count(1)
    sealed_pages = Store.sealed_pages

    def fail_at_the_end(store, run_id):
        if next(begun) == 3:
            raise StoreUnavailable("sealed_pages")
        return sealed_pages(store, run_id)

    monkeypatch.setattr(Store, "sealed_pages", fail_at_the_end)

    assert runs.replay(refused).error == "query sealed_pages failed"
    assert sql("SELECT status, error, fetched FROM runs WHERE trigger = 'replay'") == [
        ("failed", "query sealed_pages failed", 2)
    ]


def test_records_sealed_with_another_key_stay_and_the_replay_says_so(refused, sql, app_environment):
    app_environment(QUARANTINE_KEY=base64.b64encode(secrets.token_bytes(32)).decode())

    report = runs.replay(refused)

    assert (report.status, report.fetched) == ("failed", 0)
    assert "QUARANTINE_KEY" in report.error
    assert sealed(sql) == [(1,), (2,)]


def test_a_record_that_cannot_be_opened_stays_although_a_replay_loads_another_of_its_page(
    refused, sql, change_rules
):
    sql("UPDATE rejects SET sealed = (SELECT sealed FROM rejects WHERE position = 1) WHERE position = 2")
    change_rules()

    report = runs.replay(refused)

    assert (report.status, report.inserted, report.fetched) == ("partial", 1, 1)
    assert sealed(sql) == [(2,)]


def test_without_the_key_a_replay_fails_and_says_why(refused, app_environment):
    app_environment(QUARANTINE_KEY="")

    report = runs.replay(refused)

    assert (report.status, report.error.partition(":")[0]) == ("failed", "QUARANTINE_KEY")


def test_only_a_known_run_of_the_same_dialect_can_be_replayed(refused, app_environment):
    with pytest.raises(RequestError, match="Not found"):
        runs.replay(uid(404))
    app_environment(SOURCE_DIALECT="randomuser")
    with pytest.raises(RequestError, match="Another dialect"):
        runs.replay(refused)


def test_a_replay_can_be_started_over_http(api, refused, sql):
    started = api.post("/runs", {"replay": refused})

    assert started.status == 202
    ended_by = time.monotonic() + 20
    while api.get(f"/runs/{started.json['run_id']}").json["status"] == "running":
        assert time.monotonic() < ended_by
        time.sleep(0.02)
    assert sql("SELECT status, fetched FROM runs WHERE replay_of = %s", refused) == [("succeeded", 2)]
    assert api.post("/runs", {"replay": uid(404)}).status == 404
    assert api.post("/runs", {"replay": "no id"}).status == 400
    assert api.post("/runs", {"replay": refused, "pages": 5}).status == 400


def test_a_sealed_record_cannot_be_opened_as_one_of_another_page(refused, sql):
    ((held,),) = sql("SELECT sealed FROM rejects WHERE position = 1")
    assert wiring.quarantine().open(bytes(held), refused, 1, 1) is not None
    assert wiring.quarantine().open(bytes(held), refused, 2, 1) is None


def test_a_record_of_the_largest_size_is_sealed(sealing, user_api, sql, monkeypatch):
    record = RANDOM_DATA_API.record({"email": BAD})
    length = len(json.dumps(without_dropped(RANDOM_DATA_API, record), sort_keys=True))
    monkeypatch.setattr(Quarantine, "largest", length)
    user_api.script(RANDOM_DATA_API.page(RANDOM_DATA_API.record({"email": BAD})))

    assert (runs.run_ingest("manual").rejected, sealed(sql)) == (1, [(0,)])
