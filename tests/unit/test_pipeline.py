"""The run, with fake edges that keep a journal of their calls."""

import json
import logging
import os
import re
import signal
import threading
import time
import traceback
from dataclasses import replace
from typing import Any

import pytest

from chalicelib import pipeline, privacy
from chalicelib.errors import (
    LeaseLost,
    SourceBusy,
    SourceUnavailable,
    Stopped,
    StopRequested,
    StoreError,
    StoreUnavailable,
    Unforeseen,
)
from chalicelib.ledger import OUTCOMES, KeyTrouble, RunRequest, Trigger
from chalicelib.pipeline import Edges, Plan, run
from chalicelib.report import Report
from tests.builders import MISSING, RANDOM_DATA_API, paged
from tests.fakes import FakeCache, FakeSource, FakeStore, uid
from tests.keys import PII_KEY

VALUE = "willodean.welch@email.com"  # must not appear in any error
STEPS = ["fetch", "validate", "clean", "protect", "load", "cache"]


def record(number: int, **changes: Any) -> dict[str, Any]:
    return RANDOM_DATA_API.record({"uid": uid(number), **changes})


def page(good: int, bad: int = 0, first: int = 0) -> bytes:
    """A page of ``good`` valid records, then ``bad`` ones without an e-mail address."""
    numbers = range(first, first + good + bad)
    records = [record(number) for number in numbers[:good]]
    return RANDOM_DATA_API.page(*records, *[record(number, email=MISSING) for number in numbers[good:]])


class Run:
    """One run over fakes, and everything observable about it."""

    def __init__(
        self, *bodies: bytes | Exception, ratio: float = 0.2, failing: dict[str, BaseException] | None = None
    ) -> None:
        self.journal: list[str] = []
        self.source = FakeSource(*bodies, journal=self.journal)
        self.store = FakeStore(self.journal, failing)
        self.cache = FakeCache(self.journal)
        self.tokeniser = privacy.Tokeniser({1: PII_KEY})
        self.plan = Plan("manual", len(bodies), 100, max_reject_ratio=ratio)
        self.progress: list[tuple[int, int, int]] = []

    def __call__(self) -> Report:
        edges = Edges(self.source, self.store, self.cache, self.tokeniser)
        return run(edges, self.plan, self.on_page)

    def on_page(self, planned: int, report: Report) -> None:
        self.progress.append((report.pages, planned, report.fetched))

    @property
    def ledger(self) -> dict[str, Any]:
        (held,) = self.store.runs.values()
        return held


def counts_add_up(report: Report) -> bool:
    return report.fetched == sum(getattr(report, outcome) for outcome in OUTCOMES)


def test_pages_are_stored_in_order_and_each_is_cached_after_it_is_stored():
    trial = Run(page(2), page(3, first=2), page(4, first=5))

    trial()

    stored = [step for step in trial.journal if step.partition(" ")[0] in {"open", "load", "finish"}]
    assert stored == ["open", "load 1", "load 2", "load 3", "finish succeeded"]
    cached = [step for step in trial.journal if step.startswith("put")]
    assert cached == ["put 2", "put 3", "put 4"]
    for number, put in enumerate(cached, 1):
        assert trial.journal.index(f"load {number}") < trial.journal.index(put)


def test_only_the_next_page_is_fetched_while_a_page_is_loaded():
    trial = Run(page(1), page(1, first=1), page(1, first=2))
    second_is_fetched, fetch, load = threading.Event(), trial.source.fetch, trial.store.load_page

    def fetch_and_signal(number, size):
        body = fetch(number, size)
        if number == 2:
            second_is_fetched.set()
        return body

    def load_late(loaded):
        assert second_is_fetched.wait(10)
        return load(loaded)

    trial.source.fetch, trial.store.load_page = fetch_and_signal, load_late

    assert trial().inserted == 3
    assert trial.journal.index("fetch 3") > trial.journal.index("load 1")


def test_a_loaded_page_is_cached_without_waiting_for_the_next_one():
    trial = Run(page(1), page(1, first=1))
    is_cached, fetch, put = threading.Event(), trial.source.fetch, trial.cache.put_users

    def put_and_signal(bodies):
        put(bodies)
        is_cached.set()

    def fetch_late(number, size):
        assert number == 1 or is_cached.wait(10)
        return fetch(number, size)

    trial.cache.put_users, trial.source.fetch = put_and_signal, fetch_late

    assert trial().inserted == 2


def test_a_prepared_page_is_not_loaded_if_the_one_before_it_fails():
    trial = Run(page(1), page(1), page(1), failing={"load": StoreError("load_page", "23514")})

    assert trial().status == "failed"
    assert trial.journal.count("load 1") == 1
    assert not {"load 2", "fetch 3"}.intersection(trial.journal)


