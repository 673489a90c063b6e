"""Whole runs: the stand-in over HTTP, Postgres, Redis.

The expected rows are computed here independently, from the raw page and the design alone.
"""

import base64
import hashlib
import hmac
import unicodedata
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from uuid import UUID

import pytest
import requests

from chalicelib import prepare, privacy, runs, wiring
from chalicelib.dialect import Dialect
from chalicelib.errors import ConfigError, StoreUnavailable, Unforeseen
from chalicelib.paging import Paging
from chalicelib.sources import random_data_api
from chalicelib.users import Email, Personal, User
from tests.builders import MISSING, RANDOM_DATA_API, leaves_of, use
from tests.fakes import person, uid
from tests.keys import PII_KEY, pii_keys

OTHER_KEY = PII_KEY[::-1]
both = pytest.mark.parametrize("dialect", ["random-data-api", "randomuser"])


# The design, implemented a second time


def token(field: str, value: str, key: bytes = PII_KEY, version: int = 1) -> str:
    """HKDF-SHA-256 with the field's name, HMAC-SHA-256, 18 bytes, base64url; by hand."""
    extracted = hmac.digest(bytes(32), key, "sha256")
    field_key = hmac.digest(extracted, field.encode() + b"\x01", "sha256")
    mac = hmac.new(field_key, value.encode(), hashlib.sha256).digest()
    return f"v{version}_{base64.urlsafe_b64encode(mac[:18]).decode()}"


def tidy(value: object) -> str | None:
    """NFC, trimmed; None if it is empty or not available."""
    text = unicodedata.normalize("NFC", str(value)).strip() if value is not None else ""
    return None if text.lower() in ("", "n/a") else text


def lower(value: object) -> str | None:
    text = tidy(value)
    return unicodedata.normalize("NFC", text.lower()) if text else None


def digits(value: object) -> str | None:
    return "".join(filter(str.isdigit, tidy(value) or "")) or None


def letters_and_digits(value: object) -> str | None:
    return "".join(filter(str.isalnum, lower(value) or "")) or None


def tokenised(field: str, value: str | None) -> str | None:
    return token(field, value) if value else None


def in_our_words(record: dict[str, Any], dialect: str) -> dict[str, Any]:
    """A record of either dialect in the form of the Random Data API."""
    if dialect == "random-data-api":
        return record
    place = record["location"]
    return {
        "uid": record["login"]["uuid"],
        "first_name": record["name"]["first"],
        "last_name": record["name"]["last"],
        "username": record["login"]["username"],
        "email": record["email"],
        "date_of_birth": record["dob"]["date"][:10],
        "gender": record["gender"],
        "phone_number": record["phone"],
        "social_insurance_number": record["id"]["value"],
        "employment": {},
        "subscription": {},
        "address": {
            "city": place["city"],
            "state": place["state"],
            "country": place["country"],
            "zip_code": place["postcode"],
            "street_name": place["street"]["name"],
            "street_address": f"{place['street']['number']} {place['street']['name']}",
            "coordinates": {
                "lat": float(place["coordinates"]["latitude"]),
                "lng": float(place["coordinates"]["longitude"]),
            },
        },
    }


def expected_row(user: dict[str, Any]) -> dict[str, Any]:
    """The row that a record becomes according to the design."""
    home, work, plan = user["address"], user["employment"], user["subscription"]
    street = ", ".join(filter(None, [tidy(home["street_address"]), tidy(home["street_name"])]))
    return {
        "uid": user["uid"].lower(),
        "first_name": tokenised("first_name", tidy(user["first_name"])),
        "last_name": tokenised("last_name", tidy(user["last_name"])),
        "username": tokenised("username", lower(user["username"])),
        "email": tokenised("email", lower(user["email"])),
        "phone_number": tokenised("phone_number", digits(user["phone_number"])),
        "social_insurance_number": tokenised(
            "social_insurance_number", letters_and_digits(user["social_insurance_number"])
        ),
        "birth_year": int(user["date_of_birth"][:4]),
        "gender": tidy(user["gender"]),
        "employment_title": tidy(work.get("title")),
        "employment_key_skill": tidy(work.get("key_skill")),
        "subscription_plan": tidy(plan.get("plan")),
        "subscription_status": tidy(plan.get("status")),
        "subscription_payment_method": tidy(plan.get("payment_method")),
        "subscription_term": tidy(plan.get("term")),
        "city": tidy(home["city"]),
        "state": tidy(home["state"]),
        "country": tidy(home["country"]),
        "zip_prefix": (tidy(home["zip_code"]) or "")[:3].rstrip() or None,
        "lat": pytest.approx(home["coordinates"]["lat"], abs=0.0501),
        "lng": pytest.approx(home["coordinates"]["lng"], abs=0.0501),
        "street": tokenised("street", street),
    }


