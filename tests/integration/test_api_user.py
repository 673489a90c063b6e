"""`GET /users/{uid}`: ETag and 304, which server the answer came from, and malformed ids."""

import logging
import re

import pytest

from chalicelib import runs, wiring
from local.processes import free_port
from tests.fakes import person, uid
from tests.integration.api_support import crowd, load

WHO = f"/users/{uid(1)}"

MALFORMED = [
    "me",
    "1",
    "null",
    uid(1)[:-1],
    uid(1) + "0",
    uid(1).replace("-", ""),
    uid(1).replace("-", "_"),
    f"{{{uid(1)}}}",
    f"urn:uuid:{uid(1)}",
    uid(1).replace("0", "g"),
    uid(1).replace("0", "٠"),
    uid(1).replace("0", "０"),
    "someone@example.com",
    "%00",
    f"{uid(1)}%0a",
    f"{uid(1)}%20",
    "%2e%2e",
    "*",
    "é",
    "x" * 5_000,
]


@pytest.fixture
def known(store):
    """Stores one person."""
    load(store, person(1))


# The answer and its source


@pytest.mark.usefixtures("known")
def test_a_person_comes_first_from_postgres_and_then_from_redis_in_the_same_bytes(api):
    first, second = api.get(WHO), api.get(WHO)

    assert [first.headers["x-data-source"], second.headers["x-data-source"]] == ["postgres", "redis"]
    assert first.body == second.body
    assert first.headers["etag"] == second.headers["etag"]


@pytest.mark.usefixtures("known")
def test_a_cached_body_is_passed_through_unchanged(api, redis_client):
    """It is not parsed, so any bytes will do."""
    held = b'{"version":1, "as it": "is"  }'
    redis_client.set(f"user:{uid(1)}", held)

    assert api.get(WHO).body == held


@pytest.mark.usefixtures("known")
def test_a_cached_person_costs_one_round_trip(api, redis_client):
    api.get(WHO)
    redis_client.config_resetstat()

    assert api.get(WHO).headers["x-data-source"] == "redis"
    calls = {name: stats["calls"] for name, stats in redis_client.info("commandstats").items()}
    assert {
        name: count
        for name, count in calls.items()
        if name not in {"cmdstat_info", "cmdstat_config|resetstat"}
    } == {"cmdstat_get": 1}


def test_a_person_is_shown_with_all_that_is_stored_and_nothing_else(api, store):
    load(store, row := person(1, street=None, employment_title=None))

    shown = api.get(WHO).json

    updated_at = shown.pop("updated_at")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", updated_at)
    assert shown == {
        "uid": uid(1),
        "version": 1,
        **{name: row[name] for name in ("first_name", "last_name", "username", "email", "phone_number")},
        **{name: row[name] for name in ("social_insurance_number", "birth_year", "gender")},
        "employment": {"title": None, "key_skill": row["employment_key_skill"]},
        "subscription": {
            name: row[f"subscription_{name}"] for name in ("plan", "status", "payment_method", "term")
        },
        "address": {
            **{name: row[name] for name in ("city", "state", "country", "zip_prefix", "street")},
            "coordinates": {"lat": row["lat"], "lng": row["lng"]},
        },
    }


@pytest.mark.usefixtures("known")
def test_an_id_may_be_written_in_capitals(api, store):
    load(store, person(1, uid="abcdef00-0000-4000-8000-00000000000a"))

    answer = api.get("/users/ABCDEF00-0000-4000-8000-00000000000A")

    assert answer.json["uid"] == "abcdef00-0000-4000-8000-00000000000a"


def test_an_unknown_person_is_a_problem_from_either_server(api):
    answers = [api.get(WHO) for _ in range(2)]

    assert [answer.status for answer in answers] == [404, 404]
    assert answers[0].without_id() == answers[1].without_id()


def test_a_person_who_was_unknown_is_found_as_soon_as_loaded(api, store):
    assert api.get(WHO).status == 404

    load(store, person(1))
    wiring.cache().put_users({uid(1): store.get_user(uid(1))})

    assert api.get(WHO).status == 200


@pytest.mark.usefixtures("known")
def test_a_client_may_keep_a_person_but_must_ask_whether_it_is_current(api):
    """Without the header, a browser keeps nothing, and never sends If-None-Match."""
    assert api.get(WHO).headers["cache-control"] == "private, no-cache"


# ETag


@pytest.mark.usefixtures("known")
def test_the_etag_is_strong(api):
    assert re.fullmatch(r'"[!#-~]+"', api.get(WHO).headers["etag"])


def test_every_version_of_every_person_has_a_unique_etag(api, store, redis_client):
    rows = crowd(20)
    etags = []
    for year in (1950, 1951, 1950):
        load(store, *[row | {"birth_year": year} for row in rows])
        redis_client.flushall()
        etags += [api.get(f"/users/{row['uid']}").headers["etag"] for row in rows]

    assert len(set(etags)) == 60