def test_the_ledger_records_a_runs_plan_when_it_starts():
    trial = Run(page(1), page(1))

    trial()

    assert trial.ledger["source"] == "random-data-api http://nowhere"
    assert trial.ledger["trigger"] == "manual"
    assert trial.ledger["pages"] == 2
    assert trial.ledger["contract_hash"] == privacy.contract_hash({})
    assert trial.ledger["key_version"] == trial.store.loads[0].key.version == 1


def test_the_planned_pages_are_fetched_from_the_first_in_the_planned_size():
    trial = Run(*(page(1, first=number) for number in range(3)))
    trial.plan = Plan("backfill", 3, 17, max_reject_ratio=0.2)

    trial()

    assert trial.source.asked == [(1, 17), (2, 17), (3, 17)]


def test_the_contracts_columns_are_stored_in_order_and_without_raw_text():
    trial = Run(page(1))

    trial()

    (load,) = trial.store.loads
    assert list(load.columns) == [*privacy.TREATMENT_OF, "content_hash", "erasure_tokens"]
    assert json.loads(load.columns["email"]) == [trial.tokeniser.token("email", VALUE)]
    assert VALUE not in str(load.columns)


def test_a_row_is_stored_with_its_erasure_tokens_under_every_known_key():
    trial = Run(page(1))
    trial.tokeniser = privacy.Tokeniser({1: PII_KEY, 2: PII_KEY[::-1]})

    trial()

    (tokens,) = json.loads(trial.store.loads[0].columns["erasure_tokens"])
    assert tokens.strip("{}").split(",") == trial.tokeniser.candidates("uid", uid(0))


def test_a_reject_is_kept_with_its_position_and_its_issues():
    trial = Run(page(4, bad=1))

    trial()

    ((run_id, number, row),) = trial.store.rejects
    assert (run_id, number, row.position) == (uid(1), 1, 4)
    assert [(issue.path, issue.rule) for issue in row.issues] == [("email", "required")]


def test_a_repeated_reject_has_the_same_fingerprint_and_others_do_not():
    other = RANDOM_DATA_API.page(record(4, email="nobody"))
    trial = Run(page(4, bad=1), page(0, bad=1, first=4), other, ratio=1.0)

    trial()

    first, again, changed = (row.fingerprint for _, _, row in trial.store.rejects)
    assert first == again != changed
    assert first.startswith("v1_")


def test_only_new_and_changed_people_are_cached():
    trial = Run(page(2), RANDOM_DATA_API.page(record(0), record(1, gender="Male"), record(2)))

    trial()

    assert trial.journal.count("put 2") == 2
    assert [trial.cache.held[uid(number)][1] for number in range(3)] == [1, 2, 1]


# The ratio is compared exactly as written: 29 of 100 is 0.29, although the float 0.29 * 100 is below 29.
@pytest.mark.parametrize(
    ("bad", "of", "ratio"),
    [(0, 5, 0.0), (1, 5, 0.2), (20, 100, 0.2), (29, 100, 0.29), (57, 100, 0.57), (7, 100, 0.07), (3, 3, 1.0)],
)
def test_a_page_with_exactly_as_many_rejects_as_allowed_is_loaded(bad, of, ratio):
    trial = Run(page(of - bad, bad), ratio=ratio)

    report = trial()

    assert (report.status, report.fetched, report.rejected) == ("succeeded", of, bad)
    assert len(trial.store.people) == of - bad


@pytest.mark.parametrize(
    ("bad", "of", "ratio"),
    [(1, 100, 0.0), (2, 9, 0.2), (21, 100, 0.2), (30, 100, 0.29), (58, 100, 0.57), (8, 100, 0.07)],
)
def test_a_page_with_one_reject_more_than_allowed_is_not_loaded(bad, of, ratio):
    trial = Run(page(of - bad, bad), ratio=ratio)

    report = trial()

    assert (report.status, report.error) == ("failed", f"page 1: {bad} of {of} records are invalid")
    assert not trial.store.people
    assert not trial.cache.held
    assert trial.journal == ["open", "fetch 1", "note 1", "finish failed"]


def test_the_rejects_of_a_page_that_is_not_loaded_are_kept_and_reported_but_not_counted():
    trial = Run(page(1, bad=2))

    report = trial()

    assert [row.position for _, _, row in trial.store.rejects] == [1, 2]
    assert report.rejects_by_rule == {("email", "required"): 2}
    assert (report.fetched, report.rejected, report.pages) == (0, 0, 0)


def test_a_page_over_the_budget_ends_the_run_as_failed_even_after_a_good_page():
    trial = Run(page(3), page(1, bad=5), page(3))

    report = trial()

    assert (report.status, report.pages, report.fetched) == ("failed", 1, 3)
    assert len(trial.source.asked) == 2


