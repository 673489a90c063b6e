"""A run that would exceed its function's time stops between two pages, and the next run resumes there."""

import base64
import itertools
import json
import secrets
import time
from dataclasses import replace

import pytest

from chalicelib import pipeline, runs, wiring
from chalicelib.errors import SourceBusy
from chalicelib.ledger import OUTCOMES, RunRequest
from chalicelib.quarantine import Quarantine
from chalicelib.sources import client
from tests.builders import RANDOM_DATA_API, paged
from tests.checkout import ROOT
from tests.fakes import uid

PAGES, SIZE = 7, 3
KEY = base64.b64encode(b"a key of the quarantine, 32 byte").decode()
SECRET = "jane@example.com"  # what a cursor may hold
THREE_PAGES = 80  # seconds: their time, and that which one more may take


class Context:
    """The context that Lambda passes to a handler."""

    def __init__(self, seconds):
        self._milliseconds = seconds * 1000

    def get_remaining_time_in_millis(self):
        return self._milliseconds


class Clock:
    """A clock that advances only while a page is fetched, by ten seconds each."""

    def __init__(self):
        self.now = 1_000.0

    def monotonic(self):
        return self.now

    perf_counter = monotonic


@pytest.fixture
def in_lambda(app_environment, user_api):
    """A source of seven pages, read in a function with a time limit."""
    app_environment(
        SOURCE_URL=user_api.url("random-data-api", seed=3),
        SOURCE_PAGES=str(PAGES),
        SOURCE_PAGE_SIZE=str(SIZE),
        AWS_LAMBDA_FUNCTION_NAME="decant-test-ingest",
    )


@pytest.fixture
def slow(in_lambda, monkeypatch):
    """The source is slow; returns the pages that were fetched."""
    clock, source, fetched = Clock(), wiring.source(), []
    monkeypatch.setattr(pipeline, "time", clock)
    monkeypatch.setattr(runs, "time", clock)
    fetch = source.fetch

    def fetch_slowly(page, size, *cursor):
        fetched.append(page)
        clock.now += 10
        return fetch(page, size, *cursor)

    monkeypatch.setattr(source, "fetch", fetch_slowly)
    return fetched


def people(sql):
    return sql("SELECT uid, email, content_hash FROM users ORDER BY uid")


def test_a_run_whose_time_is_up_stops_between_pages_and_the_next_runs_resume(slow, sql):
    reports = [runs.ingest({}, Context(THREE_PAGES)) for _ in range(3)]

    assert [report.status for report in reports] == ["partial", "partial", "succeeded"]
    assert slow == [1, 2, 3, 4, 5, 6, 7]
    assert reports[0].error == "the run ran out of time before page 4; the next scheduled run continues there"
    held = sql("SELECT pages_planned, pages_done, next_page FROM runs ORDER BY started_at")
    assert held == [(7, 3, 4), (4, 3, 7), (1, 1, None)]
    assert sql(f"SELECT bool_and(fetched = {' + '.join(OUTCOMES)}) FROM runs") == [(True,)]
    assert json.dumps([report.summary() for report in reports])


def test_a_source_that_hangs_as_long_as_it_may_does_not_outlast_the_function(slow, monkeypatch):
    source, clock = wiring.source(), pipeline.time
    fetch, began = source.fetch, clock.now

    def hang_at_the_last(page, size):
        clock.now += pipeline._LONGEST_FETCH_SECONDS - 10 if page == 3 else 0
        return fetch(page, size)

    monkeypatch.setattr(source, "fetch", hang_at_the_last)

    report = runs.ingest({}, Context(THREE_PAGES))

    assert clock.now < began + THREE_PAGES
    assert (report.status, report.pages, report.next_page) == ("partial", 2, 3)
    assert client.Limits().page == pipeline._LONGEST_FETCH_SECONDS


def test_a_function_lives_twice_as_long_as_a_source_may_hang():
    """Or else most of its time would be kept back."""
    stages = json.loads((ROOT / ".chalice/config.json").read_text(encoding="utf-8"))["stages"]
    seconds = [stage["lambda_functions"]["ingest"]["lambda_timeout"] for stage in stages.values()]

    assert min(seconds) > 2 * pipeline._LONGEST_FETCH_SECONDS


