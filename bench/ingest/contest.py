"""The ways that take part in an ingest, and their results: records per second."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module

from bench.ingest.pages import Pages, pages_of
from bench.ingest.way import Way
from bench.rounds import Turns, take_turns
from bench.servers import Servers

# Each way's module, class, and name in the table. Modules are imported on demand: importing dlt is slow.
WAYS = {
    "tutorial": ("tutorial", "Tutorial", "the tutorial way: one connection and one INSERT a row"),
    "dlt": ("dlt_merge", "DltMerge", "dlt, merge"),
    "dlt-complete": ("dlt_merge", "DltComplete", "dlt, merge, HMACs, Redis pipeline"),
    "dlt-pages": ("dlt_merge", "DltByPage", "dlt, merge, a commit for each page"),
    "dlt-csv": ("dlt_merge", "DltCsv", "dlt, merge, with its CSV loader"),
    "to-sql": ("to_sql", "ToSql", "pandas `to_sql`, no hashing, no cache"),
    "by-hand": ("by_hand", "ByHand", "hand-written `execute_values` upsert, HMACs, Redis pipeline"),
    "decant": ("decant", "Decant", "**Decant**"),
    "decant-bad": ("decant", "Decant", "Decant, one record in a hundred invalid"),
    "decant-again": ("decant", "DecantAgain", "Decant, the same pages again"),
    "ceiling": ("ceiling", "Ceiling", "the ceiling: prepared rows and cache entries"),
}
NAMES = {way: name for way, (_, _, name) in WAYS.items()}
_BAD = 0.01


@dataclass(frozen=True)
class Result:
    """The result of one way for ``records`` records in pages of ``page_size``; see ``Way`` for ``steps``."""

    way: str
    records: int
    page_size: int
    turns: Turns
    steps: Mapping[str, float]

    @property
    def rate(self) -> float:
        """Records per second, from the median turn."""
        return self.records / self.turns.median

    @property
    def rates(self) -> tuple[float, float]:
        """Records per second of the slowest and the fastest turn."""
        fastest, slowest = self.turns.spread
        return self.records / slowest, self.records / fastest

    def times_as_fast_as(self, other: "Result") -> float:
        """How many times as many records per second as another way: the median of the rounds' ratios."""
        return other.turns.ratio_to(self.turns) * self.records / other.records


def contest(
    servers: Servers, records: int, page_size: int, rounds: int, names: Sequence[str]
) -> list[Result]:
    """Lets these ways take turns. ``page_size`` is capped at the number of records."""
    page_size = min(page_size, records)
    clean = pages_of(records, page_size)
    with contextlib.ExitStack() as opened:
        ways = {name: _way(name)(servers, _pages(name, clean)) for name in names}
        for way in ways.values():
            opened.callback(way.close)
        turns = take_turns(ways, rounds)
    return [Result(name, way.records, page_size, turns[name], way.steps) for name, way in ways.items()]


def _way(name: str) -> Callable[[Servers, Pages], Way]:
    module, kind, _ = WAYS[name]
    found: Callable[[Servers, Pages], Way] = getattr(import_module(f"bench.ingest.{module}"), kind)
    return found


def _pages(name: str, clean: Pages) -> Pages:
    return pages_of(clean.records, clean.page_size, _BAD) if name == "decant-bad" else clean