@pytest.mark.parametrize(
    ("bad", "of", "size", "status"),
    [
        (1, 1, 100, "succeeded"),
        (4, 4, 100, "succeeded"),
        (5, 5, 100, "failed"),
        (1, 4, 5, "succeeded"),
        (2, 4, 5, "failed"),
        (6, 25, 100, "failed"),
    ],
)
def test_a_few_records_on_a_last_page_may_be_invalid(bad, of, size, status):
    trial = Run(page(good=5), page(good=of - bad, bad=bad, first=10))
    trial.plan = replace(trial.plan, page_size=size)

    assert trial().status == status


def test_a_source_that_fails_at_once_fails_the_run():
    trial = Run(SourceUnavailable(1, "status 503"))

    report = trial()

    assert (report.status, report.error) == ("failed", "page 1: status 503")
    assert (trial.ledger["status"], trial.ledger["error"]) == ("failed", "page 1: status 503")


def test_a_source_that_fails_midway_leaves_a_partial_run():
    trial = Run(page(3), SourceUnavailable(2, "status 503"), page(3))

    report = trial()

    assert (report.status, report.pages, report.fetched) == ("partial", 1, 3)
    assert (trial.ledger["status"], trial.ledger["error"]) == ("partial", "page 2: status 503")
    assert len(trial.store.people) == 3


@pytest.mark.parametrize(("before", "status"), [([], "failed"), ([page(3)], "partial")])
def test_a_run_that_is_stopped_says_so_and_keeps_its_pages(before, status):
    trial = Run(*before, Stopped("SIGINT"), page(3))

    with pytest.raises(Stopped):
        trial()

    assert (trial.ledger["status"], trial.ledger["error"]) == (status, "stopped by SIGINT")
    assert len(trial.store.people) == 3 * len(before)


def test_a_run_that_is_stopped_while_it_opens_is_not_left_running():
    trial = Run(page(3))

    def stop(*_):
        raise Stopped("SIGINT")

    trial.store.reconcile_keys = stop
    with pytest.raises(Stopped):
        trial()

    assert (trial.ledger["status"], trial.ledger["error"]) == ("failed", "stopped by SIGINT")


def test_a_run_whose_keys_cannot_be_checked_has_failed_and_fetches_nothing(caplog):
    trial = Run(page(3))

    def refuse(*_):
        raise StoreUnavailable("reconcile_keys", "57014")

    trial.store.reconcile_keys = refuse
    report = trial()

    error = "query reconcile_keys failed: SQLSTATE 57014"
    assert (report.status, report.error, trial.source.asked) == ("failed", error, [])
    assert (trial.ledger["status"], trial.ledger["error"]) == ("failed", error)
    assert f"run {report.run_id}: {error}" in caplog.text


def test_a_run_that_is_stopped_while_it_ends_is_not_left_running():
    trial = Run(page(3))
    finish = trial.store.finish_run

    def stop(*_):
        trial.store.finish_run = finish
        raise Stopped("SIGINT")

    trial.store.finish_run = stop
    with pytest.raises(Stopped):
        trial()

    assert (trial.ledger["status"], trial.ledger["error"]) == ("partial", "stopped by SIGINT")


def test_a_stop_in_the_midst_of_some_cleanup_is_a_stop():
    """As in Thread.start, whose own error takes the place of what a signal's handler raises in it."""
    trial = Run(page(3))

    def fetch(*_):
        try:
            raise Stopped("SIGINT")
        finally:
            {}["a-thread"]

    trial.source.fetch = fetch
    with pytest.raises(Stopped):
        trial()

    assert (trial.ledger["status"], trial.ledger["error"]) == ("failed", "stopped by SIGINT")


def test_a_stop_while_the_last_page_is_loaded_leaves_a_partial_run():
    def stop(number, frame):
        raise Stopped("SIGUSR1")

    def load_late(page_load):
        time.sleep(0.2)
        os.kill(os.getpid(), signal.SIGUSR1)  # received by the main thread, which waits for this load
        time.sleep(0.2)
        return load(page_load)

    trial = Run(page(3))
    load, trial.store.load_page = trial.store.load_page, load_late
    before = signal.signal(signal.SIGUSR1, stop)
    try:
        with pytest.raises(Stopped):
            trial()
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert (trial.ledger["status"], len(trial.store.people)) == ("partial", 3)


def test_an_empty_first_page_is_a_failure():
    report = Run(RANDOM_DATA_API.page())()

    assert (report.status, report.error) == ("failed", "page 1: no records")


def test_an_empty_page_after_a_good_one_leaves_a_partial_run():
    report = Run(page(1), RANDOM_DATA_API.page())()

    assert (report.status, report.error) == ("partial", "page 2: no records")


def ending(*bodies: bytes, trigger: Trigger = "schedule", pages: int = 3, **paging: Any) -> Run:
    """A run over a source that has a last page."""
    trial = Run(*bodies)
    trial.source.dialect = paged(trial.source.dialect, **{"ends": True, "pages_vary": True, **paging})
    trial.plan = replace(trial.plan, trigger=trigger, pages=pages)
    return trial