def test_a_run_with_cursors_whose_time_is_up_is_not_continued(slow, monkeypatch):
    """Where its next page is, only the page before it says."""
    cursors = ({"cursor": page} for page in range(9))
    dialect = paged(wiring.source().dialect, next_cursor=lambda page: next(cursors))
    monkeypatch.setattr(wiring.source(), "dialect", dialect)

    reports = [runs.ingest({}, Context(THREE_PAGES)) for _ in range(2)]

    assert [report.error for report in reports] == ["the run ran out of time before page 4"] * 2
    assert slow == [1, 2, 3, 1, 2, 3]


@pytest.fixture
def sealing(app_environment):
    app_environment(QUARANTINE_KEY=KEY)


@pytest.fixture
def by_cursor(sealing, slow, monkeypatch):
    """The source pages by cursor, and the quarantine is on; returns what was asked for: page and cursor."""
    source, asked = wiring.source(), []
    fetch, numbers = source.fetch, itertools.count(2)
    found = ({"cursor": f"{SECRET}-{number}"} for number in numbers)
    dialect = paged(source.dialect, next_cursor=lambda page: next(found) if len(asked) < PAGES else None)
    monkeypatch.setattr(source, "dialect", dialect)

    def fetch_and_note(page, size, cursor=None):
        asked.append((page, cursor and cursor["cursor"]))
        return fetch(page, size)

    monkeypatch.setattr(source, "fetch", fetch_and_note)
    return asked


def places(*pages):
    return [(page, f"{SECRET}-{page}" if page > 1 else None) for page in pages]


def test_a_run_with_cursors_continues_if_its_cursor_can_be_sealed(by_cursor, sql):
    reports = [runs.ingest({}, Context(THREE_PAGES))]
    ((sealed,),) = sql("SELECT next_cursor FROM runs")
    assert SECRET.encode() not in base64.b64decode(sealed, validate=True)
    reports += [runs.ingest({}, Context(THREE_PAGES)) for _ in range(2)]

    assert [report.status for report in reports] == ["partial", "partial", "succeeded"]
    assert reports[0].error == "the run ran out of time before page 4; the next scheduled run continues there"
    assert by_cursor == places(1, 2, 3, 4, 5, 6, 7)
    assert SECRET not in repr(reports)
    assert sql("SELECT count(*), count(next_cursor) FROM runs") == [(3, 0)]


def test_a_page_that_is_read_and_not_loaded_is_where_the_next_run_continues(by_cursor, monkeypatch):
    source, clock = wiring.source(), pipeline.time
    fetch, hangs = source.fetch, iter([False, False, True])

    def hang(page, size, cursor=None):
        clock.now += pipeline._LONGEST_FETCH_SECONDS - 10 if next(hangs, False) else 0
        return fetch(page, size, cursor)

    monkeypatch.setattr(source, "fetch", hang)

    assert runs.ingest({}, Context(THREE_PAGES)).next_page == 3
    runs.ingest({}, Context(THREE_PAGES))

    assert by_cursor[2:4] == places(3, 3)


def test_a_source_that_asks_to_wait_is_asked_for_the_same_cursor_again(by_cursor, monkeypatch):
    source = wiring.source()
    fetch, answers = source.fetch, iter([None, SourceBusy(2, "status 429")])

    def refuse(page, size, cursor=None):
        body = fetch(page, size, cursor)
        if error := next(answers, None):
            raise error
        return body

    monkeypatch.setattr(source, "fetch", refuse)

    assert runs.ingest({}, Context(900)).error == "page 2: status 429; the next scheduled run continues there"
    runs.ingest({}, Context(900))

    assert by_cursor[:4] == places(1, 2, 2, 3)