class Served:
    """What the stand-in serves at a URL. ``bad``: the records that differ if the URL has no ``bad``."""

    def __init__(self, url: str, dialect: str, pages: int, size: int) -> None:
        self.good: list[dict[str, Any]] = []
        self.bad: list[tuple[int, int]] = []  # page, position
        clean_url = url.replace("bad=", "was_bad=")
        for page in range(1, pages + 1):
            sent = zip(fetch(url, dialect, page, size), fetch(clean_url, dialect, page, size), strict=True)
            for position, (record, unspoiled) in enumerate(sent):
                if record == unspoiled:
                    self.good.append(in_our_words(record, dialect))
                else:
                    self.bad.append((page, position))

    @property
    def people(self) -> dict[str, dict[str, Any]]:
        """The expected rows by uid; the last one of repeated people."""
        return {row["uid"]: row for row in map(expected_row, self.good)}


def fetch(url: str, dialect: str, page: int, size: int) -> list[Any]:
    parts = urlsplit(url)
    size_name = {"random-data-api": "size", "randomuser": "results"}[dialect]
    query = {**dict(parse_qsl(parts.query)), size_name: size, "page": page}
    with requests.get(parts._replace(query="").geturl(), query, timeout=5) as answer:
        sent = answer.json()
    return sent if dialect == "random-data-api" else sent["results"]


def stored_people(sql) -> dict[str, dict[str, Any]]:
    rows = sql("SELECT to_jsonb(users) || to_jsonb(users_address) FROM users JOIN users_address USING (uid)")
    return {row["uid"]: {name: row[name] for name in person(0)} for (row,) in rows}


def ledger(sql, run_id: str) -> dict[str, Any]:
    return sql("SELECT to_jsonb(runs) FROM runs WHERE run_id = %s", run_id)[0][0]


def states(sql) -> list[Any]:
    """The physical state of every person's rows, which any write changes."""
    tables = ("users", "users_address")
    return [sql(f"SELECT uid, xmin::text, ctid::text FROM {table} ORDER BY uid") for table in tables]


@pytest.fixture
def ingest(app_environment, user_api):
    """Does a run over what the stand-in serves with this query in its URL."""

    def run(dialect="random-data-api", pages=1, size=20, **query):
        app_environment(SOURCE_URL=user_api.url(dialect, **query), SOURCE_DIALECT=dialect)
        return runs.run_ingest("manual", pages, size)

    return run


@pytest.fixture
def ingest_body(app_environment, user_api):
    """Does a run over exactly these pages."""

    def run(*bodies):
        for body in bodies:
            user_api.script(body)
        return runs.run_ingest("manual", len(bodies), 20)

    return run


# Rows, rejects and counts


@both
def test_every_row_matches_the_design(ingest, user_api, sql, dialect):
    ingest(dialect, pages=2, size=300, seed="rows", bad="0.1")

    served = Served(user_api.url(dialect, seed="rows", bad="0.1"), dialect, 2, 300)
    stored = stored_people(sql)
    assert stored.keys() == served.people.keys()
    for who, row in served.people.items():
        assert stored[who] == row