def test_a_source_that_ends_is_read_to_its_end_and_no_further():
    trial = ending(page(2), page(1, first=2), RANDOM_DATA_API.page(), pages=100)

    report = trial()

    assert (report.status, report.error, report.pages, report.inserted) == ("succeeded", None, 3, 3)
    assert [asked for asked, _ in trial.source.asked] == [1, 2, 3]


def test_a_source_with_a_last_page_must_still_have_a_record():
    report = ending(RANDOM_DATA_API.page())()

    assert (report.status, report.error) == ("failed", "page 1: no records")


@pytest.mark.parametrize("pages", [1, 2])
@pytest.mark.parametrize("trigger", ["schedule", "manual"])
def test_a_run_over_the_settings_pages_that_does_not_reach_the_sources_end_is_partial(pages, trigger):
    report = ending(*[page(1, first=number) for number in range(pages)], pages=pages, trigger=trigger)()

    assert (report.status, report.inserted) == ("partial", pages)
    assert report.error == f"page {pages}: the source may have more pages than SOURCE_PAGES"


def test_a_run_with_a_requested_number_of_pages_need_not_reach_the_sources_end():
    assert ending(page(1), trigger="backfill", pages=1)().status == "succeeded"


@pytest.mark.parametrize("pages_vary", [False, True])
@pytest.mark.parametrize(
    ("sizes", "short"),
    [((100, 100, 100), 0), ((100, 100, 40), 0), ((50, 50, 50), 2), ((100, 50, 100, 3), 1)],
)
def test_short_pages_that_others_follow_make_a_run_partial(caplog, sizes, short, pages_vary):
    """A dialect that asks by offset skips people if its API gives fewer than requested."""
    starts = [sum(sizes[:number]) for number in range(len(sizes))]
    pages = [page(size, first=start) for size, start in zip(sizes, starts, strict=True)]

    report = ending(*pages, RANDOM_DATA_API.page(), pages=9, pages_vary=pages_vary)()

    said = f"{short} pages had fewer records than requested"
    assert report.short_pages == (0 if pages_vary else short)
    is_partial = short and not pages_vary
    assert (said in caplog.text) == bool(is_partial)
    assert report.status == ("partial" if is_partial else "succeeded")
    assert report.error == (f"{said}, although others followed" if is_partial else None)


def in_envelope(total: Any, *bodies: bytes) -> list[bytes]:
    return [b'{"meta": {"total": %s}, "data": %s}' % (json.dumps(total).encode(), body) for body in bodies]


@pytest.mark.parametrize(
    ("total", "status", "error"),
    [
        (3, "succeeded", None),
        (2, "succeeded", None),  # somebody was deleted meanwhile
        (5, "partial", "the source says that it has 5 records, and gave 3"),
        *[
            (wrong, "partial", "no page says how many records there are (expected at meta.total)")
            for wrong in ("3", None, True, 3.0, -1, 10**8, 491715550123, 10**400)
        ],
    ],
)
def test_a_run_that_gets_fewer_records_than_the_source_has_is_partial(total, status, error):
    bodies = in_envelope(total, page(2), page(1, first=2), RANDOM_DATA_API.page())
    trial = ending(*bodies, total="meta.total")
    trial.source.dialect = replace(trial.source.dialect, envelope="data")

    report = trial()

    assert (report.status, report.error, report.inserted) == (status, error, 3)


def test_a_page_beyond_the_end_does_not_say_how_many_there_are():
    bodies = [*in_envelope(500, page(2)), *in_envelope(0, RANDOM_DATA_API.page())]
    trial = ending(*bodies, total="meta.total")
    trial.source.dialect = replace(trial.source.dialect, envelope="data")

    assert trial().error == "the source says that it has 500 records, and gave 2"


@pytest.mark.parametrize(("total", "status"), [(3, "succeeded"), (2, "succeeded"), (4, "partial")])
def test_a_run_over_exactly_the_pages_that_there_are_is_complete_if_the_total_says_so(total, status):
    trial = ending(*in_envelope(total, page(2), page(1, first=2)), total="meta.total", pages=2)
    trial.source.dialect = replace(trial.source.dialect, envelope="data")

    assert trial().status == status


def test_a_total_behind_a_byte_order_mark_is_read():
    bodies = [b"\xef\xbb\xbf" + body for body in in_envelope(2, page(2), RANDOM_DATA_API.page())]
    trial = ending(*bodies, total="meta.total")
    trial.source.dialect = replace(trial.source.dialect, envelope="data")

    assert trial().status == "succeeded"


def lose_the_first_answer(trial):
    load_page = trial.store.load_page

    def lose(load):
        loaded = load_page(load)
        return None if load.page == 1 else loaded

    trial.store.load_page = lose


def test_a_page_whose_loads_answer_was_lost_counts_among_those_that_came():
    trial = ending(*in_envelope(4, page(2), page(2, first=2), RANDOM_DATA_API.page()), total="meta.total")
    trial.source.dialect = replace(trial.source.dialect, envelope="data")
    lose_the_first_answer(trial)

    report = trial()

    assert (report.status, report.error, report.fetched) == ("succeeded", None, 4)


