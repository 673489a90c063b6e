"""JSON that strict parsers refuse: not UTF-8, with huge numbers, or nested too deeply. Pure."""

import json
import re
from typing import Any

import msgspec

_MAX_DEPTH = 400  # levels of nesting; the parsers handle somewhat more
_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?|[\[\]{}]', re.DOTALL)  # and strings, even unterminated


def without_depths(body: bytes, outside: int) -> tuple[bytes, dict[bytes, bytes]]:
    """The body with a mark in place of each value that is nested too deeply, and the value of each mark.

    ``outside`` is the number of brackets around such a value.
    """
    pieces, deep, kept = list[bytes](), dict[bytes, bytes](), 0
    depth = deepest = start = 0
    for bracket in _BRACKETS.finditer(body):
        if bracket[0] in b"[{":
            if depth == outside:
                start, deepest = bracket.start(), 0
            depth += 1
            deepest = max(deepest, depth)
        elif bracket[0] in b"]}":
            depth -= 1
            if depth == outside and deepest > _MAX_DEPTH:
                mark = b'"\\u0000%d"' % len(deep)  # no API sends it, and re-encoding leaves it unchanged
                pieces += body[kept:start], mark
                deep[mark], kept = body[start : bracket.end()], bracket.end()
    return b"".join([*pieces, body[kept:]]), deep


def loads_fast(raw: bytes) -> Any:
    """JSON as msgspec reads it, or as ``loads`` does if msgspec cannot."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return loads(raw)


def loads(raw: bytes) -> Any:
    """JSON as the standard library reads it; bytes that are not UTF-8 become lone surrogates, not errors."""
    return json.loads(raw.decode("utf-8", "surrogateescape"), parse_int=_bounded_int)


def _bounded_int(digits: str) -> int | float:
    """A float from 4,300 digits on, since Python refuses to parse a longer int; it is out of range anyway."""
    return int(digits) if len(digits) < 4_300 else float(digits)
