"""Custom fields: those that a dialect adds to the ones of a ``User``. Pure.

Until a page has been protected, each is a column of its own; then they become one JSON object per person.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from math import isfinite
from operator import attrgetter
from typing import Any, Literal, get_args

import msgspec
from msgspec import UnsetType

from chalicelib.users import User

Treatment = Literal["keep", "token"]

_MOST = 50  # in a dialect; see also people._ALWAYS_FIT_WITH_CUSTOM
_LONGEST = 500  # characters of a text
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
_COLUMN = "custom"


def column(name: str) -> str:
    """The name of a custom field's column, and its path in an answer."""
    return f"{_COLUMN}.{name}"


def columns(users: Sequence[User], names: Collection[str]) -> dict[str, list[Any]]:
    """The custom fields of users, as the source has them."""
    return {column(name): list(map(attrgetter(name), users)) for name in names}


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
    """The value of a custom field that a query writes as this text; None if it can have no such value."""
    (declared,) = (field.type for field in msgspec.structs.fields(kind) if field.name == name)
    try:
        value = in_utc(msgspec.convert(text, declared, strict=False))
    except msgspec.ValidationError:
        return None
    return None if type(value) is float and not isfinite(value) else value


def in_utc(value: Any) -> Any:
    """The same value; a time with another offset becomes one in UTC, where years have room for it."""
    if type(value) is datetime and value.tzinfo:
        with suppress(OverflowError):
            return value.astimezone(UTC)
    return value


def not_finite(user: User, names: Collection[str]) -> str | None:
    """The first of these fields that is infinite or not a number: JSON would turn it into null."""
    values = ((name, getattr(user, name)) for name in names)
    return next((name for name, value in values if type(value) is float and not isfinite(value)), None)


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
            return f"{name}: must be {suitable}; text needs a maximum length of {_LONGEST} or less"
    return None


def _suits(kind: Any, treatment: Treatment) -> bool:
    from msgspec import inspect  # late, as most dialects have no custom fields

    from chalicelib import shapes

    def suits(found: Any) -> bool:
        if isinstance(found, inspect.Metadata):
            return suits(found.type)
        if isinstance(found, inspect.StrType):
            return found.max_length is not None and found.max_length <= _LONGEST
        return treatment == "keep" and isinstance(found, single)

    single = (
        inspect.BoolType, inspect.IntType, inspect.FloatType, inspect.DateType, inspect.DateTimeType,
        inspect.UUIDType, inspect.LiteralType,
    )  # fmt: skip
    if UnsetType in shapes.choices(kind):
        return False
    whole = inspect.type_info(kind)
    types = whole.types if isinstance(whole, inspect.UnionType) else (whole,)
    single_types = [found for found in types if not isinstance(found, inspect.NoneType)]
    return len(single_types) == 1 and suits(single_types[0])  # one: a filter has to know how to read a text