@pytest.mark.parametrize("way", ["erasure", "a day", "another size", "another way to page"])
def test_without_its_cursor_a_run_begins_at_the_first_page(api, by_cursor, way, sql, monkeypatch):
    assert runs.ingest({}, Context(THREE_PAGES)).next_page == 4
    if way == "erasure":
        api.delete(f"/users/{uid(1)}")
        assert sql("SELECT next_cursor FROM runs") == [(None,)]
    elif way == "a day":
        sql("UPDATE runs SET finished_at = finished_at - interval '1 day 1 second'")
    elif way == "another size":
        settings = replace(wiring.settings(), source_page_size=SIZE + 1)
        monkeypatch.setattr(wiring, "settings", lambda: settings)
    else:
        monkeypatch.setattr(wiring.source(), "dialect", paged(wiring.source().dialect, next_cursor=None))

    assert runs.ingest({}, Context(900)).first_page == 1
    assert sql("SELECT count(next_cursor) FROM runs") == [(0,)]


def test_a_run_that_has_no_cursor_yet_begins_at_the_first_page(slow, monkeypatch):
    runs.ingest({}, Context(THREE_PAGES))
    dialect = paged(wiring.source().dialect, next_cursor=lambda page: None)
    monkeypatch.setattr(wiring.source(), "dialect", dialect)

    assert runs.ingest({}, Context(900)).first_page == 1


@pytest.mark.parametrize(("missing", "place"), [(0, 4), (1, 1)])
def test_a_cursor_that_is_too_large_is_not_kept(by_cursor, monkeypatch, missing, place):
    length = len(json.dumps({"cursor": f"{SECRET}-4"}))
    monkeypatch.setattr(Quarantine, "largest", length - missing)
    runs.ingest({}, Context(THREE_PAGES))

    assert runs.ingest({}, Context(THREE_PAGES)).first_page == place


def test_a_run_by_hand_between_the_parts_leaves_the_cursor(by_cursor):
    runs.ingest({}, Context(THREE_PAGES))
    runs.run_ingest("manual", 2)
    by_cursor.clear()

    assert runs.ingest({}, Context(THREE_PAGES)).first_page == 4
    assert by_cursor[0] == places(4)[0]


@pytest.mark.parametrize("now", [Quarantine(secrets.token_bytes(32), days=7), None], ids=str)
def test_a_cursor_that_was_sealed_with_another_key_fails_one_run(by_cursor, sql, monkeypatch, now):
    runs.ingest({}, Context(THREE_PAGES))
    monkeypatch.setattr(wiring, "quarantine", lambda: now)

    reports = [runs.ingest({}, Context(THREE_PAGES)) for _ in range(2)]

    problem = "does not open where the run before stopped; the next run begins at the first page"
    assert (reports[0].status, reports[0].error) == ("failed", f"QUARANTINE_KEY: {problem}")
    assert (reports[1].first_page, by_cursor[3]) == (1, (1, None))


def test_partial_runs_store_the_same_as_one_complete_run(slow, sql):
    for _ in range(3):
        runs.ingest({}, Context(THREE_PAGES))
    in_parts = people(sql)
    sql("DELETE FROM users")

    assert runs.ingest({}, Context(900)).status == "succeeded"
    assert people(sql) == in_parts


def test_after_the_last_part_the_next_run_starts_from_the_first_page(slow):
    for _ in range(3):
        runs.ingest({}, Context(THREE_PAGES))
    slow.clear()

    runs.ingest({}, Context(900))

    assert slow == [1, 2, 3, 4, 5, 6, 7]


def test_a_skipped_run_between_the_parts_changes_nothing(slow, sql):
    runs.ingest({}, Context(THREE_PAGES))
    other = wiring.store().open_run(RunRequest(wiring.source().name, "manual", 1), "0" * 16, 1)
    assert runs.ingest({}, Context(900)).status == "skipped"
    sql("DELETE FROM runs WHERE run_id = %s", other.run_id)
    slow.clear()

    runs.ingest({}, Context(900))

    assert slow == [4, 5, 6, 7]


def test_another_run_between_the_parts_changes_nothing(slow):
    runs.ingest({}, Context(THREE_PAGES))
    runs.run_ingest("manual", 2)
    slow.clear()

    runs.ingest({}, Context(900))

    assert slow == [4, 5, 6, 7]


def test_a_run_with_another_page_size_starts_from_the_first_page(slow, app_environment):
    runs.ingest({}, Context(THREE_PAGES))
    app_environment(SOURCE_PAGE_SIZE=str(SIZE + 1))

    assert runs.ingest({}, Context(900)).first_page == 1


