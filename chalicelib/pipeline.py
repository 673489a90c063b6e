"""The run: extract, validate, clean, protect, load, cache; page by page, with one commit per page.

The edges arrive as arguments. The ledger records a run before its first fetch, and again however it ends.
"""

import logging
import time
from collections.abc import Callable, Sequence

from chalicelib import opening, resuming
from chalicelib.edges import Edges, OnPage, Plan, Store, no_progress
from chalicelib.errors import (
    STOPPED_ON_REQUEST,
    DecantError,
    LeaseLost,
    SourceError,
    Stopped,
    StopRequested,
    StoreError,
    TimeUp,
    Unforeseen,
    safe,
)
from chalicelib.ledger import Counts, Ending, Status
from chalicelib.loading import Loads
from chalicelib.paging import Paging
from chalicelib.prepare import prepare
from chalicelib.report import Report

_log = logging.getLogger("decant.pipeline")

_MIN_RESERVE_SECONDS = 5.0  # for a page that takes longer than those before it
_LONGEST_FETCH_SECONDS = 45.0  # of a source that hangs; it must not outlast the function
_MOST_LOGGED = 100


def work(edges: Edges, plan: Plan, report: Report, on_page: OnPage = no_progress) -> Report:
    """Processes the pages of an open run in turn. A failure that is recorded in the ledger is not raised.

    Raises StoreError if the ledger itself cannot be written. Unforeseen (a defect) and Stopped are recorded
    and raised.
    """
    started = time.monotonic()
    try:
        if report.status == "running":
            _work_and_finish(edges, plan, report, on_page)
    except Stopped as stopped:
        ending = Ending("partial", str(stopped), report.timings)
        was_ending = report.status in ("running", "lost")  # the signal came outside of what records it
        if was_ending and (counts := edges.store.finish_run(report.run_id, ending)):
            report.settle(counts)
        raise
    finally:
        _log_findings(report)
        report.seconds = time.monotonic() - started
        what = report.run_id, report.status, report.pages, report.fetched
        _log.info("run %s %s: %s pages, %s records", *what)
    return report


def run(edges: Edges, plan: Plan, on_page: OnPage = no_progress) -> Report:
    """Opens a run and processes it; see ``work``."""
    request, custom = plan.request(edges.source), edges.source.dialect.custom
    report = opening.open_run(edges.store, edges.tokeniser, request, custom)
    return work(edges, plan, report, on_page)


def work_queued(edges: Edges, plan: Plan, report: Report, page: int) -> None:
    """Processes one page of a queued run, unless it is already loaded; ends the run after its last page.

    The report counts this page alone, but has the run's status. Raises the error that kept the page from
    being loaded, or the run from being ended.
    """
    started = time.monotonic()
    if edges.store.claim_page(report.run_id, page, *edges.stored_by):
        error = _error_of(lambda: _work_queued_page(edges, plan, page, report))
        _log_findings(report)
        if error and not isinstance(error, StopRequested):
            raise error
    counts = finish_page(edges.store, report)
    _remove_departed(edges, plan, report, counts.departed - report.departed if counts else 0)
    report.seconds = time.monotonic() - started


def finish_page(store: Store, report: Report) -> Counts | None:
    """Ends a queued run if the page was its last; the report gets its status. Logs why it is not complete."""
    counts = store.finish_page(report.run_id, report.timings)
    report.status = counts.status if counts else "ended"
    if counts and counts.error:
        _log.warning("run %s: %s", report.run_id, counts.error)
    return counts


def _work_and_finish(edges: Edges, plan: Plan, report: Report, on_page: OnPage) -> None:
    error = _error_of(lambda: _work_pages(edges, plan, report, on_page))
    if error is None:
        status: Status = "partial" if report.error else "succeeded"
    else:
        level = logging.INFO if isinstance(error, StopRequested) else logging.ERROR
        _log.log(level, "run %s: %s", report.run_id, error)
        status, report.error = _status_on_error(error), str(error)
        resuming.note_place(edges, plan, report, error)
        if report.next_page and (problem := _missed(edges.source.dialect.paging, report)):
            report.error = f"{report.error}; {problem}"
    missed, cursor = resuming.may_have_missed(report), report.reading.next_cursor
    ending = Ending(status, report.error, report.timings, report.next_page, missed, cursor)
    report.status = "lost"  # unless the ledger says otherwise
    counts = edges.store.finish_run(report.run_id, ending)
    if counts is None:  # somebody may have stopped the run, whatever its worker met since
        stopped = Ending("failed", STOPPED_ON_REQUEST, report.timings)
        counts = edges.store.finish_run(report.run_id, stopped)
    if counts:
        report.settle(counts)
    if error is None and report.error:
        _log.warning("run %s: %s", report.run_id, report.error)
    _remove_departed(edges, plan, report)
    if isinstance(error, Unforeseen | Stopped):
        raise error


def _error_of(work: Callable[[], None]) -> DecantError | None:
    """The error that a piece of work failed with, or None.

    The run's one boundary: the text of an unexpected exception may hold a personal value.
    """
    try:
        work()
    except Exception as error:  # noqa: BLE001
        before, error.__context__ = error.__context__, None  # whose text may hold a value of another page
        return before if isinstance(before, Stopped) else safe(error)  # a signal in the midst of some cleanup
    return None