@both
def test_every_record_is_counted_once_in_the_report_and_in_the_ledger(ingest, user_api, sql, dialect):
    report = ingest(dialect, pages=2, size=300, seed="rows", bad="0.1")

    served = Served(user_api.url(dialect, seed="rows", bad="0.1"), dialect, 2, 300)
    expected = {
        "status": "succeeded",
        "fetched": 600,
        "inserted": len(served.people),
        "updated": 0,
        "unchanged": 0,
        "duplicate": len(served.good) - len(served.people),
        "rejected": len(served.bad),
        "suppressed": 0,
    }
    assert expected["duplicate"] > 0
    assert {name: getattr(report, name) for name in expected} == expected
    held = ledger(sql, report.run_id)
    assert {name: held[name] for name in expected} == expected
    assert (held["pages_done"], held["trigger"], held["key_version"]) == (2, "manual", 1)


@both
def test_every_reject_is_kept_with_its_position_and_reasons(ingest, user_api, sql, dialect):
    report = ingest(dialect, pages=2, size=100, seed="rejects", bad="0.15")

    served = Served(user_api.url(dialect, seed="rejects", bad="0.15"), dialect, 2, 100)
    kept = sql("SELECT page, position FROM rejects WHERE run_id = %s ORDER BY 1, 2", report.run_id)
    assert kept == served.bad
    assert len(kept) == 30
    assert sum(report.rejects_by_rule.values()) >= 30
    assert sql("SELECT count(*) FROM rejects WHERE jsonb_array_length(issues) = 0") == [(0,)]


@both
def test_ingesting_the_same_page_again_writes_nothing(ingest, sql, dialect):
    first = ingest(dialect, size=100, seed="again")
    before = states(sql)

    second = ingest(dialect, size=100, seed="again")

    assert second.unchanged == first.inserted > 90
    assert (second.inserted, second.updated) == (0, 0)
    assert states(sql) == before


def test_a_changed_record_is_updated_and_the_others_are_not(ingest_body, sql):
    people = [RANDOM_DATA_API.record({"uid": uid(number)}) for number in range(3)]
    ingest_body(RANDOM_DATA_API.page(*people))

    report = ingest_body(RANDOM_DATA_API.page(people[0], people[1] | {"first_name": "Anna"}, people[2]))

    assert (report.updated, report.unchanged) == (1, 2)
    assert sql("SELECT first_name, version FROM users WHERE uid = %s", uid(1)) == [
        (token("first_name", "Anna"), 2)
    ]


def test_after_a_run_redis_holds_what_postgres_answers(ingest, redis_client):
    report = ingest(size=50, seed="cache")

    keys = redis_client.keys("user:*")
    assert len(keys) == report.inserted
    for key in keys:
        assert redis_client.get(key) == wiring.store().get_user(key.decode().removeprefix("user:"))


def test_a_run_continues_without_redis(ingest, redis_down, sql):
    with redis_down():
        report = ingest()

    assert (report.status, sql("SELECT count(*) FROM users")) == ("succeeded", [(20,)])


def test_without_postgres_a_run_does_not_start(ingest, user_api, postgres_down):
    with postgres_down(), pytest.raises(StoreUnavailable):
        ingest()

    assert user_api.requests == []


def test_pages_and_their_size_come_from_the_settings_unless_given(app_environment, user_api):
    app_environment(SOURCE_PAGES="2", SOURCE_PAGE_SIZE="3")

    assert runs.run_ingest("schedule").fetched == 2 * 3
    assert runs.run_ingest("manual", pages=1, page_size=5).fetched == 5


def test_an_unknown_dialect_is_refused_before_anything_is_fetched(app_environment, user_api, sql):
    app_environment(SOURCE_DIALECT="hush")

    with pytest.raises(ConfigError, match="SOURCE_DIALECT") as refused:
        runs.run_ingest("manual")
    assert "hush" not in str(refused.value)
    assert user_api.requests == sql("SELECT * FROM runs") == []


# The reject budget


def test_twenty_bad_records_of_a_hundred_are_allowed(ingest):
    report = ingest(size=100, bad="0.2")

    assert (report.status, report.rejected, report.fetched) == ("succeeded", 20, 100)