def test_what_a_run_caches_and_what_is_read_later_has_the_same_etag(api, redis_client):
    """Otherwise a client would fetch everybody again whenever an entry expires."""
    runs.run_ingest("manual", pages=3, page_size=50)
    everyone = [item["uid"] for item in api.get("/users?limit=1000").json["items"]]

    cached = [api.get(f"/users/{who}").headers for who in everyone]
    redis_client.flushall()
    read = [api.get(f"/users/{who}").headers for who in everyone]

    assert {headers["x-data-source"] for headers in cached} == {"redis"}
    assert {headers["x-data-source"] for headers in read} == {"postgres"}
    assert [headers["etag"] for headers in cached] == [headers["etag"] for headers in read]


@pytest.mark.usefixtures("known")
def test_a_client_with_the_current_version_gets_no_body(api):
    etag = api.get(WHO).headers["etag"]

    answer = api.get(WHO, If_None_Match=etag)

    assert (answer.status, answer.body) == (304, b"")
    assert answer.headers["etag"] == etag
    assert answer.headers["x-data-source"] == "redis"
    assert answer.headers["cache-control"] == api.get(WHO).headers["cache-control"]


@pytest.mark.usefixtures("known")
def test_if_none_match_may_have_several_etags_a_weak_one_or_a_star(api):
    etag = api.get(WHO).headers["etag"]

    for header in (
        f'"other", {etag}',
        f'{etag},"other"',
        f"W/{etag}",
        f'W/"other",W/{etag}',
        "*",
        f"  {etag}  ",
    ):
        assert api.get(WHO, If_None_Match=header).status == 304, header


@pytest.mark.usefixtures("known")
def test_a_client_with_another_version_gets_the_person(api):
    etag = api.get(WHO).headers["etag"]

    for header in ('"other"', etag[1:-1], etag.upper(), "", ",", '"', "W/", f'"{etag}"', etag[:-2] + '"'):
        assert api.get(WHO, If_None_Match=header).status == 200, header


def test_a_change_ends_the_304(api, store):
    load(store, person(1))
    etag = api.get(WHO).headers["etag"]

    load(store, person(1, birth_year=1999))
    wiring.cache().put_users({uid(1): store.get_user(uid(1))})

    answer = api.get(WHO, If_None_Match=etag)
    assert (answer.status, answer.json["birth_year"]) == (200, 1999)


def test_if_none_match_with_a_star_is_a_404_for_an_unknown_person(api):
    assert api.get(WHO, If_None_Match="*").status == 404


@pytest.mark.usefixtures("known")
def test_a_304_needs_no_postgres_if_redis_has_the_person(api, postgres_down):
    etag = api.get(WHO).headers["etag"]

    with postgres_down():
        assert api.get(WHO, If_None_Match=etag).status == 304
        assert api.get(WHO).status == 200


@pytest.mark.usefixtures("known")
def test_a_person_is_served_without_redis(api, redis_down):
    with redis_down():
        answer = api.get(WHO)

    assert (answer.status, answer.headers["x-data-source"]) == (200, "postgres")


@pytest.mark.usefixtures("known")
def test_without_postgres_and_a_cached_body_the_answer_is_503(api, postgres_down):
    with postgres_down():
        answer = api.get(WHO)

    assert answer.status == 503
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json) <= {"type", "title", "status", "request_id"}


@pytest.mark.usefixtures("known")
def test_postgres_is_used_again_as_soon_as_it_is_back(api, postgres_down):
    with postgres_down():
        assert api.get(WHO).status == 503

    assert api.get(WHO).status == 200


@pytest.mark.usefixtures("known")
def test_head_has_the_headers_of_get(api):
    api.get(WHO)
    get, head = api.get(WHO), api("HEAD", WHO)

    assert head.status == 200
    for name in ("etag", "content-type", "x-data-source", "cache-control"):
        assert head.headers[name] == get.headers[name]


@pytest.mark.usefixtures("known")
def test_head_supports_304_too(api):
    etag = api.get(WHO).headers["etag"]

    assert api("HEAD", WHO, If_None_Match=etag).status == 304


# Malformed ids


ROUTES_OF_AN_ID = [
    ("GET", "/users/{}"),
    ("HEAD", "/users/{}"),
    ("DELETE", "/users/{}"),
    ("GET", "/runs/{}"),
    ("GET", "/runs/{}/rejects"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES_OF_AN_ID)
def test_a_malformed_id_is_refused_before_any_store_is_asked(api, app_environment, caplog, method, path):
    nowhere = free_port()
    app_environment(
        DATABASE_URL=f"postgresql://nobody:hush@127.0.0.1:{nowhere}/none",
        REDIS_URL=f"redis://127.0.0.1:{nowhere}/0",
    )

    for malformed in MALFORMED:
        answer = api(method, path.format(malformed))
        assert (answer.status, answer.json["status"]) == (400, 400), malformed

    assert wiring.cache().counts["errors"] == 0
    assert not [entry for entry in caplog.records if entry.levelno >= logging.WARNING]
    # a valid id does reach the stores, or this test would prove nothing
    assert api(method, path.format(uid(1))).status == 503


@pytest.mark.parametrize(("method", "path"), ROUTES_OF_AN_ID)
def test_a_malformed_id_is_not_repeated(api, caplog, capsys, method, path):
    caplog.set_level(logging.DEBUG)

    answer = api(method, path.format("someone@example.com"))

    assert "someone" not in f"{answer.body} {answer.headers} {caplog.text} {capsys.readouterr()}"