def _work_pages(edges: Edges, plan: Plan, report: Report, on_page: OnPage) -> None:
    """Prepares each page while the one before it is being loaded."""
    pages = _pages(edges, plan, report)
    slowest, longest_fetch = _MIN_RESERVE_SECONDS, 0.0 if plan.replay_of else _LONGEST_FETCH_SECONDS
    must_be_full = edges.source.dialect.paging.pages_are_full and not plan.replay_of
    with Loads(edges, report, lambda: on_page(len(pages), report)) as loads:
        resuming.go_to_place(edges, report)
        for page in pages:
            began, report.reading.cursor_in_hand = time.monotonic(), report.reading.cursor
            # One step to prepare the page, one to load it.
            _check_time(plan, pages, page, max(slowest, longest_fetch) + slowest)
            load = prepare(edges, plan, page, report)
            loads.wait()  # so that `slowest` includes the previous load, and only this page's load is left
            slowest = max(slowest, time.monotonic() - began)
            _check_time(plan, pages, page, slowest)
            if load:
                report.short_pages += report.reading.ends_short and load.fetched > 0
                report.reading.ends_short = must_be_full and load.fetched < plan.page_size
                loads.begin(load)
            if report.source_ended:
                break
    report.error = _undone(edges, plan, report)


def _check_time(plan: Plan, pages: Sequence[int], page: int, wanted_seconds: float) -> None:
    """Raises TimeUp unless at least ``wanted_seconds`` are left, or this is the first page."""
    if page != pages[0] and time.monotonic() + wanted_seconds > plan.until:
        raise TimeUp(page)


def _work_queued_page(edges: Edges, plan: Plan, page: int, report: Report) -> None:
    with Loads(edges, report) as loads:
        if load := prepare(edges, plan, page, report):
            loads.begin(load)


def _pages(edges: Edges, plan: Plan, report: Report) -> Sequence[int]:
    if plan.replay_of:
        return edges.store.sealed_pages(plan.replay_of)
    return range(report.first_page, plan.pages + 1)


def _undone(edges: Edges, plan: Plan, report: Report) -> str | None:
    """A message if there is more to do although the run has processed all its pages."""
    if plan.replay_of:
        left = edges.store.sealed_pages(plan.replay_of)
        return "QUARANTINE_KEY does not open all sealed records; the others stay sealed" if left else None
    return _missed(edges.source.dialect.paging, report) or _unread(edges, plan, report)


def _missed(paging: Paging, report: Report) -> str | None:
    """A message if the run has reached the source's end, or will, without some of its records."""
    if report.short_pages:
        return f"{report.short_pages} pages had fewer records than requested, although others followed"
    if not (paging.total and report.source_ended) or report.first_page > 1 or report.since:
        return None
    if report.total is None:
        return f"no page says how many records there are (expected at {paging.total})"
    if report.reading.received < report.total:
        return f"the source says that it has {report.total} records, and gave {report.reading.received}"
    return None


def _unread(edges: Edges, plan: Plan, report: Report) -> str | None:
    """A message if a run has processed the pages of the settings without reaching the source's end."""
    if not plan.reads_to_end(edges.source) or report.source_ended:
        return None
    if report.first_page == 1 and report.total is not None and report.reading.received >= report.total:
        return None  # it has read all that the source says it has
    return f"page {plan.pages}: the source may have more pages than SOURCE_PAGES"


def _remove_departed(edges: Edges, plan: Plan, report: Report, of_other_pages: int = 0) -> None:
    """After a complete run, whom the source no longer has. The report counts all of them but those whom other
    pages of a queued run removed."""
    is_complete = report.status == "succeeded" and plan.reads_to_end(edges.source) and not report.since
    if not is_complete or not plan.retention_days:
        return
    before = -1
    try:
        while before < report.departed and time.monotonic() < plan.until:
            before = report.departed
            in_all, uids = edges.store.remove_departed(report.run_id, plan.retention_days)
            report.departed = in_all - of_other_pages
            edges.cache.drop_users(uids)
    except StoreError as error:  # the run has succeeded all the same; the next one tries again
        _log.error("run %s: people who have left were not removed: %s", report.run_id, error)


def _status_on_error(error: DecantError) -> Status:
    """An external cause (the source, the time limit, a stop signal) makes a run partial, which the ledger
    turns into failed if no page was loaded. Any other error but a lost lease, such as a defect or a page over
    the reject budget, makes it failed."""
    if isinstance(error, LeaseLost):
        return "lost"
    return "partial" if isinstance(error, SourceError | TimeUp | Stopped) else "failed"


def _log_findings(report: Report) -> None:
    """Logs, once per run (for a queued run: once per page), what was not stored, and why."""
    if report.unknown_fields:
        names = ", ".join(sorted(report.unknown_names)[:_MOST_LOGGED])
        text = "run %s dropped %s fields that are not in the dialect%s"
        _log.warning(text, report.run_id, report.unknown_fields, names and f": {names}")
    if report.withheld:
        found = ", ".join(f"{column} {count}" for column, count in sorted(report.withheld.items()))
        text = "run %s withheld kept texts that hold an e-mail address or a long number: %s"
        _log.warning(text, report.run_id, found)
    if report.rejects_by_rule:
        rules = report.rejects_by_rule.most_common(_MOST_LOGGED)
        found = ", ".join(f"{path or '(record)'} {rule} {count}" for (path, rule), count in rules)
        _log.warning("run %s rejected records: %s", report.run_id, found)