def test_a_run_with_a_future_start_time_is_not_resumed(slow, sql):
    """A clock that was set back leaves such a run, which would stay the newest until then."""
    runs.ingest({}, Context(THREE_PAGES))
    sql("UPDATE runs SET started_at = started_at + interval '1 day'")

    assert runs.ingest({}, Context(900)).first_page == 1


def test_a_scheduled_run_does_not_resume_a_manual_one_and_the_error_does_not_promise_it(slow):
    request = RunRequest(wiring.source().name, "backfill", PAGES, page_size=1)
    opened = wiring.store().open_run(request, "0" * 16, 1)

    stopped = runs.ingest({"run_id": opened.run_id}, Context(THREE_PAGES))

    assert (stopped.status, stopped.error) == ("partial", "the run ran out of time before page 4")
    assert runs.ingest({}, Context(900)).first_page == 1


def test_one_page_is_tried_even_with_very_little_time_left(slow):
    assert runs.ingest({}, Context(1)).pages == 1


def test_a_run_of_fewer_pages_than_the_partial_one_starts_from_the_first_page(
    slow, app_environment, user_api, sql
):
    runs.ingest({}, Context(THREE_PAGES))
    app_environment(SOURCE_PAGES="2")

    report = runs.ingest({}, Context(900))

    assert (report.first_page, report.pages) == (1, 2)


def test_a_manual_run_does_not_resume_a_scheduled_one(slow):
    runs.ingest({}, Context(THREE_PAGES))

    assert runs.run_ingest("manual").first_page == 1


def test_a_replay_reserves_no_time_for_a_source_that_it_does_not_ask(in_lambda, app_environment, user_api):
    url = user_api.url("random-data-api", seed=3, bad=0.9)
    app_environment(SOURCE_URL=url, QUARANTINE_KEY=KEY, MAX_REJECT_RATIO="1")
    replayed = runs.run_ingest("manual").run_id
    request = RunRequest(wiring.source().name, "replay", PAGES, replay_of=replayed)
    opened = wiring.store().open_run(request, "0" * 16, 1)

    report = runs.ingest({"run_id": opened.run_id}, Context(THREE_PAGES / 2))

    assert (report.status, report.pages) == ("succeeded", PAGES)


def test_outside_lambda_there_is_no_time_limit_whatever_an_emulator_says(slow, monkeypatch):
    monkeypatch.delenv("AWS_LAMBDA_FUNCTION_NAME")

    report = runs.ingest({}, Context(3))

    assert (report.status, report.pages) == ("succeeded", PAGES)


def test_a_jumping_clock_breaks_no_lease(app_environment, user_api, sql, monkeypatch):
    """The machine's clock jumps; the database's clock decides how long a lease lasts."""
    app_environment(SOURCE_URL=user_api.url("random-data-api", seed=3), SOURCE_PAGE_SIZE=str(SIZE))
    years = itertools.cycle((0, 10, -10, 1))
    now, year = time.time, 365 * 86_400
    monkeypatch.setattr(time, "time", lambda: now() + next(years) * year)
    left = []

    def on_page(planned, report):
        left.extend(sql("SELECT extract(epoch FROM lease_expires_at - clock_timestamp()) FROM runs"))

    report = runs.run_ingest("manual", pages=PAGES, on_page=on_page)

    assert (report.status, report.pages) == ("succeeded", PAGES)
    assert len(left) == PAGES
    assert all(100 < seconds <= 120 for (seconds,) in left)


def test_a_run_that_a_source_asked_to_wait_is_continued_there(app_environment, user_api):
    app_environment(SOURCE_PAGES="3", SOURCE_PAGE_SIZE=str(SIZE), SOURCE_URL=user_api.url("random-data-api"))
    first, refused = (json.dumps([RANDOM_DATA_API.record()]).encode(), b"{}")
    user_api.script(first)
    user_api.script(refused, status=429, headers={"Retry-After": "3600"})

    stopped, continued = runs.ingest({}), runs.ingest({})

    assert (stopped.status, stopped.pages, stopped.next_page) == ("partial", 1, 2)
    assert (continued.status, continued.first_page, continued.pages) == ("succeeded", 2, 2)


