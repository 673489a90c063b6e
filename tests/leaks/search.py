"""Finds any of very many needles in one pass over a text: the Rabin-Karp algorithm, in numpy."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import NamedTuple

import numpy as np

from tests.leaks.spellings import SHORTEST

_WINDOW = np.uint64((1 << 8 * SHORTEST) - 1)  # the first SHORTEST of eight bytes
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2 to the 64th over the golden ratio: spreads close values
_TABLE_BITS = 24
_SHIFT = np.uint64(64 - _TABLE_BITS)
_CHUNK = 1 << 16  # windows that fit into a processor's cache
_AROUND = 40


class Needle(NamedTuple):
    """A description of a needle, and whether the contract allows it to be stored."""

    what: str
    kept: bool


class Hit(NamedTuple):
    """A needle that was found, its position, and the text around it."""

    needle: Needle
    position: int
    excerpt: str


class Haystack:
    """Searches for needles, which are given in lower case; ASCII capitals in a text count as lower case."""

    def __init__(self) -> None:
        self._needles: dict[bytes, Needle] = {}
        self._beginning_with = defaultdict[bytes, list[bytes]](list)
        self._beginnings = np.zeros(0, np.uint64)  # the keys of _beginning_with, as sorted numbers
        self._may_begin = np.zeros(1 << _TABLE_BITS, bool)

    def __len__(self) -> int:
        return len(self._needles)

    def learn(self, needles: Mapping[bytes, Needle]) -> None:
        """Adds the new ones of these needles, which must begin with those of the last call."""
        new = dict(islice(needles.items(), len(self._needles), None))
        self._needles |= new
        beginnings = {needle[:SHORTEST] for needle in new} - self._beginning_with.keys()
        for needle in new:
            self._beginning_with[needle[:SHORTEST]].append(needle)
        numbers = np.frombuffer(b"".join(one.ljust(8, b"\0") for one in beginnings), "<u8")
        self._may_begin[_place(numbers)] = True
        self._beginnings = np.sort(np.concatenate([self._beginnings, numbers]))

    def find(self, text: bytes) -> Iterator[Hit]:
        """Every needle in the text, at its first occurrence."""
        small = text.lower() + bytes(8)
        found = set()
        for position in self._candidates(small):
            for needle in self._beginning_with[small[position : position + SHORTEST]]:
                if needle not in found and small.startswith(needle, position):
                    found.add(needle)
                    around = text[max(0, position - _AROUND) : position + len(needle) + _AROUND]
                    yield Hit(self._needles[needle], position, around.decode(errors="backslashreplace"))

    def _candidates(self, small: bytes) -> Iterator[int]:
        """Where a needle may begin: a cheap test of every window, then an exact one of those that pass."""
        for offset in range(8):
            windows = np.frombuffer(small, "<u8", (len(small) - offset) // 8, offset)
            for start in range(0, len(windows), _CHUNK):
                chunk = windows[start : start + _CHUNK] & _WINDOW
                passed = np.flatnonzero(self._may_begin[_place(chunk)])
                nearest = np.searchsorted(self._beginnings[:-1], chunk[passed])
                for at in passed[self._beginnings[nearest] == chunk[passed]]:
                    yield (start + int(at)) * 8 + offset


def _place(windows: "np.typing.NDArray[np.uint64]") -> "np.typing.NDArray[np.uint64]":
    return (windows * _FACTOR) >> _SHIFT
