"""Searches the sinks, and records what was searched and found."""

from bisect import bisect
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from hashlib import blake2b
from itertools import accumulate
from typing import NamedTuple

from tests.leaks.canaries import Canaries
from tests.leaks.search import Haystack
from tests.leaks.sinks import SINKS, Place, Sink
from tests.leaks.system import System

_MOST_SHOWN = 20


class Leak(NamedTuple):
    """What was found, and where."""

    sink: str
    place: str
    what: str
    excerpt: str


@dataclass
class Row:
    """The figures of one sink."""

    searches: int = 0
    places: int = 0
    bytes: int = 0
    leaks: int = 0
    planted: int = 0


class Report:
    """What was searched and found so far, by sink."""

    def __init__(self) -> None:
        self.rows = {name: Row() for name in SINKS}
        self.needles = 0

    def lines(self) -> Iterator[str]:
        yield f"{'sink':<38}{'searches':>9}{'places':>9}{'KiB':>11}{'leaks':>7}{'planted, found':>16}"
        for name, row in self.rows.items():
            yield (
                f"{name:<38}{row.searches:>9,}{row.places:>9,}{row.bytes / 1024:>11,.0f}"
                f"{row.leaks:>7,}{row.planted:>16,}"
            )
        yield f"{self.needles:,} spellings of values that lie nowhere else were looked for."


class Search:
    """Searches for the values of some canaries. No text is searched twice, as it cannot hold later people."""

    def __init__(self, canaries: Canaries, report: Report, *, planted: bool = False) -> None:
        self.canaries, self._report, self._planted = canaries, report, planted
        self._haystack = Haystack()
        self._searched = set[tuple[str, bytes]]()

    def leaks(self, system: System, only: Iterable[str] = SINKS) -> list[Leak]:
        """Everything found in the sinks, up to a maximum."""
        self._haystack.learn(self.canaries.needles)
        self._report.needles = max(self._report.needles, len(self._haystack))
        found = []
        for name in only:
            here = self._found(system, SINKS[name])
            if self._planted:
                self._report.rows[name].planted += bool(here)
            else:
                self._report.rows[name].searches += 1
                self._report.rows[name].leaks += len(here)
            found += here
        return found[:_MOST_SHOWN]

    def _found(self, system: System, sink: Sink) -> list[Leak]:
        """Searches all new texts as one, since most are short."""
        fresh = list(self._fresh(sink.name, sink.read(system)))
        ends = list(accumulate(len(text) for _, text in fresh))
        if not self._planted:
            self._report.rows[sink.name].places += len(fresh)
            self._report.rows[sink.name].bytes += sum(ends[-1:])
        hits = self._haystack.find(b"".join(text for _, text in fresh))
        return [
            Leak(sink.name, fresh[bisect(ends, hit.position)][0], hit.needle.what, hit.excerpt)
            for hit in hits
            if not (hit.needle.kept and sink.may_hold_kept)
        ]

    def _fresh(self, sink: str, places: Iterable[Place]) -> Iterator[Place]:
        """The places that were not searched yet. A place's name is searched as well."""
        for place, text in places:
            whole = b"\n".join((place.encode("utf-8", "backslashreplace"), text, b""))
            digest = sink, blake2b(whole, digest_size=16).digest()
            if digest not in self._searched:
                self._searched.add(digest)
                yield place, whole
