"""A run that would pass its function's time stops between two pages, and the next one goes on there."""

import itertools
import json
import time

import pytest

from chalicelib import pipeline, runs, wiring
from chalicelib.ledger import Opening

PAGES, SIZE = 7, 3
COUNTS = ("inserted", "updated", "unchanged", "duplicate", "rejected", "suppressed")


class Context:
    """What Lambda gives along."""

    def __init__(self, seconds):
        self._milliseconds = seconds * 1000

    def get_remaining_time_in_millis(self):
        return self._milliseconds


class Clock:
    """Time passes only while a page is fetched: ten seconds each."""

    def __init__(self):
        self.now = 1_000.0

    def monotonic(self):
        return self.now

    perf_counter = monotonic


@pytest.fixture
def slow(app_environment, user_api, monkeypatch):
    """A source of seven pages that takes its time; returns the pages that were fetched."""
    app_environment(
        SOURCE_URL=user_api.url("random-data-api", seed=3),
        SOURCE_PAGES=str(PAGES),
        SOURCE_PAGE_SIZE=str(SIZE),
        AWS_LAMBDA_FUNCTION_NAME="decant-test-ingest",
    )
    clock, source, fetched = Clock(), wiring.source(), []
    monkeypatch.setattr(pipeline, "time", clock)
    monkeypatch.setattr(runs, "time", clock)
    fetch = source.fetch

    def fetch_slowly(page, size):
        fetched.append(page)
        clock.now += 10
        return fetch(page, size)

    monkeypatch.setattr(source, "fetch", fetch_slowly)
    return fetched


def people(sql):
    return sql("SELECT uid, email, content_hash FROM users ORDER BY uid")


def test_a_run_whose_time_is_up_stops_between_pages_and_the_next_ones_go_on(slow, sql):
    reports = [runs.ingest({}, Context(45)) for _ in range(3)]

    assert [report.status for report in reports] == ["partial", "partial", "succeeded"]
    assert slow == [1, 2, 3, 4, 5, 6, 7]
    assert reports[0].error == "the time was up before page 4; the next scheduled run goes on there"
    held = sql("SELECT pages_planned, pages_done, next_page FROM runs ORDER BY started_at")
    assert held == [(7, 3, 4), (4, 3, 7), (1, 1, None)]
    assert sql(f"SELECT bool_and(fetched = {' + '.join(COUNTS)}) FROM runs") == [(True,)]
    assert json.dumps([report.summary() for report in reports])


def test_what_comes_of_the_parts_is_what_comes_of_the_whole(slow, sql):
    for _ in range(3):
        runs.ingest({}, Context(45))
    in_parts = people(sql)
    sql("DELETE FROM users")

    assert runs.ingest({}, Context(900)).status == "succeeded"
    assert people(sql) == in_parts


def test_after_the_last_part_the_next_run_begins_anew(slow):
    for _ in range(3):
        runs.ingest({}, Context(45))
    slow.clear()

    runs.ingest({}, Context(900))

    assert slow == [1, 2, 3, 4, 5, 6, 7]


def test_a_skipped_run_between_the_parts_changes_nothing(slow, sql):
    runs.ingest({}, Context(45))
    other = wiring.store().open_run(Opening(wiring.source().name, "manual", 1), "0" * 16, 1)
    assert runs.ingest({}, Context(900)).status == "skipped"
    sql("DELETE FROM runs WHERE run_id = %s", other.run_id)
    slow.clear()

    runs.ingest({}, Context(900))

    assert slow == [4, 5, 6, 7]


def test_another_run_between_the_parts_changes_nothing(slow):
    runs.ingest({}, Context(45))
    runs.run_ingest("manual", 2)
    slow.clear()

    runs.ingest({}, Context(900))

    assert slow == [4, 5, 6, 7]


def test_a_run_with_pages_of_another_size_begins_anew(slow, app_environment):
    runs.ingest({}, Context(45))
    app_environment(SOURCE_PAGE_SIZE=str(SIZE + 1))

    assert runs.ingest({}, Context(900)).first_page == 1


def test_a_run_from_a_time_to_come_is_not_gone_on_with(slow, sql):
    """As a clock that was set back leaves one: it would be the newest for as long."""
    runs.ingest({}, Context(45))
    sql("UPDATE runs SET started_at = started_at + interval '1 day'")

    assert runs.ingest({}, Context(900)).first_page == 1


def test_where_a_run_by_hand_stopped_no_scheduled_one_goes_on_and_none_promises_to(slow):
    order = {"trigger": "backfill", "pages": PAGES, "page_size": 1, "replay_of": None, "queued": False}
    opened = wiring.store().open_run(Opening(wiring.source().name, "backfill", PAGES), "0" * 16, 1)

    stopped = runs.ingest({"run_id": opened.run_id, **order}, Context(45))

    assert (stopped.status, stopped.error) == ("partial", "the time was up before page 4")
    assert runs.ingest({}, Context(900)).first_page == 1


def test_a_page_is_tried_however_little_time_there_is(slow):
    assert runs.ingest({}, Context(1)).pages == 1


def test_a_run_of_fewer_pages_than_the_part_had_begins_anew(slow, app_environment, user_api, sql):
    runs.ingest({}, Context(45))
    app_environment(SOURCE_PAGES="2")

    report = runs.ingest({}, Context(900))

    assert (report.first_page, report.pages) == (1, 2)


def test_a_run_by_hand_does_not_go_on_where_a_scheduled_one_stopped(slow):
    runs.ingest({}, Context(45))

    assert runs.run_ingest("manual").first_page == 1


def test_outside_lambda_there_is_no_end_whatever_an_emulator_says(slow, monkeypatch):
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME")

    report = runs.ingest({}, Context(3))

    assert (report.status, report.pages) == ("succeeded", PAGES)


def test_a_clock_that_jumps_breaks_no_lease(app_environment, user_api, sql, monkeypatch):
    """The machine's may; the database's own clock decides how long a lease lasts."""
    app_environment(SOURCE_URL=user_api.url("random-data-api", seed=3), SOURCE_PAGE_SIZE=str(SIZE))
    years = itertools.cycle((0, 10, -10, 1))
    now, year = time.time, 365 * 86_400
    monkeypatch.setattr(time, "time", lambda: now() + next(years) * year)
    left = []

    def on_page(done, planned, report):
        left.extend(sql("SELECT extract(epoch FROM lease_expires_at - clock_timestamp()) FROM runs"))

    report = runs.run_ingest("manual", pages=PAGES, on_page=on_page)

    assert (report.status, report.pages) == ("succeeded", PAGES)
    assert len(left) == PAGES
    assert all(100 < seconds <= 120 for (seconds,) in left)
