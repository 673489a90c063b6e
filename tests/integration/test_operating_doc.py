"""docs/operating.md says what is true: every status, alarm and number, and the commands for a bad night."""

import contextlib
import os
import re
import subprocess

import pytest
import yaml

from chalicelib import pool, runs, wiring
from chalicelib import store as rooms
from chalicelib.sources.client import Limits
from chalicelib.store import Store
from chalicelib.views import Health
from local import quarters
from tests.conftest import Sql
from tests.integration.api_support import ROOT

OPERATING = (ROOT / "docs/operating.md").read_text(encoding="utf-8")


def section(title):
    return re.split(r"^## ", OPERATING.partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0]


def first_column(text):
    return re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)


def test_every_status_of_a_run_is_explained_and_no_other(sql):
    ((constraint,),) = sql(
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = 'runs'::regclass"
        " AND conname = 'runs_status_check'"
    )
    assert set(first_column(section("What a run's status means"))) == set(re.findall(r"'(\w+)'", constraint))


def test_every_status_of_health_is_explained():
    for status in re.findall(r"'(\w+)'", str(Health.__annotations__["status"])):
        assert f"`{status}`:" in section("At three in the morning")


@pytest.mark.parametrize("name", ["docs/operating.md", "docs/deploy.md"])
def test_every_alarm_is_explained_and_no_other(name):
    resources = yaml.safe_load((ROOT / "infra/app.yaml").read_text(encoding="utf-8"))["Resources"]
    alarms = {alarm for alarm, one in resources.items() if one.get("Type") == "AWS::CloudWatch::Alarm"}
    text = (ROOT / name).read_text(encoding="utf-8")
    table = text.partition("| alarm | says")[2].partition("\n\n")[0]
    assert set(re.findall(r"^\| `?(\w+)`? \|", table, flags=re.MULTILINE)) == alarms


def test_the_bounds_are_those_of_the_code():
    assert f"each function keeps {pool._SIZE} connections" in OPERATING
    assert (
        f"({rooms.LEASE_SECONDS // 60} minutes; {rooms.QUEUED_LEASE_SECONDS // 60} minutes over the queue)"
        in OPERATING
    )
    words = {5: "five"}
    limits = Limits()
    assert f"the source {words[limits.attempts]} times within {limits.page} s" in OPERATING
    assert f"a load {words[pool._TRIES]} times within {pool._TRY_NO_LONGER_SECONDS:.0f} s" in OPERATING


@pytest.fixture
def stored(app_environment, empty_database_url):
    """A database of its own, with people in it. To be asked straight."""
    app_environment(DATABASE_URL=empty_database_url)
    wiring.store().migrate()
    assert runs.run_ingest("manual").status == "succeeded"
    with contextlib.closing(Sql(empty_database_url)) as run:
        yield run


def kept(sql):
    tables = ("users", "users_address", "runs", "pages", "rejects", "key_versions", "migrations")
    return {table: sql(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}


def test_a_backup_is_restored_by_the_two_commands(stored, empty_database_url, tmp_path):
    dump, restore = re.search(r"```sh\n(.*?)\n(.*?)\n```", section("Backup and restore"), re.DOTALL).groups()
    path = f"{quarters._programs()}:{os.environ['PATH']}"
    environment = os.environ | {"DATABASE_URL": empty_database_url, "PATH": path}

    def command(line):
        subprocess.run(["/bin/sh", "-ec", line], cwd=tmp_path, env=environment, check=True)

    before = kept(stored)
    command(dump)
    stored("DELETE FROM users; DELETE FROM runs; DROP TABLE erasures CASCADE")
    stored.close()
    wiring.reset()
    command(restore)

    assert kept(stored) == before
    report = runs.run_ingest("manual")
    assert (report.status, report.unchanged) == ("succeeded", report.fetched)


def test_old_runs_are_deleted_by_the_statement(stored):
    stored("UPDATE runs SET started_at = now() - interval '2 years'")
    statement = re.search(r"`(DELETE FROM runs[^`]*)`", section("Growth"))[1]

    people = stored("SELECT count(*) FROM users")
    stored(" ".join(statement.split()))

    assert stored("SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM pages)") == [(0,)]
    assert stored("SELECT count(*) FROM users") == people
    with contextlib.closing(Store(os.environ["DATABASE_URL"])) as store:
        assert store.list_runs(5) == []