@pytest.mark.parametrize(("pages", "next_page", "missed"), [(1, 2, True), (2, 2, False)])
def test_a_page_whose_loads_answer_was_lost_is_a_page_when_it_is_asked_where_to_continue(
    pages, next_page, missed
):
    full, short = page(100), page(2, first=100)
    bodies = [full, short][-pages:]
    trial = ending(*bodies, SourceBusy(pages + 1, "status 429"), pages_vary=False)
    lose_the_first_answer(trial)

    trial()

    assert (trial.ledger["next_page"], trial.ledger["missed"]) == (next_page, missed)


def test_a_run_that_continues_another_is_not_compared_with_the_total():
    trial = ending(*in_envelope(9, page(2), RANDOM_DATA_API.page()), total="meta.total", pages=5)
    trial.source.dialect = replace(trial.source.dialect, envelope="data")
    open_run = trial.store.open_run
    trial.store.open_run = lambda *run: replace(open_run(*run), first_page=2)

    assert trial().status == "succeeded"


@pytest.mark.parametrize(("trigger", "next_page"), [("schedule", 2), ("manual", None)])
def test_where_a_source_asked_to_be_left_alone_the_next_scheduled_run_continues(trigger, next_page):
    report = ending(page(2), SourceBusy(2, "status 429, and asks to wait 60 s"), trigger=trigger)()

    assert (report.status, report.next_page, report.inserted) == ("partial", next_page, 2)
    assert report.error.startswith("page 2: status 429, and asks to wait 60 s")
    assert report.error.endswith("the next scheduled run continues there") == bool(next_page)


def test_a_source_that_refuses_the_first_page_leaves_nothing_to_continue():
    report = ending(SourceBusy(1, "status 429 (attempt 5)"))()

    assert (report.status, report.next_page, report.error) == (
        "failed",
        None,
        "page 1: status 429 (attempt 5)",
    )


def test_rejects_are_logged_by_path_and_rule(caplog):
    records = [record(0), record(1, email=f"not {VALUE}"), record(2, email=MISSING)]
    Run(RANDOM_DATA_API.page(*records), ratio=1)()

    assert "rejected records: email format 1, email required 1" in caplog.text
    assert VALUE not in caplog.text


def test_withheld_texts_are_counted_and_logged_by_column(caplog):
    report = Run(RANDOM_DATA_API.page(record(0, gender=VALUE), record(1)))()

    assert (report.status, report.inserted, report.withheld) == ("succeeded", 2, {"gender": 1})
    assert "hold an e-mail address or a long number: gender 1" in caplog.text
    assert VALUE not in f"{caplog.text} {report} {report.summary()}"


def after(page: Any) -> dict[str, Any] | None:
    """The cursor of a source whose pages have two records, except for the last."""
    return {"after": f"{page[-1]['email']} {page[-1]['uid']}"} if len(page) == 2 else None


def by_cursor(*bodies: bytes, next_cursor: Any = after, pages: int = 9) -> Run:
    """A run over a source that pages by cursor."""
    return ending(*bodies, pages=pages, ends=False, next_cursor=next_cursor)


def test_each_page_is_requested_with_the_cursor_that_the_page_before_it_gave():
    trial = by_cursor(page(2), page(2, first=2), page(1, first=4))

    report = trial()

    assert (report.status, report.error, report.pages, report.inserted) == ("succeeded", None, 3, 5)
    assert trial.source.cursors == [None, *({"after": f"{VALUE} {uid(number)}"} for number in (1, 3))]
    assert report.short_pages == 0  # a short page leaves nobody out
    assert VALUE not in f"{report} {report.summary()}"


def test_an_empty_page_with_a_cursor_is_not_the_end():
    cursors = iter([{"page": 2}, {"page": 3}, None])
    trial = by_cursor(page(1), RANDOM_DATA_API.page(), page(1, first=1), next_cursor=lambda _: next(cursors))

    report = trial()

    assert (report.status, report.pages, report.inserted) == ("succeeded", 3, 2)


def test_short_pages_with_a_cursor_leave_nobody_out():
    cursors = iter([{"page": 2}, None])
    trial = by_cursor(page(1), page(2, first=1), next_cursor=lambda _: next(cursors))
    trial.source.dialect = paged(trial.source.dialect, ends=True, pages_vary=False)

    report = trial()

    assert (report.status, report.error, report.short_pages) == ("succeeded", None, 0)


def test_a_run_with_cursors_that_does_not_reach_the_end_is_partial():
    report = by_cursor(page(2), page(2, first=2), pages=2)()

    assert (report.status, report.inserted) == ("partial", 4)
    assert report.error == "page 2: the source may have more pages than SOURCE_PAGES"


