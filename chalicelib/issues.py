"""All that is wrong with a record: each issue names a path and a rule, and never holds a value. Pure."""

from collections.abc import Iterator
from datetime import date
from functools import cache
from math import isfinite
from types import NoneType
from typing import Any

import msgspec

from chalicelib import shapes
from chalicelib.users import Issue, numeric

# The rule's name, by a part of msgspec's message.
_RULES = (
    ("of length", "length"),
    ("matching regex", "format"),
    ("Invalid UUID", "uuid"),
    ("Invalid RFC3339", "date"),
    ("<=", "range"),
    (">=", "range"),
    ("out of range", "range"),
)

_fields = cache(msgspec.structs.fields)  # ``fields`` itself would compute them again at each call


def of(record: Any, struct: type, today: date) -> tuple[Issue, ...]:
    """The issues of parsed JSON that should fit a struct, sorted; a list's elements share its path."""
    return tuple(sorted(set(_struct_issues(record, struct, "", today))))


def _struct_issues(value: Any, struct: type, path: str, today: date) -> Iterator[Issue]:
    if not isinstance(value, dict):
        yield Issue(path, "type")
        return
    for declared in _fields(struct):
        field_path = f"{path}.{declared.encode_name}" if path else declared.encode_name
        if declared.encode_name in value:
            yield from _value_issues(value[declared.encode_name], declared.type, field_path, today)
        elif declared.required:
            yield Issue(field_path, "required")


def _value_issues(value: Any, kind: Any, path: str, today: date) -> Iterator[Issue]:
    nested, element = shapes.nested(kind), shapes.element(kind)
    if value is None:
        if NoneType not in shapes.choices(kind):
            yield Issue(path, "required")
    elif element is not None and isinstance(value, list):
        issues = [issue for one in value for issue in _value_issues(one, element, path, today)]
        yield from issues or _scalar_issues(value, kind, path, today)
    elif nested is not None and element is None:
        yield from _struct_issues(value, nested, path, today)
    elif isinstance(value, str) and not _storable(value):
        yield Issue(path, "encoding")
    else:
        yield from _scalar_issues(value, kind, path, today)


def _scalar_issues(value: Any, kind: Any, path: str, today: date) -> Iterator[Issue]:
    try:
        parsed = msgspec.convert(value, kind, dec_hook=numeric)
    except msgspec.ValidationError as error:
        yield Issue(path, _rule(str(error)))
        return
    if isinstance(parsed, float) and not isfinite(parsed):  # NaN, or 1e999, which no JSON can store
        yield Issue(path, "range")
    if (
        isinstance(parsed, date)
        and "future" in shapes.rules(kind)
        and date(parsed.year, parsed.month, parsed.day) > today
    ):
        yield Issue(path, "future")


def _storable(text: str) -> bool:
    """No NUL and no lone surrogate: Postgres takes neither."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _rule(message: str) -> str:
    """The name of the rule that msgspec's message is about. The message may hold a value and is dropped."""
    return next((rule for mark, rule in _RULES if mark in message), "type")
