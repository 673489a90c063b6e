"""People as a table: a row per person, columns named by path as in ``address.city`` (CSV, RFC 4180)."""

import csv
import io
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from msgspec import Struct, structs

from chalicelib.custom import column
from chalicelib.views import UserView


def as_csv(people: Sequence[UserView], custom_fields: Collection[str]) -> str:
    """Missing values are empty. The columns of custom fields come last, whether people have them or not, so
    that all pages of a list have the same columns.
    """
    text = io.StringIO()
    rows = csv.writer(text)
    rows.writerow([*_paths(UserView), *map(column, custom_fields)])
    for person in people:
        custom = person.custom or {}
        rows.writerow([*_values(person), *_written(map(custom.get, custom_fields))])
    return text.getvalue()


def _paths(view: type, prefix: str = "") -> Iterator[str]:
    for part in structs.fields(view):
        if isinstance(part.type, type) and issubclass(part.type, Struct):
            yield from _paths(part.type, f"{prefix}{part.name}.")
        elif part.name != "custom":
            yield f"{prefix}{part.name}"


def _values(view: Struct) -> Iterator[Any]:
    fields = structs.asdict(view)
    fields.pop("custom", None)
    for value in fields.values():
        yield from _values(value) if isinstance(value, Struct) else _written([value])


def _written(values: Iterable[Any]) -> Iterator[Any]:
    for value in values:
        yield str(value).lower() if isinstance(value, bool) else value  # true, as in JSON
