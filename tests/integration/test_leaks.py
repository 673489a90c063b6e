"""No raw value of a tokenised or dropped field lies anywhere after a run, whatever the run met with.

Every value is made up so that it can come from nowhere else, and is searched for in several spellings.
"""

import json
import logging
import subprocess
import sys
import traceback
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from chalicelib import pipeline, runs
from chalicelib.errors import DecantError
from tests.builders import APIS, RANDOM_DATA_API, RANDOMUSER, Api, leaves_of
from tests.fakes import uid

ROOT = Path(__file__).parents[2]
SHORTEST_NEEDLE = 6  # shorter ones would be found by chance
both = pytest.mark.parametrize("api", APIS, ids=str)

# What may not be found, by path. {} is the record's number, which makes every value unique.
RANDOM_DATA_API_RAW = {
    "id": "91827{}45",
    "first_name": "Zephyrqx{}-Ünique",
    "last_name": "Quixwell{}-Ødegård",
    "username": "zq{}.shadowfax",
    "email": "Zq{}.Shadowfax@qx-mail.example",
    "phone_number": "+45 (739) 91{}-5128 x90417",
    "social_insurance_number": "739-5{}-8264-ZQ",
    "date_of_birth": "19{}-11-23",
    "password": "pw-{}-hunterqx",
    "avatar": "https://robohash.org/qx{}avatar.png",
    "credit_card.cc_number": "4929-7731-55{}-0043",
    "address.street_name": "Xylophonvej{}",
    "address.street_address": "88{} Obsidianstræde",
    "address.zip_code": "948{}-3356",
    "address.coordinates.lat": "37.7749{}123",
    "address.coordinates.lng": "-122.4194{}456",
}
RANDOMUSER_RAW = {
    "name.first": "Zephyrqx{}-Ünique",
    "name.last": "Quixwell{}-Ødegård",
    "login.username": "zq{}.shadowfax",
    "login.password": "pw-{}-hunterqx",
    "login.salt": "salt{}qx",
    "login.sha256": "5d1f{}aa0c9be3",
    "email": "Zq{}.Shadowfax@qx-mail.example",
    "phone": "(739)-91{}-5128",
    "cell": "(738)-91{}-5129",
    "id.value": "739-5{}-8264-ZQ",
    "dob.date": "19{}-11-23T05:47:57.379Z",
    "picture.large": "https://randomuser.me/api/portraits/qx{}.jpg",
    "location.street.name": "Xylophonvej{}",
    "location.postcode": "948{}-3356",
    "location.coordinates.latitude": "37.7749{}123",
    "location.coordinates.longitude": "-122.4194{}456",
}
RAW = {RANDOM_DATA_API: RANDOM_DATA_API_RAW, RANDOMUSER: RANDOMUSER_RAW}
FIRST_NUMBER = 40  # two digits, and a year of birth

# Each makes a record invalid in its own way, and holds a value that is as secret as a valid one.
SPOILED = (
    lambda api: {api.email: "zq-no-address-of-shadowfax"},
    lambda api: {api.uid: "zq-no-uuid-of-shadowfax"},
    lambda api: {api.born: "23/11/1987-zq-shadowfax"},
    lambda api: {api.born: api.born_on("2987-11-23")},
    lambda api: {api.lat: 371.77491234},
    lambda api: {api.lng: "zq-no-longitude"},
    lambda api: {api.texts[0]: "Longzqshadow" * 100},
    lambda api: {api.texts[1]: "Nulzqshadow\0fax"},
    lambda api: {api.texts[0]: b'"Halfzqshadow\\ud800fax"'},
    lambda api: {api.texts[1]: ["Listzqshadow"]},
    lambda api: {api.texts[0]: {"Objectzqshadow": "Deepzqshadow"}},
    lambda api: {api.texts[1]: 7391628264},
)


