"""People as a table: a row per person, columns named by path as in ``address.city`` (CSV, RFC 4180)."""

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct, structs

from chalicelib.custom import column
from chalicelib.views import UserView, as_json


def as_csv(people: Sequence[UserView], custom_fields: Collection[str]) -> str:
    """Missing values are empty. The columns of custom fields come last, whether people have them or not, so
    that all pages of a list have the same columns.
    """
    text = io.StringIO()
    rows = csv.writer(text)
    *paths, _ = _paths(UserView)
    rows.writerow([*paths, *map(column, custom_fields)])
    for person in people:
        *values, custom = structs.astuple(person)
        rows.writerow([*_written(values), *_written(map((custom or {}).get, custom_fields))])
    return text.getvalue()


def _paths(view: type, prefix: str = "") -> Iterator[str]:
    for part in structs.fields(view):
        if isinstance(part.type, type) and issubclass(part.type, Struct):
            yield from _paths(part.type, f"{prefix}{part.name}.")
        else:
            yield f"{prefix}{part.name}"


def _written(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, Struct):
            yield from _written(structs.astuple(value))
        else:
            yield as_json(value) if isinstance(value, bool | list) else value  # as in JSON
