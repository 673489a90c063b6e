"""The app's entry points, through Chalice's own test client, over real servers."""

import json
from pathlib import Path
from typing import Any

import pytest
from chalice.test import Client

from chalicelib import wiring
from tests.fakes import uid
from tests.keys import API_KEY

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


def test_a_missing_setting_is_named_in_the_log_and_not_to_the_caller(monkeypatch, get, caplog):
    monkeypatch.delenv("DATABASE_URL")
    wiring.reset()

    answer = get("/health", None)

    assert problem(answer) == 500
    assert "DATABASE_URL" in caplog.text
    assert "DATABASE_URL" not in json.dumps(answer.json_body)
