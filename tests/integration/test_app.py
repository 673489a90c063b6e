"""The app's entry points, through Chalice's own test client, over real servers."""

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from chalice.test import Client

from chalicelib import wiring
from tests.fakes import uid
from tests.keys import API_KEY, KEY_WITHOUT_SCOPES

ROOT = Path(__file__).parents[2]
OPEN = {"/", "/web/{version}/{asset}", "/health", "/openapi.json", "/docs"}


@pytest.fixture
def client(app_environment):
    from app import app

    with Client(app, project_dir=str(ROOT)) as made:
        yield made


@pytest.fixture
def get(client):
    """Sends a GET, by default with a key that has all scopes."""

    def ask(path: str, api_key: str | None = API_KEY) -> Any:
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        return client.http.get(path, headers=headers)

    return ask


@pytest.fixture
def ingest(client):
    """Fires the schedule once; returns what the Lambda returns."""
    event = client.events.generate_cw_event("aws.events", "Scheduled Event", {}, ["arn:aws:events:rule"])
    return lambda: client.lambda_.invoke("ingest", event).payload


@pytest.fixture
def who(ingest, sql):
    """The uid of a person who is stored and cached."""
    ingest()
    return sql("SELECT uid FROM users ORDER BY uid LIMIT 1")[0][0]


def problem(answer):
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["X-Request-Id"]
    assert answer.json_body["status"] == answer.status_code
    return answer.status_code


def protected_routes(client):
    return [
        (method, path.replace("{uid}", uid(1)).replace("{run_id}", uid(1)))
        for path, entries in client._app.routes.items()
        for method in entries
        if path not in OPEN
    ]


def answers_of_protected_routes(client, headers):
    return [client.http.request(method, path, headers) for method, path in protected_routes(client)]


# Access


def test_every_route_but_the_open_ones_needs_a_key(client):
    answers = answers_of_protected_routes(client, {})

    assert len(answers) >= 5
    assert {answer.status_code for answer in answers} == {401}


@pytest.mark.parametrize(
    "authorization",
    [
        f"Bearer {KEY_WITHOUT_SCOPES}",
        "Bearer no-such-key",
        "Bearer ",
        API_KEY,
        f"Basic {API_KEY}",
        f"Bearer {API_KEY}x",
    ],
)
def test_an_invalid_key_is_refused_whatever_is_wrong_with_it(client, authorization):
    answers = answers_of_protected_routes(client, {"Authorization": authorization})

    assert {answer.status_code for answer in answers} == {403}


def test_a_wrong_key_and_one_without_the_scope_are_refused_in_the_same_words(get):
    wrong, without_scope = get("/users", "no-such-key"), get("/users", KEY_WITHOUT_SCOPES)

    different = {"request_id"}
    answers = [
        {name: value for name, value in answer.json_body.items() if name not in different}
        for answer in (wrong, without_scope)
    ]
    assert answers[0] == answers[1]
    assert wrong.headers.keys() == without_scope.headers.keys()


def test_without_configured_keys_every_key_is_refused(app_environment, client, get):
    app_environment(API_KEYS="{}")

    assert get("/users").status_code == 403
    assert get("/health", None).status_code == 200


def test_with_malformed_keys_every_key_is_refused(app_environment, get):
    app_environment(API_KEYS='{"key-that-opens-all-doors": ["read"]}')

    assert get("/users").status_code == 403


# People


def test_a_person_comes_from_postgres_first_and_then_from_redis_in_the_same_bytes(get, who, redis_client):
    loaded = get(f"/users/{who}")
    redis_client.flushall()
    first, second = get(f"/users/{who}"), get(f"/users/{who}")

    sources = [answer.headers["X-Data-Source"] for answer in (loaded, first, second)]
    assert sources == ["redis", "postgres", "redis"]
    assert loaded.body == first.body == second.body
    assert (first.status_code, first.json_body["uid"]) == (200, who)


def test_the_list_shows_people_as_the_single_route_does(get, who):
    listed = get("/users?limit=3").json_body["items"]

    assert len(listed) == 3
    assert listed[0] == get(f"/users/{who}").json_body


@pytest.mark.parametrize(
    "path", ["/users/hush", "/runs/hush", "/runs/hush/rejects", "/users/%00", "/users/1"]
)
def test_a_malformed_id_is_refused_without_being_repeated(get, path):
    answer = get(path)

    assert problem(answer) == 400
    assert b"hush" not in answer.body


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "many", "1e3", "", "٣", "999999999999999999999"])
@pytest.mark.parametrize("path", ["/users", "/runs"])
def test_a_malformed_limit_is_refused(get, path, limit):
    assert problem(get(f"{path}?limit={limit}")) == 400


