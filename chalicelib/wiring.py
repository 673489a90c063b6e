"""Builds the real objects, each once per container and on first use.

Imports late: an HTTP Lambda never loads pandas, and one that answers without Redis never loads its client.
"""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any

from chalicelib import config
from chalicelib.errors import AwsError, ConfigError, StoreError
from chalicelib.views import Health, ServerHealth

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from chalicelib.cache import Cache
    from chalicelib.ledger import Report, Trigger
    from chalicelib.pipeline import Edges, Plan
    from chalicelib.privacy import Tokeniser
    from chalicelib.sources.client import Source
    from chalicelib.store import Store


@functools.cache
def settings() -> config.Settings:
    return config.read()


@functools.cache
def store() -> Store:
    from chalicelib.store import Store

    return Store(settings().database_url)


@functools.cache
def cache() -> Cache:
    """The cache in front of the store: what single people are read from."""
    from chalicelib.cache import Cache

    return Cache(settings().redis_url, store(), settings().cache_ttl_seconds)


@functools.cache
def tokeniser() -> Tokeniser:
    from chalicelib.privacy import Tokeniser

    return Tokeniser(settings().pii_keys)


@functools.cache
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
    if "run_id" not in order:
        return run_ingest("schedule")
    from chalicelib import pipeline
    from chalicelib.ledger import Report

    plan = _plan(order["trigger"], order["pages"], order["page_size"])
    return pipeline.work(_edges(), plan, Report(order["run_id"], "running"))


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
        threading.Thread(target=ingest, args=(order,), name="run", daemon=True).start()
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
    edges: tuple[Any, ...] = (source, cache, store)
    for edge in edges:
        if edge.cache_info().currsize:
            edge().close()
    for build in (*edges, tokeniser, settings):
        build.cache_clear()
