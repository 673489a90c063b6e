"""The run: extract, validate, clean, protect, load, cache; page by page, each with its own commit.

The edges arrive as arguments. The ledger knows of a run before its first fetch, and of whatever ends it.
"""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from json import JSONDecodeError
from typing import Any

from chalicelib import opening, privacy, views
from chalicelib.clean import clean
from chalicelib.dialect import Dialect
from chalicelib.edges import Edges, Plan
from chalicelib.errors import (
    ConfigError,
    DecantError,
    LeaseLost,
    RejectBudgetExceeded,
    SourceError,
    SourceInvalid,
    TimeUp,
    Unforeseen,
)
from chalicelib.ledger import PageLoad, RejectRow, Replay, Report
from chalicelib.replay import recalled
from chalicelib.validation import Reject, ValidPage, validate

_log = logging.getLogger("decant.pipeline")

_LEAST_RESERVE_SECONDS = 5.0  # for a page that takes longer than those before it

_MOST_NAMES = 20


def no_progress(done: int, planned: int, report: Report) -> None:
    pass


OnPage = Callable[[int, int, Report], None]


def work(edges: Edges, plan: Plan, report: Report, on_page: OnPage = no_progress) -> Report:
    """Works an open run's pages in turn. A failure that is told in the ledger is not raised.

    Raises StoreError if the ledger itself cannot be written, Unforeseen for a defect.
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
    name, pages = edges.source.name, plan.pages
    report = opening.open_run(edges.store, edges.tokeniser, name, plan.trigger, pages, plan.replay_of)
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
        report.status, report.error = _status_at_end(edges, plan)
    else:
        report.status, report.error = _status_after(error, report), str(error)
        report.next_page = error.page if isinstance(error, TimeUp) and not plan.replay_of else None
    ending = report.status, report.error, report.timings, report.next_page
    counts = edges.store.finish_run(report.run_id, *ending)
    if counts:
        report.settle(counts)
    else:
        report.status = "lost"
    if isinstance(error, Unforeseen):
        raise error


def _caught(work: Callable[[], None]) -> DecantError | None:
    """How a piece of work failed, if it did. The run's one boundary: what nobody foresaw may hold a value."""
    try:
        work()
    except DecantError as error:
        return error
    except Exception as error:  # noqa: BLE001
        return Unforeseen(error)
    return None


def _work_pages(edges: Edges, plan: Plan, report: Report, on_page: OnPage) -> None:
    slowest = _LEAST_RESERVE_SECONDS
    pages = _pages(edges, plan, report)
    for done, page in enumerate(pages, 1):
        began = time.monotonic()
        if done > 1 and began + 2 * slowest > plan.until:
            raise TimeUp(page)
        _work_page(edges, plan, page, report)
        slowest = max(slowest, time.monotonic() - began)
        on_page(done, len(pages), report)


def _pages(edges: Edges, plan: Plan, report: Report) -> Sequence[int]:
    if plan.replay_of:
        return edges.store.sealed_pages(plan.replay_of)
    return range(report.first_page, plan.pages + 1)


def _status_at_end(edges: Edges, plan: Plan) -> tuple[str, str | None]:
    if plan.replay_of and edges.store.sealed_pages(plan.replay_of):
        return "partial", "QUARANTINE_KEY does not open all that is sealed; what it does not stays"
    return "succeeded", None


def _status_after(error: DecantError, report: Report) -> str:
    """If source or time gave out after a page there is a part; one over the reject budget fails the run."""
    _log.error("run %s: %s", report.run_id, error)
    if isinstance(error, LeaseLost):
        return "lost"
    midway = isinstance(error, SourceError | TimeUp) and error.page > report.first_page
    return "partial" if midway else "failed"


