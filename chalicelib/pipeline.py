"""The run: extract, validate, clean, protect, load, cache; page by page, each with its own commit.

The edges arrive as arguments. The ledger knows of a run before its first fetch, and of whatever ends it.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from json import JSONDecodeError
from typing import Any, Protocol

from chalicelib import privacy, views
from chalicelib.clean import clean
from chalicelib.errors import (
    DecantError,
    LeaseLost,
    RejectBudgetExceeded,
    SourceError,
    SourceInvalid,
    Unforeseen,
)
from chalicelib.ledger import Loaded, OpenRun, PageLoad, RejectRow, Report, Trigger
from chalicelib.users import Dialect
from chalicelib.validation import ValidPage, validate

_log = logging.getLogger("decant.pipeline")


class Source(Protocol):
    """Where pages come from."""

    name: str
    dialect: Dialect[Any]

    def fetch(self, page: int, size: int) -> bytes: ...


class Store(Protocol):
    """Where pages go, and the ledger."""

    def open_run(
        self, source: str, trigger: str, pages: int, contract_hash: str, key_version: int
    ) -> OpenRun: ...
    def load_page(self, load: PageLoad) -> Loaded: ...
    def note_rejects(self, run_id: str, page: int, rejects: Sequence[RejectRow]) -> None: ...
    def finish_run(
        self, run_id: str, status: str, error: str | None, timings: Mapping[str, float]
    ) -> bool: ...


class Cache(Protocol):
    """Where recent people are at hand."""

    def put_users(self, bodies: Mapping[str, bytes], versions: Mapping[str, int]) -> None: ...


@dataclass(frozen=True)
class Edges:
    source: Source
    store: Store
    cache: Cache
    tokeniser: privacy.Tokeniser


@dataclass(frozen=True)
class Plan:
    """How much to fetch, at whose wish, and the share of a page that may be invalid."""

    trigger: Trigger
    pages: int
    page_size: int
    max_reject_ratio: float


def no_progress(done: int, planned: int, report: Report) -> None:
    pass


OnPage = Callable[[int, int, Report], None]


def open_run(edges: Edges, plan: Plan) -> Report:
    """Enters a run into the ledger; its status is ``skipped`` if another of the source is under way."""
    opened = edges.store.open_run(
        edges.source.name, plan.trigger, plan.pages, privacy.contract_hash(), edges.tokeniser.version
    )
    return Report(opened.run_id, opened.status)


def work(edges: Edges, plan: Plan, report: Report, on_page: OnPage = no_progress) -> Report:
    """Works an open run's pages in turn. A failure that is told in the ledger is not raised.

    Raises StoreError if the ledger itself cannot be written, Unforeseen for a defect.
    """
    started = time.monotonic()
    if report.status == "running":
        _work(edges, plan, report, on_page)
    report.seconds = time.monotonic() - started
    _log.info("run %s %s: %s pages, %s records", report.run_id, report.status, report.pages, report.fetched)
    return report


def run(edges: Edges, plan: Plan, on_page: OnPage = no_progress) -> Report:
    """Opens a run and works it; see ``work``."""
    return work(edges, plan, open_run(edges, plan), on_page)


def _work(edges: Edges, plan: Plan, report: Report, on_page: OnPage) -> None:
    defect: Unforeseen | None = None
    try:
        for page in range(1, plan.pages + 1):
            _work_page(edges, plan, page, report)
            on_page(page, plan.pages, report)
        report.status = "succeeded"
    except DecantError as error:
        report.status, report.error = _status_after(error, report), str(error)
    except Exception as error:  # noqa: BLE001  the run's one boundary: what nobody foresaw may hold a value
        defect = Unforeseen(error)
        report.status, report.error = "failed", str(defect)
    if not edges.store.finish_run(report.run_id, report.status, report.error, report.timings):
        report.status = "lost"
    if defect:
        raise defect


def _status_after(error: DecantError, report: Report) -> str:
    """A source that gave out midway leaves a part; a page over the reject budget fails the run."""
    _log.error("run %s: %s", report.run_id, error)
    if isinstance(error, LeaseLost):
        return "lost"
    return "partial" if isinstance(error, SourceError) and report.pages else "failed"


def _work_page(edges: Edges, plan: Plan, page: int, report: Report) -> None:
    with _timed(report, "fetch"):
        body = edges.source.fetch(page, plan.page_size)
    with _timed(report, "validate"):
        valid = _validated(body, edges.source.dialect, page)
    rejects = [
        RejectRow(reject.position, reject.issues, edges.tokeniser.fingerprint(reject.raw))
        for reject in valid.rejects
    ]
    report.rejects_by_rule.update((issue.path, issue.rule) for row in rejects for issue in row.issues)
    if len(rejects) / valid.fetched > plan.max_reject_ratio:
        edges.store.note_rejects(report.run_id, page, rejects)
        raise RejectBudgetExceeded(page, len(rejects), valid.fetched)
    with _timed(report, "clean"):
        cleaned = clean(valid.users)
    with _timed(report, "protect"):
        columns = privacy.protect(cleaned.columns, edges.tokeniser)
        erasure_tokens = privacy.erasure_tokens(columns["uid"], edges.tokeniser)
    with _timed(report, "load"):
        loaded = edges.store.load_page(
            PageLoad(
                report.run_id,
                page,
                columns,
                erasure_tokens,
                rejects,
                cleaned.duplicates,
                edges.tokeniser.version,
            )
        )
    report.add(loaded, valid.fetched, cleaned.duplicates)
    with _timed(report, "cache"):
        edges.cache.put_users(views.user_bodies(columns, loaded.versions, loaded.updated_at), loaded.versions)


def _validated(body: bytes, dialect: Dialect[Any], page: int) -> ValidPage:
    try:
        valid = validate(body, dialect, datetime.now(UTC).date())
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
