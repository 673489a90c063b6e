"""Where a page holds its list of records, and how to get at it: decoded, or record by record. Pure."""

import json
import re
from contextlib import suppress
from functools import cached_property
from typing import Any

import msgspec

from chalicelib import lenient_json, shapes
from chalicelib.users import MAX_PAGE_SIZE

_SURROGATE = re.compile(rb"\\(u[dD][89a-fA-F][0-9a-fA-F]{2})")  # the escape of a surrogate, lone or in a pair
_MASKED = re.compile(rb"\\u0000(u[dD][89a-fA-F][0-9a-fA-F]{2})")


class TooManyRecords(ValueError):
    """A page has more than MAX_PAGE_SIZE records."""


class Envelope:
    """The path of the list in a page. ``records`` and ``split`` raise TooManyRecords."""

    def __init__(self, path: str | None, omits_empty: bool) -> None:
        """``path`` is dotted; None if a page is nothing but the list. ``omits_empty``: an empty list may be
        missing."""
        self._names = shapes.steps(path) if path else []
        self._omits_empty = omits_empty

    @property
    def depth(self) -> int:
        """How deep in a page its records are."""
        return 1 + len(self._names)

    def around(self, item: Any) -> Any:
        """The type of a page whose records have the type ``item``."""
        page: Any = list[item]
        default: Any = {"default_factory": list} if self._omits_empty else {}
        for name in reversed(self._names):
            page = msgspec.defstruct("Envelope", [("inner", page, msgspec.field(name=name, **default))])
            default = {}
        return page

    def records(self, page: Any) -> list[Any]:
        """The records of a page that was decoded as that type."""
        for _ in self._names:
            page = page.inner
        return _bounded(page)

    def split(self, body: bytes) -> list[bytes]:
        """The records of a page, each as its own JSON. Raises ValueError if there is no list of records.

        msgspec fails on a page with a lone surrogate anywhere, or with a value that is nested too deeply.
        Surrogates are masked; deep values are cut out, and put back after the split.
        """
        try:
            return self._split(body)
        except RecursionError:
            shallow, deep = lenient_json.without_depths(body, self.depth)
        return [deep.get(raw, raw) for raw in self._split(shallow)]

    def _split(self, body: bytes) -> list[bytes]:
        try:
            return self._split_strictly(body)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            pass
        if not _MASKED.search(body):
            with suppress(msgspec.DecodeError):
                masked = self._split_strictly(_SURROGATE.sub(rb"\\u0000\1", body))
                return [_MASKED.sub(rb"\\\1", raw) for raw in masked]
        return [json.dumps(record).encode() for record in self._split_leniently(body)]

    def _split_strictly(self, body: bytes) -> list[bytes]:
        return [bytes(raw) for raw in self.records(self._raw.decode(body))]

    def _split_leniently(self, body: bytes) -> list[Any]:
        page = lenient_json.loads(body)
        for name in self._names:
            page = page.get(name, [] if self._omits_empty else None) if isinstance(page, dict) else None
        if not isinstance(page, list):
            raise ValueError("no list of records")
        return _bounded(page)

    @cached_property
    def _raw(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self.around(msgspec.Raw))


def _bounded(records: list[Any]) -> list[Any]:
    if len(records) > MAX_PAGE_SIZE:
        raise TooManyRecords
    return records