def test_twenty_one_bad_records_of_a_hundred_change_nothing(ingest, sql, redis_client):
    ingest(size=100, seed="good")
    before, held = states(sql), sorted(redis_client.keys())

    report = ingest(size=100, seed="bad", bad="0.21")

    assert (report.status, report.fetched) == ("failed", 0)
    assert report.error == "page 1: 21 of 100 records are invalid"
    assert (states(sql), sorted(redis_client.keys())) == (before, held)
    assert sql("SELECT count(*) FROM rejects WHERE run_id = %s", report.run_id) == [(21,)]


# Failures


@both
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("truncated-json", "page 1: the body is not valid JSON, or is cut off"),
        ("envelope", "page 1: the body holds no list of records in the format of {dialect}"),
        ("html", "page 1: the Content-Type of the answer is not JSON"),
        ("empty", "page 1: no records"),
        ("status-404", "page 1: status 404"),
    ],
)
def test_a_source_without_a_usable_page_fails_the_run(ingest, sql, dialect, fault, error):
    report = ingest(dialect, fault=fault)

    place = " (expected at results)" if dialect == "randomuser" and fault in ("envelope", "empty") else ""
    assert (report.status, report.error) == ("failed", error.format(dialect=dialect) + place)
    assert ledger(sql, report.run_id)["error"] == report.error
    assert sql("SELECT count(*) FROM users") == [(0,)]


def test_a_source_that_fails_midway_leaves_the_earlier_pages_stored(app_environment, user_api, sql):
    user_api.script(RANDOM_DATA_API.page(RANDOM_DATA_API.record()))
    user_api.script(b"{}", status=404)

    report = runs.run_ingest("manual", pages=3)

    assert (report.status, report.error) == ("partial", "page 2: status 404")
    held = ledger(sql, report.run_id)
    assert (held["status"], held["pages_done"], held["fetched"], held["inserted"]) == ("partial", 1, 1, 1)


def test_a_failed_page_is_ingested_by_the_next_run(ingest):
    assert ingest(seed="s", fault="status-404").status == "failed"

    assert ingest(seed="s").inserted == 20


def test_a_run_is_skipped_while_another_is_running(app_environment, sql):
    inner = []

    def on_page(planned, report):
        inner.append(runs.run_ingest("schedule"))

    outer = runs.run_ingest("manual", pages=2, on_page=on_page)

    assert [run.status for run in inner] == ["skipped", "skipped"]
    assert outer.status == "succeeded"
    assert sql("SELECT status, count(*) FROM runs GROUP BY 1 ORDER BY 1") == [
        ("skipped", 2),
        ("succeeded", 1),
    ]


def test_a_run_that_lost_its_lease_midway_stops_and_stays_lost(app_environment, sql):
    def on_page(planned, report):
        sql("UPDATE runs SET status = 'lost', finished_at = now() WHERE status = 'running'")

    report = runs.run_ingest("manual", pages=3, on_page=on_page)

    assert report.status == "lost"
    assert report.pages < 3
    assert ledger(sql, report.run_id)["status"] == "lost"


def test_an_unexpected_error_is_in_the_ledger_with_type_and_place(ingest, sql, monkeypatch):
    monkeypatch.setattr(prepare, "clean", lambda users, _: {}[users[0].email])

    with pytest.raises(Unforeseen):
        ingest()

    ((status, error),) = sql("SELECT status, error FROM runs")
    assert (status, error.partition(" ")[0]) == ("failed", "KeyError")
    assert "@" not in error


# Keys and erasures


def test_a_person_seen_again_after_a_rotation_is_stored_under_the_new_key(app_environment, ingest_body, sql):
    page = RANDOM_DATA_API.page(RANDOM_DATA_API.record({"first_name": "Anna"}))
    ingest_body(page)
    app_environment(PII_KEYS=pii_keys({1: PII_KEY, 2: OTHER_KEY}))

    report = ingest_body(page)

    assert report.updated == 1
    assert sql("SELECT first_name, key_version, version FROM users") == [
        (token("first_name", "Anna", OTHER_KEY, 2), 2, 2)
    ]


