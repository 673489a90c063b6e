"""The app's entry points, through Chalice's own test client, over real servers."""

import pytest
from chalice.test import Client

from chalicelib import wiring
from chalicelib.errors import StoreError
from local.folders import ROOT
from tests.fakes import uid


@pytest.fixture
def client(app_environment):
    from app import app

    with Client(app, project_dir=str(ROOT)) as made:
        yield made


@pytest.fixture
def ingest(client):
    """Fires the schedule once; returns what the Lambda returns."""
    event = client.events.generate_cw_event("aws.events", "Scheduled Event", {}, ["arn:aws:events:rule"])
    return lambda: client.lambda_.invoke("ingest", event).payload


def test_the_schedule_starts_an_ingest_that_the_ledger_shows(api, ingest):
    summary = ingest()

    assert (summary["status"], summary["fetched"]) == ("succeeded", 20)
    run = api.get(f"/runs/{summary['run_id']}").json
    assert {name: run[name] for name in ("run_id", "status", "trigger", "fetched", "inserted")} == {
        "run_id": summary["run_id"],
        "status": "succeeded",
        "trigger": "schedule",
        "fetched": 20,
        "inserted": summary["inserted"],
    }
    assert [listed["run_id"] for listed in api.get("/runs").json["items"]] == [summary["run_id"]]


def test_the_lambda_returns_the_error_of_a_failing_source(app_environment, user_api, ingest):
    app_environment(SOURCE_URL=user_api.url("random-data-api", fault="status-404"))

    assert (ingest()["status"], ingest()["error"]) == ("failed", "page 1: status 404")


def test_the_migrate_lambda_migrates_an_empty_database(app_environment, client, empty_database_url):
    app_environment(DATABASE_URL=empty_database_url)

    applied = [client.lambda_.invoke("migrate").payload["applied"] for _ in range(2)]
    wiring.reset()

    assert applied[0][0].startswith("0001_")
    assert applied[1] == []


def test_without_tables_the_log_and_the_lambdas_error_ask_for_the_migrations(
    app_environment, api, ingest, empty_database_url, caplog
):
    app_environment(DATABASE_URL=empty_database_url)

    answers = [api.get(path) for path in ("/users", f"/users/{uid(1)}", "/health")]
    with pytest.raises(StoreError, match="have the migrations run"):
        ingest()
    wiring.reset()

    assert [answer.status for answer in answers] == [500, 500, 503]
    assert [line.getMessage().partition("failed: ")[2] for line in caplog.records] == [
        "SQLSTATE 42P01: a table is missing; have the migrations run?",
        "SQLSTATE 42883: a function is missing; have the migrations run?",
        "SQLSTATE 42P01: a table is missing; have the migrations run?",
    ]
    assert "migrations" not in "".join(answer.body.decode() for answer in answers)


def test_without_postgres_the_ingest_lambda_fails_without_a_value_in_its_error(
    ingest, postgres_down, postgres
):
    password = postgres.url.split(":")[2].partition("@")[0]

    with postgres_down(), pytest.raises(Exception, match="query connect failed") as failed:
        ingest()

    assert password not in repr(failed.value)


def test_a_missing_setting_is_named_in_the_log_and_not_to_the_caller(monkeypatch, api, caplog):
    monkeypatch.delenv("DATABASE_URL")
    wiring.reset()

    answer = api.get("/health")

    assert answer.status == 500
    assert "DATABASE_URL" in caplog.text
    assert b"DATABASE_URL" not in answer.body
