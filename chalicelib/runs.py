"""Starting runs over the real edges: now, by order, or on schedule."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from chalicelib import config, wiring
from chalicelib.errors import AwsError, DecantError, RequestError
from chalicelib.ledger import Report
from chalicelib.opening import open_run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chalicelib.ledger import Trigger
    from chalicelib.pipeline import Edges, Plan

_log = logging.getLogger("decant.runs")


def run_ingest(
    trigger: Trigger,
    pages: int | None = None,
    page_size: int | None = None,
    on_page: Callable[[int, int, Report], None] | None = None,
) -> Report:
    """One run, now; pages and page size are the settings' unless given."""
    return _run(_plan(trigger, pages, page_size), on_page)


def replay(run_id: str, on_page: Callable[[int, int, Report], None] | None = None) -> Report:
    """Puts a run's sealed rejects through today's rules, now. Raises RequestError if there is no such run."""
    return _run(_plan_replay(run_id), on_page)


def start_run(pages: int | None, page_size: int | None, replay_of: str | None) -> Report:
    """Opens a run and returns at once; its pages are worked by the ``ingest`` Lambda, or by a thread."""
    trigger: Trigger = "replay" if replay_of else "backfill" if pages else "manual"
    planned = len(_sealed_pages(replay_of)) if replay_of else pages or wiring.settings().source_pages
    report = open_run(wiring.store(), wiring.tokeniser(), wiring.source().name, trigger, planned, replay_of)
    if report.status == "running":
        _hand_over(
            {
                "run_id": report.run_id,
                "trigger": trigger,
                "pages": planned,
                "page_size": page_size,
                "replay_of": replay_of,
            }
        )
    return report


def ingest(order: Mapping[str, Any]) -> Report:
    """Works the open run that ``start_run`` ordered, or, without an order, a scheduled one."""
    from chalicelib import pipeline, telemetry

    if "run_id" in order:
        plan = _plan(order["trigger"], order["pages"], order["page_size"], order["replay_of"])
        report = pipeline.work(_edges(), plan, Report(order["run_id"], "running"))
    else:
        report = run_ingest("schedule")
    telemetry.ran(report)
    return report


def _run(plan: Plan, on_page: Callable[[int, int, Report], None] | None) -> Report:
    from chalicelib import pipeline

    return pipeline.run(_edges(), plan, on_page or pipeline.no_progress)


def _hand_over(order: dict[str, Any]) -> None:
    function = config.function_name()
    if function is None:
        threading.Thread(target=_ingest_alone, args=(order,), name="run", daemon=True).start()
        return
    from chalicelib import aws

    try:
        aws.invoke_later(f"{function}-ingest", aws.scheduled_event(order))
    except AwsError as error:
        wiring.store().finish_run(order["run_id"], "failed", str(error), {})
        raise


def _ingest_alone(order: Mapping[str, Any]) -> None:
    """The thread's own boundary; the errors of a run hold no value."""
    try:
        ingest(order)
    except DecantError as error:
        _log.error("run %s: %s", order["run_id"], error)


def _edges() -> Edges:
    from chalicelib.pipeline import Edges

    return Edges(wiring.source(), wiring.store(), wiring.cache(), wiring.tokeniser(), wiring.quarantine())


def _plan(trigger: Trigger, pages: int | None, page_size: int | None, replay_of: str | None = None) -> Plan:
    from chalicelib.pipeline import Plan

    settings = wiring.settings()
    return Plan(
        trigger,
        settings.source_pages if pages is None else pages,
        page_size or settings.source_page_size,
        1.0 if replay_of else settings.max_reject_ratio,  # they were all rejects before
        replay_of,
    )


def _plan_replay(run_id: str) -> Plan:
    return _plan("replay", len(_sealed_pages(run_id)), None, run_id)


def _sealed_pages(run_id: str) -> list[int]:
    """Raises RequestError if the run is unknown, or of another dialect: its records would be misread."""
    run = wiring.store().get_run(run_id)
    if run is None:
        raise RequestError(404, "Not found", "there is no such run to replay")
    if run.source.partition(" ")[0] != wiring.source().dialect.name:
        raise RequestError(
            409, "Another dialect", "the run to replay was not of the SOURCE_DIALECT that is set"
        )
    return wiring.store().sealed_pages(run_id)