def _work_page(edges: Edges, plan: Plan, page: int, report: Report) -> None:
    valid, replay = _extracted(edges, plan, page, report)
    if not valid.fetched:
        return
    rejects = [_reject_row(edges, report.run_id, page, reject) for reject in valid.rejects]
    report.rejects_by_rule.update((issue.path, issue.rule) for row in rejects for issue in row.issues)
    report.note_unknown(valid.unknown, valid.fetched)
    seal_days = edges.quarantine.days if edges.quarantine else 0
    if len(rejects) / valid.fetched > plan.max_reject_ratio:
        edges.store.note_rejects(report.run_id, page, rejects, seal_days)
        raise RejectBudgetExceeded(page, len(rejects), valid.fetched)
    with _timed(report, "clean"):
        cleaned = clean(valid.users)
    with _timed(report, "protect"):
        columns = privacy.protect(cleaned.columns, edges.tokeniser)
        erasure_tokens = privacy.erasure_tokens(columns["uid"], edges.tokeniser)
    load = PageLoad(
        report.run_id,
        page,
        columns,
        erasure_tokens,
        rejects,
        cleaned.duplicates,
        edges.tokeniser.in_use,
        seal_days,
        valid.unknown.total(),
        replay,
    )
    with _timed(report, "load"):
        loaded = edges.store.load_page(load)
    if loaded is None:
        return  # by somebody who was quicker, or by an earlier try whose answer got lost
    report.add(loaded, valid.fetched, cleaned.duplicates)
    with _timed(report, "cache"):
        edges.cache.put_users(views.user_bodies(columns, loaded.versions, loaded.updated_at), loaded.versions)


def _extracted(edges: Edges, plan: Plan, page: int, report: Report) -> tuple[ValidPage, Replay | None]:
    """A page of the source, or of the quarantine, sorted into valid users and rejects."""
    today = datetime.now(UTC).date()
    if plan.replay_of:
        if edges.quarantine is None:
            raise ConfigError("QUARANTINE_KEY", "is not set, so nothing that was sealed can be opened")
        with _timed(report, "validate"):
            return recalled(edges.store, edges.quarantine, edges.source.dialect, plan.replay_of, page, today)
    with _timed(report, "fetch"):
        body = edges.source.fetch(page, plan.page_size)
    with _timed(report, "validate"):
        return _validated(body, edges.source.dialect, page, today), None


def _reject_row(edges: Edges, run_id: str, page: int, reject: Reject) -> RejectRow:
    fingerprint = edges.tokeniser.fingerprint(reject.raw)
    if edges.quarantine is None:
        return RejectRow(reject.position, reject.issues, fingerprint)
    sealed = edges.quarantine.seal(reject.raw, run_id, page, reject.position)
    uid = edges.source.dialect.uid_of(reject.raw)
    tokens = edges.tokeniser.candidates("uid", uid) if uid else []
    return RejectRow(reject.position, reject.issues, fingerprint, sealed, tokens)


def _tell_unknown(report: Report) -> None:
    """Names what the source added, once for a run (over the queue: for a page)."""
    if not report.unknown_fields:
        return
    names = sorted(report.unknown_names)[:_MOST_NAMES]
    told = f": {', '.join(names)}" if names else ""
    fields = report.unknown_fields
    _log.warning("run %s dropped %s fields that are not in the contract%s", report.run_id, fields, told)


def _validated(body: bytes, dialect: Dialect[Any], page: int, today: date) -> ValidPage:
    try:
        valid = validate(body, dialect, today)
        problem = "" if valid.fetched else "no records"
    except (JSONDecodeError, RecursionError):
        problem = "the body is not JSON, or not all of it"
    except ValueError:
        problem = f"the body holds no list of records as {dialect.name} words it"
    if problem:
        raise SourceInvalid(page, problem)  # outside the except clauses, whose errors may hold a value
    return valid


@contextmanager
def _timed(report: Report, step: str) -> Iterator[None]:
    started = time.perf_counter()
    try:
        yield
    finally:
        spent = (time.perf_counter() - started) * 1000
        report.timings[step] = round(report.timings.get(step, 0.0) + spent, 3)