def record(api: Api, number: int, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A person of whom every value that may not be stored is one of a kind."""
    unique = {path: text.format(FIRST_NUMBER + number) for path, text in RAW[api].items()}
    if api is RANDOM_DATA_API:  # the other one writes its numbers as text
        unique |= {path: json.loads(unique[path]) for path in ("id", api.lat, api.lng)}
    return api.record({**unique, api.uid: uid(number), **(changes or {})})


def spoiled(api: Api) -> list[dict[str, Any]]:
    return [record(api, 20 + number, spoil(api)) for number, spoil in enumerate(SPOILED)]


def needles() -> set[str]:
    """Every text that may be found nowhere, in the spellings that it could have taken on the way."""
    raw = {
        text.format(FIRST_NUMBER + number)
        for api in APIS
        for text in RAW[api].values()
        for number in range(40)
    }
    raw |= {
        leaf for api in APIS for spoil in SPOILED for leaf in leaves_of(spoil(api)) if isinstance(leaf, str)
    }
    raw |= {"371.7749", "7391628264", "Halfzqshadow", "Objectzqshadow"}
    return {spelling for text in raw for spelling in spellings(text) if len(spelling) >= SHORTEST_NEEDLE}


def spellings(text: str) -> Iterator[str]:
    for form in (text, text.lower(), text.upper(), unicodedata.normalize("NFD", text)):
        yield form
        yield json.dumps(form)[1:-1]
        yield ascii(form)[1:-1]
        yield quote(form)
        yield form.encode("utf-8", "replace").hex()
    yield text[:24]  # a long name that was cut off
    yield text.partition("T")[0]  # a day without its hour
    if text.startswith(("37.", "-122.")):
        yield text[:7]  # a place to a few hundred metres
    numbers = "".join(filter(str.isdigit, text))
    if len(numbers) > 9:
        yield numbers
    yield text.rpartition("@")[0]
    yield text.rpartition("/")[2]


NEEDLES = needles()


def leaks(places: Mapping[str, str]) -> list[tuple[str, str]]:
    return [(place, needle) for place, text in places.items() for needle in NEEDLES if needle in text]


@pytest.fixture
def at_rest(sql, redis_client, postgres, valkey) -> Callable[[], dict[str, str]]:
    """All that the servers keep: every row of every table, every key and value, their own logs."""

    def read() -> dict[str, str]:
        user_tables = (
            "SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables "
            "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        places = {
            table: "\n".join(row for (row,) in sql(f"SELECT t::text FROM {table} t"))
            for (table,) in sql(user_tables)
        }
        places["statements"] = "\n".join(row for (row,) in sql("SELECT query FROM pg_stat_activity"))
        places["redis"] = "\n".join(
            f"{key!r} {redis_client.dump(key)!r} {redis_client.get(key).decode()}"
            for key in redis_client.scan_iter()
        )
        for server in (postgres, valkey):
            places[f"log of {server.name}"] = server.log.read_text(encoding="utf-8", errors="replace")
        return places

    return read


@pytest.fixture
def logged(caplog) -> Iterator[list[str]]:
    """Every line that any part of the process logs, as it is made: before a filter could clean it."""
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "decant")
    made, lines = logging.getLogRecordFactory(), []

    def make(*args: Any, **named: Any) -> logging.LogRecord:
        record = made(*args, **named)
        trace = traceback.format_exception(record.exc_info[1]) if record.exc_info else []
        lines.append("".join([record.getMessage(), *trace]))
        return record

    logging.setLogRecordFactory(make)
    yield lines
    logging.setLogRecordFactory(made)


def everything_that_can_come(api: Api) -> dict[str, tuple[bytes, int, str]]:
    """Bodies with their status and type: good ones, bad ones, and some that are no page at all."""
    good = [record(api, number) for number in range(4)]
    page, kind = api.page(*good), "application/json"
    return {
        "a good page": (page, 200, kind),
        "the same again, changed": (api.page(*[one | {"gender": "Agender"} for one in good]), 200, kind),
        "a page with some bad records": (api.page(*good * 12, *spoiled(api)), 200, kind),
        "a page over the budget": (api.page(good[0], *spoiled(api)), 200, kind),
        "a page that breaks off": (page[:-40], 200, kind),
        "an envelope of another kind": (b'{"error":' + page + b"}", 200, kind),
        "text": (b"no such user: " + page, 200, kind),
        "a page that is not called one": (page, 200, "text/html"),
        "an error with a page in it": (page, 404, kind),
    }


def ingest(user_api, body: bytes, status: int, kind: str) -> str:
    """One run over one body; what it raised, as the runtime would show it."""
    user_api.script(body, status, {"Content-Type": kind})
    try:
        runs.run_ingest("manual")
    except DecantError as error:
        return "".join(traceback.format_exception(error)) + repr(error)
    return ""


STATUSES = [
    *("succeeded", "succeeded", "succeeded"),
    *("failed", "failed", "failed", "failed", "failed", "failed"),
]


@both
def test_a_run_leaves_no_raw_value_anywhere_whatever_it_meets(
    app_environment, user_api, api, at_rest, sql, logged, capfd
):
    app_environment(SOURCE_DIALECT=str(api))

    raised = [ingest(user_api, *sent) for sent in everything_that_can_come(api).values()]

    output = capfd.readouterr()
    places = {"stdout": output.out, "stderr": output.err, "raised": "".join(raised)}
    assert len(logged) > len(raised)
    assert leaks(at_rest() | places | {"log": "\n".join(logged)}) == []
    assert sql("SELECT status FROM runs ORDER BY started_at") == [(status,) for status in STATUSES]
    assert sql("SELECT count(*) FROM users") == [(4,)]
    assert sql("SELECT count(*) FROM rejects") == [(2 * len(SPOILED),)]


@both
@pytest.mark.parametrize("step", ["clean", "validate"])
def test_a_defect_leaves_no_raw_value_anywhere(
    app_environment, user_api, api, at_rest, monkeypatch, logged, capfd, step
):
    def fail(raw: Any, *_: object) -> None:
        shown = raw.decode() if isinstance(raw, bytes) else f"{raw[0].email} {raw[0].last_name}"
        assert leaks({"the defect itself": shown})
        raise RuntimeError(shown) from KeyError(shown)

    app_environment(SOURCE_DIALECT=str(api))
    monkeypatch.setattr(pipeline, step, fail)

    raised = ingest(user_api, api.page(record(api, 1)), 200, "application/json")

    assert "Unforeseen" in raised
    output = capfd.readouterr()
    places = {"stdout": output.out, "stderr": output.err, "raised": raised}
    assert leaks(at_rest() | places | {"log": "\n".join(logged)}) == []


LAMBDA = """
import json, logging, sys, traceback
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
from chalice.test import Client
import app
client = Client(app.app, project_dir=sys.argv[1])
event = client.events.generate_cw_event("aws.events", "Scheduled Event", {}, ["arn"])
for _ in range(int(sys.argv[2])):
    try:
        print(json.dumps(client.lambda_.invoke("ingest", event).payload))
    except Exception:
        traceback.print_exc()
"""


@both
def test_the_lambda_puts_out_no_raw_value_even_at_debug(app_environment, user_api, api, at_rest, monkeypatch):
    app_environment(SOURCE_DIALECT=str(api), LOG_LEVEL="DEBUG")
    sent = everything_that_can_come(api).values()
    for body, status, kind in sent:
        user_api.script(body, status, {"Content-Type": kind})

    done = subprocess.run(
        [sys.executable, "-c", LAMBDA, str(ROOT), str(len(sent))],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    )

    payloads = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"run_id"')]
    assert [payload["status"] for payload in payloads] == STATUSES
    assert "DEBUG" in done.stderr
    assert leaks(at_rest() | {"stdout": done.stdout, "stderr": done.stderr}) == []


# The search finds what it is there to find

PLANTED = {
    "a kept column": "UPDATE users SET gender = %s",
    "an address": "UPDATE users_address SET city = %s",
    "a run's error": "UPDATE runs SET error = %s",
    "a reject's issue": "UPDATE rejects SET issues = jsonb_build_array(%s::text)",
}


@pytest.mark.parametrize("statement", PLANTED.values(), ids=PLANTED)
@both
def test_a_value_planted_in_postgres_is_found(app_environment, user_api, api, at_rest, sql, statement):
    app_environment(SOURCE_DIALECT=str(api))
    body, status, kind = everything_that_can_come(api)["a page with some bad records"]
    ingest(user_api, body, status, kind)
    assert leaks(at_rest()) == []

    sql(statement, RAW[api][api.email].format(FIRST_NUMBER + 1))

    assert leaks(at_rest())


def test_a_value_in_a_table_that_nobody_knows_of_is_found(sql, at_rest):
    sql("CREATE SCHEMA attic CREATE TABLE attic.forgotten (raw text)")
    try:
        sql("INSERT INTO attic.forgotten VALUES ('Quixwell41-Ødegård')")
        assert {place for place, _ in leaks(at_rest())} >= {"attic.forgotten"}
    finally:
        sql("DROP SCHEMA attic CASCADE")


@pytest.mark.parametrize(
    ("key", "value"), [("user:x", "Quixwell41-Ødegård"), ("zq41.shadowfax@qx-mail.example", "")]
)
def test_a_value_planted_in_redis_is_found(redis_client, at_rest, key, value):
    redis_client.set(key, value)

    assert {place for place, _ in leaks(at_rest())} == {"redis"}


@pytest.mark.parametrize("text", sorted({*RANDOM_DATA_API_RAW.values(), *RANDOMUSER_RAW.values()}))
@pytest.mark.parametrize("spell", [str, str.lower, ascii, quote, lambda text: text.encode().hex()])
def test_a_value_planted_in_a_log_is_found_in_any_spelling(text, spell):
    assert leaks({"log": f"no such user: {spell(text.format(43))!s}, sorry"})


@pytest.mark.parametrize("digits", ["457399143512890417", "4929773155430043"])
def test_the_digits_of_a_number_are_found_without_what_stands_between_them(digits):
    assert leaks({"log": f"no such number: {digits}"})