@pytest.mark.parametrize("path", [f"/users/{uid(9)}", f"/runs/{uid(9)}", f"/runs/{uid(9)}/rejects"])
def test_an_unknown_id_is_not_found(get, path):
    assert [problem(get(path)) for _ in range(2)] == [404, 404]


# Runs


def test_the_schedule_starts_an_ingest_that_the_ledger_shows(get, ingest):
    summary = ingest()

    assert (summary["status"], summary["fetched"]) == ("succeeded", 20)
    run = get(f"/runs/{summary['run_id']}").json_body
    assert {name: run[name] for name in ("run_id", "status", "trigger", "fetched", "inserted")} == {
        "run_id": summary["run_id"],
        "status": "succeeded",
        "trigger": "schedule",
        "fetched": 20,
        "inserted": summary["inserted"],
    }
    assert [listed["run_id"] for listed in get("/runs").json_body["items"]] == [summary["run_id"]]


def test_rejects_are_shown_by_position_and_rule(app_environment, user_api, get, ingest):
    app_environment(SOURCE_URL=user_api.url("random-data-api", bad="0.1"))
    summary = ingest()

    rejects = get(f"/runs/{summary['run_id']}/rejects").json_body["items"]

    assert summary["rejected"] == len(rejects) == 2
    assert all(reject["page"] == 1 and reject["issues"] and reject["fingerprint"] for reject in rejects)


def test_the_lambda_returns_the_error_of_a_failing_source(app_environment, user_api, ingest):
    app_environment(SOURCE_URL=user_api.url("random-data-api", fault="status-404"))

    assert (ingest()["status"], ingest()["error"]) == ("failed", "page 1: status 404")


def test_the_migrate_lambda_migrates_an_empty_database(app_environment, client, empty_database_url):
    app_environment(DATABASE_URL=empty_database_url)

    applied = [client.lambda_.invoke("migrate").payload["applied"] for _ in range(2)]
    wiring.reset()

    assert applied[0][0].startswith("0001_")
    assert applied[1] == []


# Health and outages


def test_health_needs_no_key_and_shows_when_a_run_last_succeeded(get, ingest):
    before = get("/health", None)
    ingest()
    after = get("/health", None)

    assert (before.status_code, before.json_body["status"]) == (200, "ok")
    assert before.json_body["last_success_age_seconds"] is None
    assert 0 <= after.json_body["last_success_age_seconds"] < 30


def test_without_postgres_only_redis_answers(get, who, postgres_down):
    get("/users")
    with postgres_down():
        cached, uncached, listed = get(f"/users/{who}"), get(f"/users/{uid(9)}"), get("/users")
        health = get("/health", None)

    assert (cached.status_code, cached.headers["X-Data-Source"]) == (200, "redis")
    assert (problem(uncached), problem(listed)) == (503, 503)
    assert (health.status_code, health.json_body["status"]) == (503, "down")
    assert get("/users").status_code == 200
    assert get("/health", None).json_body["status"] == "ok"


def test_without_redis_postgres_answers(get, who, redis_down):
    with redis_down():
        answer, health = get(f"/users/{who}"), get("/health", None)

    assert (answer.status_code, answer.headers["X-Data-Source"]) == (200, "postgres")
    assert (health.status_code, health.json_body["status"]) == (200, "degraded")
    assert health.json_body["redis"]["ok"] is False


def test_without_postgres_the_ingest_lambda_fails_without_a_value_in_its_error(
    ingest, postgres_down, postgres
):
    password = postgres.url.split(":")[2].partition("@")[0]

    with postgres_down(), pytest.raises(Exception, match="query connect failed") as failed:
        ingest()

    assert password not in repr(failed.value)


# Unexpected errors


@pytest.mark.parametrize("path", ["/users", f"/users/{uid(1)}", "/runs", "/health"])
def test_an_unexpected_error_shows_only_a_request_id(get, monkeypatch, caplog, capfd, path):
    def fail(*_: object) -> None:
        raise ValueError("hush@example.com")

    with monkeypatch.context() as broken, caplog.at_level(logging.DEBUG):
        broken.setattr(wiring, "store", fail)
        broken.setattr(wiring, "cache", fail)
        answer = get(path)

    assert problem(answer) == 500
    assert "hush" not in f"{answer.body!r} {answer.headers} {caplog.text} {capfd.readouterr()}"
    assert "ValueError at test_app.py" in caplog.text
    assert set(answer.json_body) <= {"type", "title", "status", "request_id"}


def test_a_missing_setting_is_named_in_the_log_and_not_to_the_caller(monkeypatch, get, caplog):
    monkeypatch.delenv("DATABASE_URL")
    wiring.reset()

    answer = get("/health", None)

    assert problem(answer) == 500
    assert "DATABASE_URL" in caplog.text
    assert "DATABASE_URL" not in json.dumps(answer.json_body)
