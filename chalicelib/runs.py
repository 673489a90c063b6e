"""Starts runs over the real edges: now, on request, or on schedule.

Imports the pipeline, the edges and aws late: an HTTP Lambda starts runs, but never loads pandas.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from typing import TYPE_CHECKING, Any

from chalicelib import background, config, telemetry, wiring
from chalicelib.errors import ConfigError, DecantError, RequestError
from chalicelib.ledger import Ending
from chalicelib.opening import open_run
from chalicelib.privacy import refuse_wrong_keys
from chalicelib.report import Report

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from chalicelib.edges import Edges, OnPage, Plan, Source
    from chalicelib.ledger import Trigger
    from chalicelib.views import Run

_log = logging.getLogger("decant.runs")


def run_ingest(
    trigger: Trigger,
    pages: int | None = None,
    page_size: int | None = None,
    on_page: OnPage | None = None,
) -> Report:
    """Runs once, now. Pages and page size come from the settings unless given."""
    return _run(_plan(trigger, pages, page_size), on_page)


def replay(run_id: str, on_page: OnPage | None = None) -> Report:
    """Puts a run's sealed rejects through today's rules, now. Raises RequestError if there is no such run."""
    return _run(_plan("replay", len(_sealed_pages(run_id)), None, run_id), on_page)


def start_run(pages: int | None, page_size: int | None, replay_of: str | None) -> Report:
    """Opens a run and returns at once; the ``ingest`` Lambda (outside AWS: a thread) processes its pages."""
    if replay_of and (pages or page_size):
        raise RequestError(400, "Malformed body", "a replay takes neither pages nor page_size")
    trigger: Trigger = "replay" if replay_of else "backfill" if pages else "manual"
    planned = len(_sealed_pages(replay_of)) if replay_of else pages or wiring.settings().source_pages
    plan, source = _plan(trigger, planned, page_size, replay_of), wiring.source()
    request = plan.request(source, queued=not replay_of and _is_for_the_queue(source, planned))
    report = open_run(wiring.store(), wiring.tokeniser(), request, source.dialect.custom)
    try:
        if report.status == "running":
            with _recording_failure(report):
                _hand_over({"run_id": report.run_id})
    finally:
        if report.status == "failed":
            telemetry.log_run(report)
    return report


def ingest(order: Mapping[str, Any], context: Any = None) -> Report:
    """Processes the run that ``start_run`` opened, or else a scheduled one, within the Lambda's time limit.

    For a queued run it only sends the messages; ``ingest_page`` processes its pages.
    """
    until = time.monotonic() + _seconds_left(context)
    return _run_opened(order["run_id"], until) if "run_id" in order else _run_scheduled(until)


def ingest_page(message: Mapping[str, Any], receives: int) -> Report:
    """Processes the page that a queue message names; ``receives`` is how often the message was delivered.

    A page that fails goes back to the queue; after its last try the ledger records that it was given up.
    """
    report, page = Report(message["run_id"], "running", queued=True), message["page"]
    with _logged(report):
        try:
            _work_queued(report, page)
        except DecantError as error:
            _log.error("run %s, page %s: %s", report.run_id, page, error)
            from chalicelib import aws, pipeline

            if receives >= aws.max_receive_count(_queue_url()):
                wiring.store().fail_page(report.run_id, page, str(error))
                report.error = str(error)
                pipeline.finish_page(wiring.store(), report)
            raise
    return report


def _work_queued(report: Report, page: int) -> None:
    from chalicelib import pipeline

    run = wiring.store().get_run(report.run_id)
    if run is None:
        report.status = "ended"
        return
    edges = _edges()
    _refuse_changed_settings(edges, run)
    pipeline.work_queued(edges, _plan(run.trigger, run.pages_planned, run.page_size), report, page)


def _seconds_left(context: Any) -> float:
    """Unlimited outside Lambda: contexts of Chalice's emulators say three seconds whatever the timeout is."""
    return context.get_remaining_time_in_millis() / 1000 if config.function_name() else math.inf


def _run_scheduled(until: float) -> Report:
    from chalicelib import pipeline

    edges, plan = _edges(), _plan("schedule", None, None, until=until)
    request = plan.request(edges.source, _is_for_the_queue(edges.source, plan.pages))
    report = open_run(edges.store, edges.tokeniser, request, edges.source.dialect.custom)
    with _logged(report):
        if not report.queued:
            pipeline.work(edges, plan, report)
        elif report.status == "running":
            _queue_pages(report, plan.pages)
    return report