def test_a_run_that_a_source_failed_begins_at_the_first_page_the_next_time(app_environment, user_api):
    app_environment(SOURCE_PAGES="3", SOURCE_PAGE_SIZE=str(SIZE), SOURCE_URL=user_api.url("random-data-api"))
    user_api.script(json.dumps([RANDOM_DATA_API.record()]).encode())
    user_api.script(b"{}", status=404)

    failed, again = runs.ingest({}), runs.ingest({})

    assert (failed.status, failed.error, failed.next_page) == ("partial", "page 2: status 404", None)
    assert again.first_page == 1


def in_parts(user_api, *pages):
    """Runs over pages of so many people, until one ends the source; None asks to be left alone."""
    for first, count in enumerate(pages):
        if count is None:
            user_api.script(b"{}", status=429, headers={"Retry-After": "3600"})
        else:
            people = [RANDOM_DATA_API.record({"uid": uid(10 * first + number)}) for number in range(count)]
            user_api.script(RANDOM_DATA_API.page(*people))
    reports = [runs.ingest({})]
    while reports[-1].next_page:
        reports.append(runs.ingest({}))
    return reports


@pytest.fixture
def full_pages(app_environment, user_api, monkeypatch):
    """The source gives full pages up to its last one."""
    app_environment(SOURCE_PAGES="9", SOURCE_PAGE_SIZE="2", SOURCE_URL=user_api.url("random-data-api"))
    monkeypatch.setattr(wiring.source(), "dialect", paged(wiring.source().dialect, ends=True))


@pytest.mark.usefixtures("full_pages")
def test_a_run_in_parts_reports_short_pages_too(user_api):
    first, second = in_parts(user_api, 1, 2, None, 2, 0)

    short = "1 pages had fewer records than requested, although others followed"
    assert (first.status, second.status) == ("partial", "succeeded")
    assert first.error.endswith(f"; the next scheduled run continues there; {short}")


@pytest.mark.usefixtures("full_pages")
@pytest.mark.parametrize(("after", "status"), [((1, 2, 0), "partial"), ((1, 0), "succeeded")])
def test_whether_a_part_ended_with_a_short_page_the_next_part_finds_out(user_api, after, status):
    first, second = in_parts(user_api, 2, 1, None, *after)

    assert first.error.endswith("; the next scheduled run continues one page earlier")
    assert (first.next_page, second.first_page, second.status) == (2, 2, status)


@pytest.mark.usefixtures("full_pages")
def test_a_part_of_one_short_page_is_not_repeated(user_api):
    first, second = in_parts(user_api, 1, None, 1, 0)

    assert (first.next_page, second.status) == (2, "succeeded")


def test_a_continued_run_tries_one_page_even_with_very_little_time_left(slow):
    """Otherwise the next scheduled runs would never get beyond that page."""
    runs.ingest({}, Context(THREE_PAGES))
    slow.clear()

    report = runs.ingest({}, Context(1))

    assert (report.first_page, report.pages, slow) == (4, 1, [4])


@pytest.mark.usefixtures("in_lambda")
def test_time_is_reserved_for_a_page_that_takes_longer_than_those_before_it():
    report = runs.ingest({}, Context(4))

    assert (report.status, report.pages, report.next_page) == ("partial", 1, 2)


@pytest.mark.usefixtures("in_lambda")
def test_slow_loads_do_not_make_a_run_exceed_its_time(monkeypatch):
    clock, store = Clock(), wiring.store()
    monkeypatch.setattr(pipeline, "time", clock)
    monkeypatch.setattr(runs, "time", clock)
    began, load_page = clock.now, store.load_page

    def load_slowly(load):
        time.sleep(0.2)  # the next page is prepared meanwhile
        clock.now += 30
        return load_page(load)

    monkeypatch.setattr(store, "load_page", load_slowly)

    report = runs.ingest({}, Context(85))

    assert (report.status, report.pages) == ("partial", 2)
    assert clock.now - began == 60  # another load would end after 90
