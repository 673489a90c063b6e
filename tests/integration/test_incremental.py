"""Runs that ask the source only for who has changed since the last complete run."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib import runs, wiring
from chalicelib.ledger import Ending, RunRequest
from chalicelib.store import LEASE_SECONDS, QUEUED_LEASE_SECONDS
from tests.builders import RANDOM_DATA_API, paged
from tests.fakes import page_load, person, uid

HOUR = timedelta(hours=1)
BUSY = {"Retry-After": "3600"}


class ChangingApi:
    """A source that can leave out who has not changed. Its pages are those that are scripted."""

    def __init__(self, user_api):
        self._user_api = user_api

    def script(self, *pages):
        """Pages, as numbers of people; None asks to be left alone."""
        for page, people in enumerate(pages):
            if people is None:
                self._user_api.script(b"{}", status=429, headers=BUSY)
            else:
                uids = [uid(10 * page + number) for number in range(people)]
                records = [RANDOM_DATA_API.record({"uid": one}) for one in uids]
                self._user_api.script(RANDOM_DATA_API.page(*records))

    def asked_since(self):
        """For each request since the last call, the time that it names."""
        targets = [target for _, target in self._user_api.requests]
        self._user_api.requests.clear()
        found = [re.search(r"changed=(\d+)", target) for target in targets]
        return [found and datetime.fromtimestamp(int(found[1]) / 1e6, UTC) for found in found]


@pytest.fixture
def api(app_environment, user_api, monkeypatch):
    app_environment(SOURCE_URL=user_api.url("random-data-api"), SOURCE_PAGES="5", SOURCE_PAGE_SIZE="2")
    source = wiring.source()
    dialect = paged(source.dialect, ends=True, since=lambda time: {"changed": round(time.timestamp() * 1e6)})
    monkeypatch.setattr(source, "dialect", dialect)
    return ChangingApi(user_api)


def began(sql, report):
    ((started_at,),) = sql("SELECT started_at FROM runs WHERE run_id = %s", report.run_id)
    return started_at


def scheduled(api, *pages):
    """A scheduled run over these pages."""
    api.script(*pages)
    return runs.ingest({})


def test_after_a_complete_run_only_who_has_changed_since_it_began_is_asked_for(api, sql):
    complete, changes = scheduled(api, 2, 1, 0), scheduled(api, 1, 0)

    asked = began(sql, complete) - HOUR
    assert api.asked_since() == [None] * 3 + [asked] * 2
    assert (changes.status, changes.fetched, changes.unchanged) == ("succeeded", 1, 1)
    assert wiring.store().get_run(complete.run_id).since is None
    assert wiring.store().get_run(changes.run_id).since == changes.since == f"{asked:%Y-%m-%dT%H:%M:%S.%fZ}"


def test_if_nobody_has_changed_the_run_has_succeeded(api, sql):
    scheduled(api, 1, 0)
    nothing = scheduled(api, 0)

    assert (nothing.status, nothing.error, nothing.fetched) == ("succeeded", None, 0)
    scheduled(api, 0)
    assert api.asked_since()[-1] == began(sql, nothing) - HOUR


def test_changes_are_not_compared_with_the_total(api, monkeypatch):
    """Which may be of everybody, or missing on a page without records."""
    source = wiring.source()
    monkeypatch.setattr(source, "dialect", paged(source.dialect, total="total"))
    monkeypatch.setattr(type(source.dialect), "total_in", lambda dialect, body: 2)
    scheduled(api, 2, 0)

    assert [scheduled(api, *pages).error for pages in [(1, 0), (0,)]] == [None, None]


@pytest.mark.parametrize(("bad", "status"), [(1, "succeeded"), (4, "succeeded"), (5, "failed")])
def test_of_a_few_changes_a_few_may_be_invalid(api, user_api, app_environment, monkeypatch, bad, status):
    app_environment(SOURCE_PAGE_SIZE="10")
    source = wiring.source()
    dialect = paged(source.dialect, ends=True, since=lambda time: {"changed": 1})
    monkeypatch.setattr(source, "dialect", dialect)
    scheduled(api, 2, 0)
    records = [RANDOM_DATA_API.record({"uid": uid(number), "email": "nobody"}) for number in range(bad)]
    user_api.script(RANDOM_DATA_API.page(*records))

    assert scheduled(api, 0).status == status


def test_the_dialects_cursor_has_the_last_word(api, user_api, monkeypatch):
    source, cursors = wiring.source(), iter([None, {"changed": 7}, None])
    monkeypatch.setattr(source, "dialect", paged(source.dialect, next_cursor=lambda page: next(cursors)))
    scheduled(api, 1)
    scheduled(api, 2, 1)

    assert "changed=7" in user_api.requests[-1][1]


@pytest.mark.parametrize("in_header", [True, False])
def test_a_link_is_followed_as_it_is(api, user_api, monkeypatch, in_header):
    """Some APIs refuse the parameters of the first page beside the cursor of a link."""
    source, links = wiring.source(), iter([None, "?after=a&limit=2", None])
    next_link = in_header or (lambda page: next(links))
    monkeypatch.setattr(source, "dialect", paged(source.dialect, next_link=next_link))
    scheduled(api, 1)
    api.asked_since()
    link = {"Content-Type": "application/json", "Link": '<?after=a&limit=2>; rel="next"'}
    user_api.script(RANDOM_DATA_API.page(RANDOM_DATA_API.record({"uid": uid(1)})), headers=link)

    assert scheduled(api, 1).pages == 2

    (_, first), (_, second) = user_api.requests
    assert "changed=" in first
    assert second.endswith("?after=a&limit=2")


@pytest.mark.parametrize("parts", [((1, 2, None), (2, 0)), ((1, None), (2, 0))])
def test_a_run_in_parts_that_may_have_missed_somebody_is_no_base(api, user_api, monkeypatch, parts):
    source = wiring.source()
    monkeypatch.setattr(source, "dialect", paged(source.dialect, pages_vary=False))
    assert [scheduled(api, *part).status for part in parts] == ["partial", "succeeded"]
    api.asked_since()

    scheduled(api, 1, 0)

    assert api.asked_since() == [None, None]


def test_without_since_in_the_dialect_a_part_that_had_it_is_not_continued(api, monkeypatch):
    scheduled(api, 1, 0)
    scheduled(api, 2, None)
    source = wiring.source()
    monkeypatch.setattr(source, "dialect", paged(source.dialect, since=None))

    everybody = scheduled(api, 1, 0)

    assert (everybody.first_page, everybody.since) == (1, None)


@pytest.mark.parametrize("over_changes", [False, True])
def test_over_the_queue_only_a_part_over_changes_is_continued(store, sql, over_changes):
    request = RunRequest("here", "schedule", 3, 10, reads_to_end=True, incremental=True)
    if over_changes:
        store.finish_run(store.open_run(request, "hash", 1).run_id, Ending("succeeded"))
    part = store.open_run(request, "hash", 1)
    store.load_page(page_load(part.run_id, person(1)))
    store.finish_run(part.run_id, Ending("partial", next_page=2))

    rest = store.open_run(replace(request, queued=True), "hash", 1)

    assert (rest.first_page, rest.queued) == ((2, False) if over_changes else (1, True))


def test_a_run_that_was_not_complete_is_no_base(api, sql):
    complete = scheduled(api, 1, 0)
    for pages in [(2, None), (None,)]:
        assert scheduled(api, *pages).status in ("partial", "failed")
        sql("UPDATE runs SET next_page = NULL")  # nor continued
    api.asked_since()

    scheduled(api, 0)

    assert api.asked_since() == [began(sql, complete) - HOUR]


def test_a_first_run_that_was_not_complete_is_no_base(api, sql):
    assert scheduled(api, 2, 2, 2, 2, 2).status == "partial"  # the source may have more pages
    api.asked_since()

    scheduled(api, 1, 0)

    assert api.asked_since() == [None, None]


@pytest.mark.parametrize(
    "change",
    [
        "started_at = started_at - interval '8 days' WHERE since IS NULL",
        "started_at = started_at + interval '1 day'",
        "key_version = 2",
        "contract_hash = 'another'",
        "source = 'another'",
        "reads_to_end = false",  # of those that the settings name; or as an earlier version wrote it
        "as_of = NULL",  # it has missed records
        "as_of = NULL WHERE since IS NULL",  # the run over everybody has, although one over changes has not
    ],
)
def test_everybody_is_asked_for(api, sql, change):
    """Once a week; and if the last complete run had other keys, another contract or another source."""
    scheduled(api, 1, 0)
    scheduled(api, 0)
    sql(f"UPDATE runs SET {change}")
    api.asked_since()

    scheduled(api, 1, 0)

    assert api.asked_since() == [None, None]


@pytest.mark.parametrize("change", ["contract_hash = 'another'", "key_version = 0", "source = 'another'"])
def test_after_a_run_under_another_contract_everybody_is_asked_for(api, sql, change):
    """Also if it is one that there has been before, as when a field is added by mistake and taken back."""
    scheduled(api, 1, 0)
    between = scheduled(api, 1, 0)
    sql(f"UPDATE runs SET {change} WHERE run_id = %s", between.run_id)
    api.asked_since()

    again = scheduled(api, 1, 0)
    assert api.asked_since() == [None, None]
    scheduled(api, 0)
    assert api.asked_since() == [began(sql, again) - HOUR]


@pytest.mark.parametrize("how", ["pages_done = 0", "started_at = now() + interval '1 day'"])
def test_a_run_under_another_contract_that_changes_nobody_stored_here_changes_nothing(api, sql, how):
    complete = scheduled(api, 1, 0)
    between = scheduled(api, 1, None)
    sql(f"UPDATE runs SET contract_hash = 'another', {how} WHERE run_id = %s", between.run_id)
    api.asked_since()

    scheduled(api, 0)

    assert api.asked_since() == [began(sql, complete) - HOUR]


def test_a_run_in_two_parts_is_no_base_if_one_under_another_contract_came_between(api, sql):
    """Whose people of the first part it has stored in another way."""
    scheduled(api, 2, None)
    api.script(2)
    between = runs.run_ingest("backfill", pages=1)
    sql("UPDATE runs SET contract_hash = 'another' WHERE run_id = %s", between.run_id)
    assert scheduled(api, 1, 0).first_page == 2
    api.asked_since()

    scheduled(api, 1, 0)

    assert api.asked_since() == [None, None]


def test_a_backfill_asks_for_everybody_and_a_manual_run_does_not(api, monkeypatch):
    scheduled(api, 1, 0)
    api.asked_since()
    monkeypatch.setattr(runs, "_hand_over", runs.ingest)

    for pages in (2, None):
        api.script(1, 0)
        runs.start_run(pages, None, None)

    everybody, _, changes, _ = api.asked_since()
    assert everybody is None
    assert changes is not None


def test_a_run_that_continues_another_asks_and_counts_as_if_it_were_the_same(api, sql):
    complete, stopped = scheduled(api, 1, 0), scheduled(api, 2, None)
    assert stopped.next_page == 2
    continued = scheduled(api, 1, 0)

    assert (continued.status, continued.first_page, continued.since) == ("succeeded", 2, stopped.since)
    assert api.asked_since()[2:] == [began(sql, complete) - HOUR] * 4
    scheduled(api, 0)
    assert api.asked_since() == [began(sql, stopped) - HOUR]


def test_a_complete_run_in_two_parts_is_a_base_from_when_its_first_part_began(api, sql):
    first, second = scheduled(api, 2, None), scheduled(api, 1, 0)
    assert (second.status, second.first_page) == ("succeeded", 2)
    api.asked_since()

    scheduled(api, 0)

    assert api.asked_since() == [began(sql, first) - HOUR]


@pytest.mark.parametrize("change", ["key_version = 2", "contract_hash = 'another'", "reads_to_end = false"])
def test_under_another_key_or_contract_no_run_is_continued(api, sql, change):
    scheduled(api, 2, None)
    sql(f"UPDATE runs SET {change}")

    assert scheduled(api, 1, 0).first_page == 1


def test_a_run_is_continued_under_another_key_if_the_source_cannot_leave_anybody_out(api, sql, monkeypatch):
    source = wiring.source()
    monkeypatch.setattr(source, "dialect", paged(source.dialect, since=None))
    scheduled(api, 2, None)
    sql("UPDATE runs SET key_version = 2")

    assert scheduled(api, 1, 0).first_page == 2


def test_each_page_is_asked_for_with_its_cursor_and_the_time(api, user_api, monkeypatch):
    source, cursors = wiring.source(), iter([None, {"page": 7}, None])
    monkeypatch.setattr(source, "dialect", paged(source.dialect, next_cursor=lambda page: next(cursors)))
    scheduled(api, 1)
    api.asked_since()

    changes = scheduled(api, 2, 1)

    assert (changes.status, changes.pages) == ("succeeded", 2)
    targets = [target for _, target in user_api.requests]
    assert ["page=7" in target for target in targets] == [False, True]
    first, second = api.asked_since()
    assert first == second is not None


def test_only_a_run_over_everybody_is_queued(store, sql):
    request = RunRequest("here", "schedule", 50, 10, queued=True, reads_to_end=True, incremental=True)
    everybody = store.open_run(request, "hash", 1)
    store.finish_run(everybody.run_id, Ending("succeeded"))
    changes = store.open_run(request, "hash", 1)

    assert (everybody.queued, everybody.since) == (True, None)
    assert not changes.queued
    assert changes.since
    held = sql("SELECT queued, lease_seconds FROM runs ORDER BY started_at")
    assert held == [(True, QUEUED_LEASE_SECONDS), (False, LEASE_SECONDS)]


def test_a_long_run_over_changes_is_worked_in_turn(api, sql, monkeypatch):
    scheduled(api, 1, 0)
    sent = []
    monkeypatch.setattr(runs, "_is_for_the_queue", lambda source, pages: True)
    monkeypatch.setattr(runs, "_queue_pages", lambda report, pages: sent.append(pages))

    assert scheduled(api, 1, 0).status == "succeeded"
    assert not sent
    sql("DELETE FROM runs")
    assert scheduled(api).status == "running"
    assert sent == [5]