def test_a_cursor_that_leads_to_the_same_page_again_ends_the_run():
    report = by_cursor(page(2), page(2, first=2), page(2), next_cursor=lambda _: {"after": VALUE})()

    error = "page 3: the page before it leads to one that was already requested"
    assert (report.status, report.error, report.inserted) == ("partial", error, 4)


def test_cursors_that_lead_in_a_circle_end_the_run():
    cursors = iter([{"page": 2}, {"page": 3}, {"page": 2}])
    trial = by_cursor(page(1), page(1, first=1), page(1, first=2), next_cursor=lambda _: next(cursors))

    report = trial()

    error = "page 4: the page before it leads to one that was already requested"
    assert (report.status, report.error, report.inserted) == ("partial", error, 3)


@pytest.mark.parametrize(
    "next_cursor",
    [
        lambda page: {"after": page["next"]},
        lambda page: {"after": page[2]["uid"]},
        lambda page: {"after": page[0]["next"]},
        lambda page: {"after": page[0].next},
        lambda page: {"after": int(page[0]["email"])},
        lambda page: {"after": page[0]},
        lambda page: {"after": None},
        lambda page: {"after": "\ud800"},
        lambda page: page[0]["email"],
    ],
)
def test_a_page_whose_cursor_cannot_be_found_ends_the_run(next_cursor, caplog):
    report = by_cursor(page(2), next_cursor=next_cursor)()

    assert (report.status, report.fetched) == ("failed", 0)
    assert report.error == "page 1: next_cursor of random-data-api does not understand the body"
    assert VALUE not in caplog.text


def by_link(*bodies: bytes, next_link: Any) -> Run:
    """A run over a source whose pages hold the address of the next one."""
    return ending(*bodies, pages=9, ends=False, next_link=next_link)


def test_each_page_is_requested_with_the_query_of_the_address_in_the_page_before_it():
    links = iter(["https://api.example/users?$skip=2&role=a&role=b%26c&empty=", "?$skip=4", None])
    trial = by_link(page(2), page(2, first=2), page(1, first=4), next_link=lambda _: next(links))

    report = trial()

    assert (report.status, report.error, report.inserted) == ("succeeded", None, 5)
    first = {"$skip": ["2"], "role": ["a", "b&c"], "empty": [""]}
    assert trial.source.cursors == [None, first, {"$skip": ["4"]}]


@pytest.mark.parametrize(
    "next_link",
    [
        lambda page: page[0]["next"],
        lambda page: page[0],
        lambda page: "",
        lambda page: True,
        lambda page: b"?after=1",
        lambda page: "https://api.example/users/2",
        lambda page: "https://[x/users?after=1",
        lambda page: "?after=\ud800",
    ],
)
def test_a_page_whose_link_makes_no_sense_ends_the_run(next_link):
    report = by_link(page(2), next_link=next_link)()

    assert (report.status, report.fetched) == ("failed", 0)
    assert report.error == "page 1: next_link of random-data-api does not understand the body"


def test_the_cursor_of_a_posted_query_may_be_an_object():
    cursors = iter([{"variables": {"after": VALUE, "filter": None}}, None])
    trial = by_cursor(page(2), page(2, first=2), next_cursor=lambda _: next(cursors))
    trial.source.dialect = paged(trial.source.dialect, method="POST")

    report = trial()

    assert (report.status, report.inserted) == ("succeeded", 4)
    assert trial.source.cursors == [None, {"variables": {"after": VALUE, "filter": None}}]


@pytest.mark.parametrize("cursor", ["text", {"after": object()}, {"after": "\ud800"}, {5: 1}])
def test_the_cursor_of_a_posted_query_must_be_a_json_object(cursor, caplog):
    trial = by_cursor(page(2), next_cursor=lambda _: cursor)
    trial.source.dialect = paged(trial.source.dialect, method="POST")

    report = trial()

    assert report.error == "page 1: next_cursor of random-data-api does not understand the body"


def test_a_record_that_is_nested_too_deeply_does_not_hide_the_cursor():
    too_deep = b"[" * 150_000 + b"]" * 150_000  # for any parser
    deep = RANDOM_DATA_API.page(record(0), record(1)).removesuffix(b"]") + b"," + too_deep + b"]"
    cursors = iter([{"page": 2}, None])
    trial = by_cursor(deep, page(1, first=2), next_cursor=lambda body: body[0]["uid"] and next(cursors))
    trial.plan = replace(trial.plan, max_reject_ratio=0.5)

    report = trial()

    assert (report.status, report.inserted, report.rejected) == ("succeeded", 3, 1)


def test_a_source_that_gives_the_same_page_again_ends_the_run():
    report = Run(page(2), page(2), page(2))()

    assert (report.status, report.inserted, report.fetched) == ("partial", 2, 2)
    assert report.error == "page 2: the same people as on the page before"
    assert "uids" not in report.summary()
    assert uid(0) not in repr(report)


