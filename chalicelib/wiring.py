"""Builds the real objects, each once per container and on first use.

Imports late: an HTTP Lambda never loads pandas, and one that answers without Redis never loads its client.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from chalicelib import config
from chalicelib.errors import AwsError, ConfigError, DecantError, StoreError
from chalicelib.views import Health, ServerHealth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chalicelib.cache import Cache
    from chalicelib.ledger import Report, Trigger
    from chalicelib.pipeline import Edges, Plan
    from chalicelib.privacy import Tokeniser
    from chalicelib.sources.client import Source
    from chalicelib.store import Store

T = TypeVar("T")

_building = threading.RLock()
_log = logging.getLogger("decant.wiring")


class _Once(Generic[T]):
    """A function that is called once, however many threads come at once; forgets on demand."""

    def __init__(self, build: Callable[[], T]) -> None:
        self._build, self.built = build, list[T]()

    def __call__(self) -> T:
        if not self.built:
            with _building:
                if not self.built:
                    self.built.append(self._build())
        return self.built[0]


@_Once
def settings() -> config.Settings:
    return config.read()


@_Once
def store() -> Store:
    from chalicelib.store import Store

    return Store(settings().database_url)


@_Once
def cache() -> Cache:
    """The cache in front of the store: what single people are read from."""
    from chalicelib.cache import Cache

    return Cache(settings().redis_url, store(), settings().cache_ttl_seconds)


@_Once
def tokeniser() -> Tokeniser:
    from chalicelib.privacy import Tokeniser

    return Tokeniser(settings().pii_keys)


@_Once
def source() -> Source:
    from chalicelib.sources import random_data_api, randomuser
    from chalicelib.sources.client import Source

    dialects = {module.DIALECT.name: module for module in (random_data_api, randomuser)}
    module = dialects.get(settings().source_dialect)
    if module is None:
        raise ConfigError("SOURCE_DIALECT", f"must be one of {', '.join(dialects)}")
    return Source(settings().source_url, module.DIALECT, module.query)


def run_ingest(
    trigger: Trigger,
    pages: int | None = None,
    page_size: int | None = None,
    on_page: Callable[[int, int, Report], None] | None = None,
) -> Report:
    """One run over the real edges, now; pages and page size are the settings' unless given."""
    from chalicelib import pipeline

    return pipeline.run(_edges(), _plan(trigger, pages, page_size), on_page or pipeline.no_progress)


def start_run(pages: int | None, page_size: int | None) -> Report:
    """Opens a run and returns at once; its pages are worked by the ``ingest`` Lambda, or by a thread."""
    from chalicelib.ledger import Report
    from chalicelib.privacy import contract_hash

    trigger: Trigger = "backfill" if pages else "manual"
    planned = pages or settings().source_pages
    opened = store().open_run(source().name, trigger, planned, contract_hash(), tokeniser().version)
    if opened.status == "running":
        _hand_over({"run_id": opened.run_id, "trigger": trigger, "pages": planned, "page_size": page_size})
    return Report(opened.run_id, opened.status)


def ingest(order: Mapping[str, Any]) -> Report:
    """Works the open run that ``start_run`` ordered, or, without an order, a scheduled one."""
    from chalicelib import pipeline, telemetry
    from chalicelib.ledger import Report

    if "run_id" in order:
        plan = _plan(order["trigger"], order["pages"], order["page_size"])
        report = pipeline.work(_edges(), plan, Report(order["run_id"], "running"))
    else:
        report = run_ingest("schedule")
    telemetry.ran(report)
    return report


def _ingest_alone(order: Mapping[str, Any]) -> None:
    """The thread's own boundary; the errors of a run hold no value."""
    try:
        ingest(order)
    except DecantError as error:
        _log.error("run %s: %s", order["run_id"], error)


def health() -> Health:
    """Whether Postgres and Redis answer; Postgres' absence is an answer here, not an error."""
    try:
        age, postgres = store().last_success_age(), True
    except StoreError:
        age, postgres = None, False
    redis = cache().is_up()
    status = "ok" if postgres and redis else "degraded" if postgres else "down"
    return Health(status, ServerHealth(postgres), ServerHealth(redis), cache().stats(), age)


def _hand_over(order: dict[str, Any]) -> None:
    function = config.function_name()
    if function is None:
        threading.Thread(target=_ingest_alone, args=(order,), name="run", daemon=True).start()
        return
    from chalicelib import aws

    try:
        aws.invoke_later(f"{function}-ingest", aws.scheduled_event(order))
    except AwsError as error:
        store().finish_run(order["run_id"], "failed", str(error), {})
        raise


def _edges() -> Edges:
    from chalicelib.pipeline import Edges

    return Edges(source(), store(), cache(), tokeniser())


def _plan(trigger: Trigger, pages: int | None, page_size: int | None) -> Plan:
    from chalicelib.pipeline import Plan

    return Plan(
        trigger,
        pages or settings().source_pages,
        page_size or settings().source_page_size,
        settings().max_reject_ratio,
    )


def reset() -> None:
    """Closes what was built and forgets it, so that changed settings take effect."""
    edges: tuple[_Once[Any], ...] = (source, cache, store)
    for edge in (built for once in edges for built in once.built):
        edge.close()
    for once in (*edges, tokeniser, settings):
        once.built.clear()
