"""The run: extract, validate, clean, protect, load, cache; page by page, each with its own commit.

The edges arrive as arguments. The ledger knows of a run before its first fetch, and of whatever ends it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from itertools import count

from chalicelib import opening
from chalicelib.edges import Edges, Plan
from chalicelib.errors import DecantError, LeaseLost, SourceError, Stopped, TimeUp, Unforeseen
from chalicelib.ledger import Ending, Opening, Report
from chalicelib.loading import Loads
from chalicelib.prepare import prepare

_log = logging.getLogger("decant.pipeline")

_LEAST_RESERVE_SECONDS = 5.0  # for a page that takes longer than those before it

_MOST_NAMES = 20


def no_progress(done: int, planned: int, report: Report) -> None:
    pass


OnPage = Callable[[int, int, Report], None]


def work(edges: Edges, plan: Plan, report: Report, on_page: OnPage = no_progress) -> Report:
    """Works an open run's pages in turn. A failure that is told in the ledger is not raised.

    Raises StoreError if the ledger itself cannot be written, Unforeseen for a defect, Stopped if it was.
    """
    started = time.monotonic()
    if report.status == "running":
        _work(edges, plan, report, on_page)
        _tell_unknown(report)
    report.seconds = time.monotonic() - started
    _log.info("run %s %s: %s pages, %s records", report.run_id, report.status, report.pages, report.fetched)
    return report


def run(edges: Edges, plan: Plan, on_page: OnPage = no_progress) -> Report:
    """Opens a run and works it; see ``work``."""
    size = None if plan.replay_of else plan.page_size
    wanted = Opening(edges.source.name, plan.trigger, plan.pages, size, plan.replay_of)
    report = opening.open_run(edges.store, edges.tokeniser, wanted)
    return work(edges, plan, report, on_page)


def work_queued(edges: Edges, plan: Plan, run_id: str, page: int) -> Report:
    """Works one page of a queued run, unless it is loaded already, and ends the run after its last page.

    The report counts this page alone, with the run's status. Raises what kept the page from being loaded.
    """
    started = time.monotonic()
    report = Report(run_id, "running")
    if edges.store.claim_page(run_id, page):
        error = _caught(lambda: _work_page(edges, plan, page, report))
        _tell_unknown(report)
        if error:
            raise error
    report.status = edges.store.end_page(run_id, report.timings) or "ended"
    report.seconds = time.monotonic() - started
    return report


def _work(edges: Edges, plan: Plan, report: Report, on_page: OnPage) -> None:
    error = _caught(lambda: _work_pages(edges, plan, report, on_page))
    if error is None:
        report.status, report.error = _status_at_end(edges, plan, report)
    else:
        report.status, report.error = _status_after(error, report), str(error)
        if isinstance(error, TimeUp) and plan.trigger == "schedule":
            report.next_page = error.page
            report.error += "; the next scheduled run goes on there"
    ending = Ending(report.status, report.error, report.timings, report.next_page)
    counts = edges.store.finish_run(report.run_id, ending)
    if counts:
        report.settle(counts)
    else:
        report.status = "lost"
    if isinstance(error, Unforeseen | Stopped):
        raise error


def _caught(work: Callable[[], None]) -> DecantError | None:
    """How a piece of work failed, if it did. The run's one boundary: what nobody foresaw may hold a value."""
    try:
        work()
    except DecantError as error:
        error.__context__ = None  # another page may have failed beside it, with a value in its text
        return error
    except Exception as error:  # noqa: BLE001
        return Unforeseen(error)
    return None


def _work_pages(edges: Edges, plan: Plan, report: Report, on_page: OnPage) -> None:
    """Prepares each page while the one before it is being loaded."""
    pages, done, slowest = _pages(edges, plan, report), count(1), _LEAST_RESERVE_SECONDS
    with Loads(edges, report, lambda: on_page(next(done), len(pages), report)) as loads:
        for page in pages:
            began = time.monotonic()
            _heed_time(plan, pages, page, 2 * slowest)
            load = prepare(edges, plan, page, report)
            loads.end()
            slowest = max(slowest, time.monotonic() - began)
            _heed_time(plan, pages, page, slowest)
            if load:
                loads.begin(load)
            if report.source_ended:
                break


def _heed_time(plan: Plan, pages: Sequence[int], page: int, wanted_seconds: float) -> None:
    """Raises TimeUp unless so much time is left, or this is the first page."""
    if page != pages[0] and time.monotonic() + wanted_seconds > plan.until:
        raise TimeUp(page)


def _work_page(edges: Edges, plan: Plan, page: int, report: Report) -> None:
    with Loads(edges, report) as loads:
        if load := prepare(edges, plan, page, report):
            if page == plan.pages and edges.source.dialect.ends:
                edges.store.note_unread(report.run_id, _unread(edges, plan, report))
            loads.begin(load)


def _pages(edges: Edges, plan: Plan, report: Report) -> Sequence[int]:
    if plan.replay_of:
        return edges.store.sealed_pages(plan.replay_of)
    return range(report.first_page, plan.pages + 1)


def _status_at_end(edges: Edges, plan: Plan, report: Report) -> tuple[str, str | None]:
    if plan.replay_of and edges.store.sealed_pages(plan.replay_of):
        return "partial", "QUARANTINE_KEY does not open all that is sealed; what it does not stays"
    unread = _unread(edges, plan, report)
    return ("partial", unread) if unread else ("succeeded", None)


def _unread(edges: Edges, plan: Plan, report: Report) -> str | None:
    """What there is to say of a scheduled run that has worked all its pages and not met the source's end."""
    if plan.trigger != "schedule" or not edges.source.dialect.ends or report.source_ended:
        return None
    return f"page {plan.pages}: the source may go on, but SOURCE_PAGES does not"


def _status_after(error: DecantError, report: Report) -> str:
    """What ends a run from without leaves a part, if the ledger has one; a defect, or a page over the reject
    budget, fails it."""
    _log.error("run %s: %s", report.run_id, error)
    if isinstance(error, LeaseLost):
        return "lost"
    return "partial" if isinstance(error, SourceError | TimeUp | Stopped) else "failed"


def _tell_unknown(report: Report) -> None:
    """Names what the source added, once for a run (over the queue: for a page)."""
    if not report.unknown_fields:
        return
    names = sorted(report.unknown_names)[:_MOST_NAMES]
    told = f": {', '.join(names)}" if names else ""
    fields = report.unknown_fields
    _log.warning("run %s dropped %s fields that are not in the contract%s", report.run_id, fields, told)
