"""docs/operating.md is right about every status, alarm and number."""

import re

import yaml

from chalicelib import pool, retries
from chalicelib import store as rooms
from chalicelib.sources.exchange import Limits
from chalicelib.views import Health
from local.folders import ROOT

OPERATING = (ROOT / "docs/operating.md").read_text(encoding="utf-8")
WORDS = {5: "five"}


def section(title):
    return re.split(r"^## ", OPERATING.partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0]


def test_every_status_of_a_run_is_explained_and_no_other():
    tables = (ROOT / "chalicelib/sql/migrations/0001_the_five_tables.sql").read_text(encoding="utf-8")
    allowed = re.search(r"CHECK \(status IN \(([^)]*)\)", tables)[1]
    explained = re.findall(r"^\| `(\w+)` \|", section("What a run's status means"), flags=re.MULTILINE)

    assert set(explained) == set(re.findall(r"'(\w+)'", allowed))


def test_every_status_of_health_is_explained():
    for status in re.findall(r"'(\w+)'", str(Health.__annotations__["status"])):
        assert f"`{status}`:" in section("At three in the morning")


def test_every_alarm_is_explained_and_no_other():
    resources = yaml.safe_load((ROOT / "infra/app.yaml").read_text(encoding="utf-8"))["Resources"]
    alarms = {alarm for alarm, one in resources.items() if one.get("Type") == "AWS::CloudWatch::Alarm"}

    assert set(re.findall(r"^\| `(\w+)` \|", section("Alarms"), flags=re.MULTILINE)) == alarms


def test_the_bounds_are_those_of_the_code():
    text, limits = " ".join(OPERATING.split()), Limits()

    assert f"each container of a function keeps {pool._SIZE} connections" in text
    leases = (
        f"({rooms.LEASE_SECONDS // 60} minutes; {rooms.QUEUED_LEASE_SECONDS // 60} minutes over the queue)"
    )
    assert leases in text
    assert f"the source {WORDS[limits.attempts]} times within {limits.page} s" in text
    assert re.search(rf"a load\b[^;.]* {WORDS[retries._TRIES]} times", text)