def _run_opened(run_id: str, until: float) -> Report:
    from chalicelib import pipeline

    run = wiring.store().get_run(run_id)
    if run is None or run.status != "running":
        report = Report(run_id, run.status if run else "lost")
        if report.status == "lost":  # the order came too late; otherwise twice, or the run was stopped
            telemetry.log_run(report)
        return report
    report = Report(run_id, "running", queued=run.queued, since=run.since, is_replay=bool(run.replay_of))
    with _logged(report):
        with _recording_failure(report):
            edges = _edges()
            _refuse_changed_settings(edges, run)
        if run.queued:
            _queue_pages(report, run.pages_planned)
        else:
            plan = _plan(run.trigger, run.pages_planned, run.page_size, run.replay_of, until)
            pipeline.work(edges, plan, report, background.stop_if_leaving)
    return report


def _refuse_changed_settings(edges: Edges, run: Run) -> None:
    """Raises ConfigError if the edges no longer fit an opened run: with another source, the wrong pages would
    be stored; and stored data may need other keys. (Settings may change at any moment, edges do not.)"""
    if run.source != edges.source.name:
        raise ConfigError("SOURCE_URL", "the run belongs to another source or dialect")
    refuse_wrong_keys(edges.store, edges.tokeniser)


@contextlib.contextmanager
def _logged(report: Report) -> Iterator[None]:
    """Writes the run's line however the block ends."""
    try:
        yield
    finally:
        telemetry.log_run(report)


@contextlib.contextmanager
def _recording_failure(report: Report) -> Iterator[None]:
    """If the block raises, records in the ledger that the run failed, and why."""
    try:
        yield
    except DecantError as error:
        report.status, report.error = "failed", str(error)
        wiring.store().finish_run(report.run_id, Ending("failed", report.error))
        raise


def _is_for_the_queue(source: Source, pages: int) -> bool:
    """Pages with cursors can only be worked one after the other."""
    settings = wiring.settings()
    is_long = settings.queue_url is not None and pages > settings.inline_pages
    return is_long and not source.dialect.paging.by_cursor


def _queue_pages(report: Report, pages: int) -> None:
    """Sends one message per page. On AwsError the run has failed, so pages sent before it have no effect."""
    from chalicelib import aws

    with _recording_failure(report):
        aws.send(_queue_url(), ({"run_id": report.run_id, "page": page} for page in range(1, pages + 1)))


def _queue_url() -> str:
    if url := wiring.settings().queue_url:
        return url
    raise ConfigError("QUEUE_URL", "is not set")


def _run(plan: Plan, on_page: OnPage | None) -> Report:
    from chalicelib import pipeline
    from chalicelib.edges import no_progress

    return pipeline.run(_edges(), plan, on_page or no_progress)


def _hand_over(order: dict[str, Any]) -> None:
    function = config.function_name()
    if function is None:
        background.start(order["run_id"], lambda: ingest(order))
        return
    from chalicelib import aws

    aws.invoke_later(f"{function}-ingest", aws.ingest_event(order))


def _edges() -> Edges:
    from chalicelib.edges import Edges

    return Edges(wiring.source(), wiring.store(), wiring.cache(), wiring.tokeniser(), wiring.quarantine())


def _plan(
    trigger: Trigger,
    pages: int | None,
    page_size: int | None,
    replay_of: str | None = None,
    until: float = math.inf,
) -> Plan:
    from chalicelib.edges import Plan

    settings = wiring.settings()
    return Plan(
        trigger=trigger,
        pages=settings.source_pages if pages is None else pages,
        page_size=page_size or settings.source_page_size,
        max_reject_ratio=1.0 if replay_of else settings.max_reject_ratio,  # a replay's records were rejects
        replay_of=replay_of,
        until=until,
        retention_days=settings.retention_days,
    )


def _sealed_pages(run_id: str) -> list[int]:
    """Raises RequestError if the run is unknown, or of another dialect: its records would be misread."""
    run = wiring.store().get_run(run_id)
    if run is None:
        raise RequestError(404, "Not found", "there is no such run to replay")
    if run.source.partition(" ")[0] != wiring.source().dialect.name:
        raise RequestError(
            409, "Another dialect", "the run to replay has another dialect than SOURCE_DIALECT"
        )
    return wiring.store().sealed_pages(run_id)
