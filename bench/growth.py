"""Whether anything gets slower as rows accumulate: one process ingests up to a million people.

At each stage it measures a page, a hot read and two lists, and reads the process's peak memory so far.
"""

import contextlib
import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from importlib import import_module
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Any

from bench import events, settings
from bench.ingest.decant import Decant
from bench.ingest.pages import Pages, records_of
from bench.ingest.way import WrongResult
from bench.placement import PLACES, placed
from bench.read.output import as_in_a_lambda
from bench.rounds import seconds_of
from bench.servers import Servers
from chalicelib import pipeline
from chalicelib.edges import Edges, Plan
from chalicelib.store import Store
from chalicelib.users import MAX_PAGE_SIZE
from local import people

SIZES = (1_000, 10_000, 100_000, 1_000_000)

_PAGE, _PAGES, _CALLS, _LISTED = 1_000, 5, 300, 50
_DEEP = "e0000000-0000-4000-8000-000000000000"  # seven eighths of all uids sort before it


@dataclass(frozen=True)
class Stage:
    """Times in seconds with ``stored`` people in the database, and the peak memory until then in MB."""

    stored: int
    page: float
    hot: float
    first_list: float
    deep_list: float
    peak_mb: float


def stages(servers: Servers, sizes: Sequence[int]) -> list[Stage]:
    """Runs in a process of its own, so that its memory is that of an ingest alone."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as alone:
        return alone.submit(_stages, servers, sizes).result()


def _stages(servers: Servers, sizes: Sequence[int]) -> list[Stage]:
    os.environ.update(settings.of(servers))
    servers.empty()
    with contextlib.closing(_Growing(servers)) as growing, as_in_a_lambda():
        return [growing.stage(size) for size in sizes]


class _People:
    """A source of people who are always new. Invents each page on fetch, unless one is ready."""

    def __init__(self, dialect: Any) -> None:
        self.name, self.dialect, self.ready = "random-data-api http://growth", dialect, list[bytes]()
        self._invented = 0

    def fetch(self, page: int, size: int, cursor: object = None) -> bytes:
        return self.ready.pop() if self.ready else self.invent(size)

    def invent(self, size: int) -> bytes:
        self._invented += 1
        return people.random_data_api(people.Page("growth", self._invented, size, 0.0))


class _Growing:
    """A database that Decant's own runs fill."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers
        self._decant = Decant(servers, Pages([], 1, 0, 0))
        edges = self._decant.edges
        self._source = _People(edges.source.dialect)
        self._edges = Edges(self._source, edges.store, edges.cache, edges.tokeniser)
        self._store = Store(servers.database_url)
        self._stored = 0

    def stage(self, size: int) -> Stage:
        """Grows the database to this size, in the largest pages allowed, and measures."""
        page_size = min(MAX_PAGE_SIZE, size - self._stored)
        self._run((size - self._stored) // page_size, page_size)
        stored, peak_mb = self._stored, _peak_mb()
        bodies = [self._source.invent(_PAGE) for _ in range(_PAGES)]
        self._source.ready += bodies
        pages = [seconds_of(lambda: self._run(1, _PAGE)) for _ in bodies]
        event = events.get_user(records_of(bodies[0])[-1]["uid"])
        handler, context = import_module("app").app, events.Context()
        with placed(self._servers, PLACES[0]):
            return Stage(
                stored,
                median(pages),
                _typical(lambda: handler(event, context)),
                _typical(lambda: self._store.list_users(_LISTED, None, {})),
                _typical(lambda: self._store.list_users(_LISTED, _DEEP, {})),
                peak_mb,
            )

    def close(self) -> None:
        self._store.close()
        self._decant.close()

    def _run(self, pages: int, page_size: int) -> None:
        report = pipeline.run(self._edges, Plan("backfill", pages, page_size, max_reject_ratio=0.2))
        if report.status != "succeeded":
            raise WrongResult(f"the run ended {report.status}: {report.error}")
        self._stored += report.inserted


def _typical(ask: Callable[[], Any]) -> float:
    return median(seconds_of(ask) for _ in range(_CALLS))


def _peak_mb() -> float:
    """This process's peak resident memory; the value of getrusage would start at its parent's."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    return int(found[1]) / 1024 if found else float("nan")


def markdown(found: Sequence[Stage]) -> str:
    """A Markdown table."""
    lines = [
        f"| people stored | a page of {_PAGE:,}, ms | a hot read, µs | first list of {_LISTED}, µs "
        f"| deep list of {_LISTED}, µs | peak memory, MB |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {stage.stored:,} | {stage.page * 1e3:,.0f} | {stage.hot * 1e6:,.0f} "
        f"| {stage.first_list * 1e6:,.0f} | {stage.deep_list * 1e6:,.0f} | {stage.peak_mb:,.0f} |"
        for stage in found
    ]
    return "\n".join(lines)