def test_pages_that_share_people_but_differ_are_loaded():
    report = Run(page(2), page(3), page(1), RANDOM_DATA_API.page(record(0, email=MISSING)))()

    assert (report.fetched, report.inserted, report.unchanged, report.rejected) == (7, 3, 3, 1)


NO_JSON = "page 1: the body is not valid JSON, or is cut off"
NO_LIST = "page 1: the body holds no list of records in the format of random-data-api"
TOO_MANY = "page 1: more than 5000 records"


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", NO_JSON),
        (b"no JSON", NO_JSON),
        (b'{"error": "' + VALUE.encode() + b'"}', NO_LIST),
        (RANDOM_DATA_API.page(record(0))[:-20], NO_JSON),
        (b"[" * 100_000, NO_JSON),
        (b"\xff\xfe\x00", NO_JSON),
        (b"[0" + b",0" * 5_000 + b"]", TOO_MANY),
        (b'["\\ud800\\u0000ud800"' + b",0" * 5_000 + b"]", TOO_MANY),
        (RANDOM_DATA_API.page(*[record(0)] * 5_001), TOO_MANY),
    ],
    ids=[
        *("nothing", "text", "an object", "truncated", "deeply nested", "no UTF-8"),
        *("too many", "too many and odd", "too many good ones"),
    ],
)
def test_an_invalid_page_fails_the_run_and_is_not_repeated_in_the_error(body, error):
    report = Run(body)()

    assert (report.status, report.error) == ("failed", error)


def test_a_run_is_skipped_without_a_fetch_while_another_of_its_source_runs():
    trial = Run(page(1))
    trial.store.open_run(RunRequest(trial.source.name, "schedule", 1), "hash", 1)
    trial.store.key_troubles = [KeyTrouble(1, None, None, None)]  # of which the other run tells
    trial.journal.clear()

    report = trial()

    assert (report.status, report.error) == ("skipped", None)
    assert trial.journal == ["open"]


def test_a_run_whose_lease_expired_before_a_load_is_lost_and_stores_nothing():
    trial = Run(page(1))
    trial.source.fetch = lambda page_number, size: trial.store.lose(uid(1)) or page(1)

    report = trial()

    assert (report.status, trial.ledger["status"]) == ("lost", "lost")
    assert not trial.store.people
    assert not trial.cache.held


def test_a_run_whose_lease_expired_after_the_last_load_is_lost():
    trial = Run(page(1))
    trial.cache.put_users = lambda bodies: trial.store.lose(uid(1))

    assert trial().status == "lost"


def test_a_load_that_the_store_refuses_fails_the_run_and_names_the_query():
    trial = Run(page(1), failing={"load": StoreError("load_page", "23514", "token_check")})

    report = trial()

    error = "query load_page failed: SQLSTATE 23514: constraint token_check"
    assert (report.status, report.error, trial.ledger["error"]) == ("failed", error, error)


def test_an_unavailable_store_at_the_start_is_raised():
    trial = Run(page(1), failing={"open": StoreUnavailable("open_run")})

    with pytest.raises(StoreUnavailable):
        trial()


def test_an_unavailable_store_at_the_end_is_raised():
    trial = Run(page(1), failing={"finish": StoreUnavailable("finish_run")})

    with pytest.raises(StoreUnavailable) as raised:
        trial()
    assert raised.value.__context__ is None


DEFECTS = {
    "in the load": {"load": ValueError(f"no row for {VALUE}")},
    "in the note of rejects": {"note": KeyError(VALUE)},
}


@pytest.mark.parametrize("failing", DEFECTS.values(), ids=DEFECTS)
def test_an_unexpected_error_is_raised_and_recorded_with_only_its_type_and_place(failing, caplog):
    trial = Run(page(1, bad=1), ratio=0.0 if "note" in failing else 1.0, failing=failing)
    (defect,) = failing.values()

    with caplog.at_level(logging.DEBUG), pytest.raises(Unforeseen) as raised:
        trial()

    assert str(raised.value).startswith(f"{type(defect).__name__} at fakes.py:")
    assert re.search(r"from (loading|prepare)\.py:", str(raised.value))
    assert trial.ledger["status"] == "failed"
    assert trial.ledger["error"] == str(raised.value)
    shown = "".join(traceback.format_exception(raised.value))
    assert VALUE not in f"{raised.value!r} {raised.value.args} {shown} {caplog.text} {trial.ledger}"
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None


def test_an_expected_error_carries_no_context():
    def load() -> None:
        try:
            raise KeyError(VALUE)
        finally:
            raise StoreError("load_page")

    error = pipeline._error_of(load)

    assert isinstance(error, StoreError)
    assert error.__context__ is None


