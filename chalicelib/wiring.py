"""Builds the real objects, each once per container and on first use.

Imports late: an HTTP Lambda never loads pandas, and one that answers without Redis never loads its client.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from chalicelib import config
from chalicelib.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.cache import Cache
    from chalicelib.ledger import Report, Trigger
    from chalicelib.privacy import Tokeniser
    from chalicelib.sources.client import Source
    from chalicelib.store import Store


@cache
def settings() -> config.Settings:
    return config.read()


@cache
def store() -> Store:
    from chalicelib.store import Store

    return Store(settings().database_url)


@cache
def people() -> Cache:
    """The cache in front of the store: what single people are read from."""
    from chalicelib.cache import Cache

    return Cache(settings().redis_url, store(), settings().cache_ttl_seconds)


@cache
def tokeniser() -> Tokeniser:
    from chalicelib.privacy import Tokeniser

    return Tokeniser(settings().pii_keys)


@cache
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
    """One run over the real edges; pages and page size are the settings' unless given."""
    from chalicelib import pipeline

    plan = pipeline.Plan(
        trigger,
        pages or settings().source_pages,
        page_size or settings().source_page_size,
        settings().max_reject_ratio,
    )
    edges = pipeline.Edges(source(), store(), people(), tokeniser())
    return pipeline.run(edges, plan, on_page or pipeline.no_progress)


def reset() -> None:
    """Closes what was built and forgets it, so that changed settings take effect."""
    edges: tuple[Any, ...] = (source, people, store)
    for edge in edges:
        if edge.cache_info().currsize:
            edge().close()
    for build in (*edges, tokeniser, settings):
        build.cache_clear()
