"""Custom fields: those that a dialect adds to the ones of a ``User``. Pure.

Until a page has been protected, each is a column of its own; then they become one JSON object per person.
A list of values is a tuple there.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import islice
from math import inf, isfinite
from operator import attrgetter
from typing import Any, Literal, get_args

import msgspec
from msgspec import UnsetType

from chalicelib.users import User

Treatment = Literal["keep", "token"]

_MOST = 50  # in a dialect; see also people._ALWAYS_FIT_WITH_CUSTOM
_LONGEST = 500  # characters of a text
_LONGEST_LIST = 10_000  # characters: one person always fits a response
_LEAST = 40  # characters that a value counts as having at the least
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_COLUMN = "custom"


def column(name: str) -> str:
    """The name of a custom field's column, and its path in an answer."""
    return f"{_COLUMN}.{name}"


def columns(users: Sequence[User], names: Collection[str]) -> dict[str, list[Any]]:
    """The custom fields of users, as the source has them."""
    return {column(name): _hashable(map(attrgetter(name), users)) for name in names}


def _hashable(values: Iterable[Any]) -> list[Any]:
    return [tuple(value) if type(value) is list else value for value in values]


def each(name: str, column: Sequence[Any], convert: Callable[[Sequence[Any]], list[Any]]) -> list[Any]:
    """Converts a column, also one of tuples, by a function for columns of single values.

    A tuple loses the values that become None. One that has none is None itself, like an empty text.
    """
    if not name.startswith(f"{_COLUMN}.") or tuple not in map(type, column):  # only these have tuples
        return convert(column)
    single = [one for value in column for one in (value if type(value) is tuple else (value,))]
    converted = iter(convert(single))
    return [
        tuple(one for one in islice(converted, len(value)) if one is not None) or None
        if type(value) is tuple
        else next(converted)
        for value in column
    ]


def gathered(columns: Mapping[str, list[Any]]) -> dict[str, list[Any]]:
    """The same columns, with the custom fields, if there are any, in one: a dict per person.

    Its names are in the order in which Postgres' jsonb returns them, so that a cached body equals a read one.
    """
    paths = [name for name in columns if name.startswith(f"{_COLUMN}.")]
    paths.sort(key=lambda path: (len(path), path))
    if not paths:
        return dict(columns)
    names = [path.removeprefix(f"{_COLUMN}.") for path in paths]
    rows = zip(*[columns[path] for path in paths], strict=True)
    others = {name: values for name, values in columns.items() if name not in paths}
    return {**others, _COLUMN: [dict(zip(names, row, strict=True)) for row in rows]}


def read(kind: type[User], name: str, text: str) -> Any:
    """The value of a custom field that a query writes as this text; None if it can have no such value. Of a
    list, it is one of the values."""
    try:
        value = in_utc(msgspec.convert(text, single_type(kind, name), strict=False))
    except msgspec.ValidationError:
        return None
    return None if type(value) is float and not isfinite(value) else value


def sought(kind: type[User], values: Mapping[str, Any]) -> dict[str, Any]:
    """An object that the custom fields contain, in the sense of jsonb, if they have these values, or if their
    lists hold them."""
    return {name: [value] if _item_type(kind, name) else value for name, value in values.items()}


def single_type(kind: type[User], name: str) -> Any:
    """The type of a custom field, or of the values in its list."""
    return _item_type(kind, name) or _declared(kind, name)


def _item_type(kind: type[User], name: str) -> Any:
    from chalicelib import shapes  # late: most requests need no custom field

    return shapes.element(_declared(kind, name))


def _declared(kind: type[User], name: str) -> Any:
    return next(field.type for field in msgspec.structs.fields(kind) if field.name == name)


def in_utc(value: Any) -> Any:
    """The same value; a time with another offset becomes one in UTC, where years have room for it."""
    if type(value) is datetime and value.tzinfo:
        with suppress(OverflowError):
            return value.astimezone(UTC)
    return value


def not_finite(user: User, names: Collection[str]) -> str | None:
    """The first of these fields that is infinite or not a number: JSON would turn it into null."""
    for name in names:
        value = getattr(user, name)
        values = value if type(value) is list else [value]
        if any(type(one) is float and not isfinite(one) for one in values):
            return name
    return None


def fault_in(kind: type[User], treatments: Mapping[str, Treatment]) -> str | None:
    """Why these cannot be the treatments of the fields that the type adds to those of a ``User``."""
    if not issubclass(kind, User):
        return f"{kind.__name__} must derive from User"
    added = {field.name: field.type for field in msgspec.structs.fields(kind)}
    own = {field.name: field.type for field in msgspec.structs.fields(User)}
    if changed := [name for name, type_ in own.items() if added.pop(name) != type_]:
        return f"{', '.join(changed)}: {kind.__name__} may add fields to those of User, but not change them"
    if treatments and kind is User:
        return "custom needs a user_type, a subclass of User that has these fields"
    if unlike := sorted(added.keys() ^ treatments.keys()):
        return f"{', '.join(unlike)}: custom must name what {kind.__name__} adds to User, and nothing else"
    if len(added) > _MOST:
        return f"more than {_MOST} custom fields"
    for name, treatment in treatments.items():
        if not _NAME.fullmatch(name):
            return f"{name}: a custom field has a name of up to 40 characters, a-z, 0-9 and _"
        if treatment not in get_args(Treatment):
            return f"{name}: a custom field is treated as keep or token, not {treatment}"
        if not _suits(added[name], treatment):
            suitable = "text" if treatment == "token" else "text, a number, a truth value, a date or a UUID"
            return (
                f"{name}: must be {suitable}, or a list of such; text needs a maximum length of {_LONGEST} or"
                f" less, as Text has, and a list one with which it has at most {_LONGEST_LIST} characters in"
                " all, as Texts and Emails have"
            )
    return None


def _suits(kind: Any, treatment: Treatment) -> bool:
    from msgspec import inspect  # late, as most dialects have no custom fields

    from chalicelib import shapes

    if UnsetType in shapes.choices(kind):
        return False
    whole = inspect.type_info(kind)
    types = whole.types if isinstance(whole, inspect.UnionType) else (whole,)
    single_types = [_bare(found) for found in types if not isinstance(found, inspect.NoneType)]
    if len(single_types) != 1:  # a filter has to know how to read a text
        return False
    (only,) = single_types
    if not isinstance(only, inspect.ListType):
        return _longest(only, treatment) <= _LONGEST
    if shapes.element(kind) is None:  # such as a Sequence, which a filter would take for a single value
        return False
    longest = _longest(_bare(only.item_type), treatment)
    return longest <= _LONGEST and (only.max_length or inf) * longest <= _LONGEST_LIST


def _longest(kind: Any, treatment: Treatment) -> float:
    """How many characters a single value may have; infinity if its type does not suit the treatment."""
    from msgspec import inspect

    if isinstance(kind, inspect.StrType):
        return max(kind.max_length or inf, _LEAST)
    single = (
        inspect.BoolType, inspect.IntType, inspect.FloatType, inspect.DateType, inspect.DateTimeType,
        inspect.UUIDType, inspect.LiteralType,
    )  # fmt: skip
    return _LEAST if treatment == "keep" and isinstance(kind, single) else inf


def _bare(kind: Any) -> Any:
    """msgspec's description of a type, without annotations of its own."""
    from msgspec import inspect

    return _bare(kind.type) if isinstance(kind, inspect.Metadata) else kind