@pytest.mark.parametrize("pages", [1, 3], ids=["after the last page", "before it"])
def test_an_unexpected_error_in_the_cache_ends_the_run(pages):
    trial = Run(*[page(1, first=number) for number in range(pages)])
    trial.cache.put_users = lambda _: 1 / 0

    with pytest.raises(Unforeseen, match="ZeroDivisionError"):
        trial()

    assert trial.ledger["status"] == "failed"


def test_an_unexpected_error_in_the_progress_callback_ends_the_run():
    trial = Run(page(1), page(1), page(1))
    trial.on_page = lambda *_: 1 / 0

    with pytest.raises(Unforeseen, match="ZeroDivisionError"):
        trial()
    assert (trial.ledger["status"], len(trial.source.asked)) == ("failed", 2)


def test_a_run_names_the_unknown_fields_of_all_its_pages():
    pages = [[record(10 * n + i, **{name: 1}) for i in range(10)] for n, name in enumerate(("hat", "shoe"))]

    report = Run(*[RANDOM_DATA_API.page(*records) for records in pages])()

    assert (report.unknown_fields, report.unknown_names) == (20, {"hat", "shoe"})


def test_an_interrupt_is_not_treated_as_a_failure():
    trial = Run(page(1), failing={"load": KeyboardInterrupt()})

    with pytest.raises(KeyboardInterrupt):
        trial()


def test_every_step_is_timed_and_the_ledger_has_the_same_times():
    trial = Run(page(1))

    report = trial()

    assert list(report.timings) == STEPS
    assert all(spent > 0 for spent in report.timings.values())
    assert trial.ledger["timings"] == report.timings
    assert 0 < sum(report.timings.values()) / 1000 <= report.seconds


def test_the_times_of_several_pages_are_summed():
    trial = Run(*(page(1, first=number) for number in range(3)))
    seen = []
    trial.on_page = lambda planned, report: seen.append(dict(report.timings))

    report = trial()

    assert all(
        report.timings[step] > seen[0].get(step, 0) for step in STEPS
    )  # the first page may still be with the cache


def test_a_step_that_fails_is_timed_and_those_after_it_are_not():
    report = Run(SourceUnavailable(1, "status 503"))()

    assert list(report.timings) == ["fetch"]


def test_progress_is_reported_after_each_finished_page():
    trial = Run(page(2), page(3), SourceUnavailable(3, "status 503"))

    trial()

    assert trial.progress == [(1, 3, 2), (2, 3, 5)]


def test_every_record_is_counted_exactly_once():
    trial = Run(
        page(3),
        RANDOM_DATA_API.page(
            record(0),  # unchanged
            record(1, gender="Male"),  # updated
            record(7),  # the first of two
            record(7, gender="Male"),
            record(8),  # erased
            *(record(number) for number in range(10, 14)),
            record(14, email=MISSING),
            record(15, gender=""),  # not wanted
        ),
    )
    dialect = trial.source.dialect
    trial.source.dialect = replace(dialect, to_user=lambda user: user if user.gender else None)
    trial.store.erased.add(trial.tokeniser.token("uid", uid(8)))

    report = trial()

    outcomes = {name: getattr(report, name) for name in OUTCOMES}
    assert outcomes == {
        "inserted": 3 + 5,
        "updated": 1,
        "unchanged": 1,
        "duplicate": 1,
        "rejected": 1,
        "suppressed": 1,
        "filtered": 1,
    }
    assert report.fetched == 14
    assert counts_add_up(report)


def test_the_last_of_two_records_of_one_person_is_stored():
    trial = Run(RANDOM_DATA_API.page(record(0, gender="Male"), record(0, gender="Bigender")))

    trial()

    assert json.loads(trial.store.loads[0].columns["gender"]) == ["Bigender"]


def test_the_log_has_the_counts_of_a_run(caplog):
    with caplog.at_level(logging.INFO):
        Run(page(3))()

    assert [entry.getMessage() for entry in caplog.records] == [f"run {uid(1)} succeeded: 1 pages, 3 records"]


def test_the_log_says_why_a_run_failed(caplog):
    with caplog.at_level(logging.INFO):
        Run(LeaseLost("load_page"))()

    assert f"run {uid(1)}: the run's lease has expired" in caplog.text


def test_a_run_that_somebody_stopped_is_that_whatever_else_its_worker_meets():
    trial = Run(page(1), SourceUnavailable(2, "status 503"))
    finish_run = trial.store.finish_run

    def finish(run_id, ending):
        return finish_run(run_id, ending) if ending.error == "stopped on request" else None

    trial.store.finish_run = finish

    report = trial()

    assert (report.status, report.error, report.pages) == ("failed", "stopped on request", 1)


def test_a_run_that_somebody_stopped_is_no_error_in_the_log(caplog):
    with caplog.at_level(logging.INFO):
        report = Run(page(1), failing={"load": StopRequested("load_page")})()

    assert (report.status, report.error) == ("failed", "stopped on request")
    assert f"run {uid(1)}: stopped on request" in caplog.text
    assert {entry.levelname for entry in caplog.records} == {"INFO"}