def test_an_erased_person_does_not_come_back_even_after_a_rotation(app_environment, ingest_body, sql):
    sql("INSERT INTO erasures (uid_token) VALUES (%s)", token("uid", uid(1)))
    people = [RANDOM_DATA_API.record({"uid": uid(number)}) for number in range(3)]

    reports = [ingest_body(RANDOM_DATA_API.page(*people))]
    app_environment(PII_KEYS=pii_keys({1: PII_KEY, 2: OTHER_KEY}))
    reports.append(ingest_body(RANDOM_DATA_API.page(*people)))

    assert [report.suppressed for report in reports] == [1, 1]
    assert sql("SELECT uid FROM users ORDER BY uid") == [(uid(0),), (uid(2),)]


def test_a_record_without_optional_fields_is_stored_with_nulls(ingest_body, sql):
    optional = dict.fromkeys(
        ["phone_number", "social_insurance_number", "gender", "employment", "subscription"], MISSING
    )

    assert ingest_body(RANDOM_DATA_API.page(RANDOM_DATA_API.record(optional))).inserted == 1

    (row,) = stored_people(sql).values()
    assert {name for name, value in row.items() if value is None} == {
        *("phone_number", "social_insurance_number", "gender", "employment_title", "employment_key_skill"),
        *("subscription_plan", "subscription_status", "subscription_payment_method", "subscription_term"),
    }


def test_a_newly_dropped_field_is_removed_by_the_next_run(ingest, api, sql, monkeypatch):
    ingest(seed="dropped")
    assert all(
        row["birth_year"] and row["email"] and row["lat"] is not None for row in stored_people(sql).values()
    )

    for column in privacy.TREATMENT_OF.keys() - {"uid"}:
        monkeypatch.setitem(privacy.TREATMENT_OF, column, "drop")
    report = ingest(seed="dropped")

    assert (report.status, report.updated) == ("succeeded", len(stored_people(sql)))
    assert all(row == {**dict.fromkeys(row), "uid": row["uid"]} for row in stored_people(sql).values())
    (shown,) = api.get("/users?limit=1").json["items"]
    assert shown == api.get(f"/users/{shown['uid']}").json  # the cached body
    assert shown["address"]["coordinates"] == {"lat": None, "lng": None}
    assert api.get("/stats").json["birth_decade"] == [{"value": None, "count": report.updated}]
    assert api.get("/users?city=Paris").json["items"] == []
    lookup = api.post("/users/lookup", {"email": "someone@example.com"})
    assert (lookup.status, lookup.json["items"]) == (200, [])


# An API that knows less than the built-in ones


class Contact(Personal):
    number: int
    mail: Email | None = None


CONTACTS = Dialect(
    "contacts",
    Contact,
    lambda contact: User(uid=UUID(int=contact.number), email=contact.mail),
    Paging(random_data_api.query, ends=False),
    uid="number",
    make_uid=lambda number: UUID(int=number),
)


def test_of_a_user_only_the_uid_is_required(monkeypatch, app_environment, user_api, api):
    use(monkeypatch, CONTACTS)
    app_environment(SOURCE_DIALECT="contacts", MAX_REJECT_RATIO="1")
    user_api.script(
        b'[{"number": 1, "mail": " A@example.com"}, {"number": 2}, {"number": 3, "mail": "none"}]'
    )

    report = runs.run_ingest("manual")

    assert (report.status, report.inserted, report.rejected) == ("succeeded", 2, 1)
    known = api.post("/users/lookup", {"email": "a@example.com"}).json["items"]
    assert [person["uid"] for person in known] == [str(UUID(int=1))]
    (nobody,) = (person for person in api.get("/users").json["items"] if person["uid"] == str(UUID(int=2)))
    stored = [value for value in leaves_of(nobody) if value is not None]
    assert stored == [nobody["uid"], 1, nobody["updated_at"]]
    assert api.get(f"/users/{UUID(int=2)}").json == nobody
    stats = api.get("/stats").json
    assert (stats["total"], stats["birth_decade"]) == (2, [{"value": None, "count": 2}])
