"""Derives from a struct's types which fields its records may have, at every depth. Pure."""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import reduce
from operator import or_
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

import msgspec
from msgspec import Meta, Raw, Struct, UnsetType

_DOT = re.compile(r"(?<!\\)\.")  # one that is not escaped
_SINGLE_VALUES = (str, int, float, date, time, timedelta, Decimal, Enum, UUID)  # and their subclasses


def nested(kind: Any) -> type[Struct] | None:
    """The struct that a field's type holds: alone, or optional, or in a list."""
    if _is_struct(kind):
        return kind  # type: ignore[no-any-return]
    return next((found for part in get_args(kind) if (found := nested(part))), None)


def structs(struct: type[Struct]) -> list[type[Struct]]:
    """The struct and all those below it."""
    below = [inner for field in msgspec.structs.fields(struct) if (inner := nested(field.type))]
    return [struct, *(found for inner in below for found in structs(inner))]


def element(kind: Any) -> Any:
    """The type of the elements, if a field's type is a list (or None); else None."""
    return next((get_args(choice)[0] for choice in choices(kind) if get_origin(choice) is list), None)


def unsupported(struct: type[Struct]) -> list[str]:
    """The dotted paths of the fields whose types cannot be checked in detail: anything but single values,
    structs, and lists of these. A struct or a list has no alternative but None."""
    found = []
    for field in msgspec.structs.fields(struct):
        inner = nested(field.type)
        if not _is_supported(field.type):
            found.append(field.encode_name)
        elif inner:
            found += [f"{field.encode_name}.{below}" for below in unsupported(inner)]
    return found


def _is_supported(kind: Any) -> bool:
    given = [choice for choice in choices(kind) if choice not in (NoneType, UnsetType)]
    if len(given) == 1 and get_origin(given[0]) is list:
        return _is_supported(element(given[0]))
    return all(map(_is_single_value, given)) or (len(given) == 1 and _is_struct(given[0]))


def _is_single_value(kind: Any) -> bool:
    return get_origin(kind) is Literal or (isinstance(kind, type) and issubclass(kind, _SINGLE_VALUES))


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Struct)


def choices(kind: Any) -> list[Any]:
    """The alternatives of a union, without their annotations."""
    if get_origin(kind) is Annotated:
        return choices(get_args(kind)[0])
    if get_origin(kind) in (Union, UnionType):
        return [choice for part in get_args(kind) for choice in choices(part)]
    return [kind]


def rules(kind: Any) -> set[str]:
    """The names of the rules that a type's annotations add to msgspec's own."""
    if isinstance(kind, Meta):
        return {(kind.extra or {}).get("rule", "")} - {""}
    return {name for part in get_args(kind) for name in rules(part)}


def strict(struct: type[Struct], dropped: Collection[str]) -> type[Struct]:
    """The same struct, but refusing fields that are neither its own nor ``dropped`` (dotted paths).

    Dropped fields are skipped, not decoded.
    """
    fields: list[Any] = [
        (f"dropped_{number}", Raw, msgspec.field(default=Raw(), name=name))
        for number, name in enumerate(_names(dropped))
    ]
    for field in msgspec.structs.fields(struct):
        if nested(field.type):
            kind = _strict_inside(field.type, _below(dropped, field.encode_name))
            default: Any = {"default": field.default, "default_factory": field.default_factory}
            fields.append((field.name, kind, msgspec.field(**default, name=field.encode_name)))
    return msgspec.defstruct(
        struct.__name__, fields, bases=(struct,), forbid_unknown_fields=True, kw_only=True
    )


def _strict_inside(kind: Any, dropped: Collection[str]) -> Any:
    """A type, with the struct that it holds made strict."""
    if _is_struct(kind):
        return strict(kind, dropped)
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return Annotated[(_strict_inside(parts[0], dropped), *parts[1:])]
    if origin is list:
        return list[_strict_inside(parts[0], dropped)]  # type: ignore[misc]
    return reduce(or_, [_strict_inside(part, dropped) for part in parts]) if parts else kind


def declared(struct: type[Struct], dropped: Collection[str]) -> list[str]:
    """Those of the ``dropped`` fields that the struct declares, too."""
    found = []
    for field in msgspec.structs.fields(struct):
        name, inner = field.encode_name, nested(field.type)
        found += [name] if name in _names(dropped) else []
        found += [f"{name}.{below}" for below in declared(inner, _below(dropped, name))] if inner else []
    return found


@dataclass(frozen=True)
class Known:
    """The names of the known fields and, for those that hold further fields, what is known below them."""

    names: frozenset[str]
    below: Mapping[str, "Known"]

    def unknown(self, record: Any, prefix: str = "") -> Iterator[str]:
        """The dotted paths of a record's fields that are not known; the elements of a list share its path."""
        if isinstance(record, list):
            for one in record:
                yield from self.unknown(one, prefix)
        elif isinstance(record, dict):
            for name in record.keys() - self.names:
                yield prefix + name.replace(".", r"\.")
            for name, inner in self.below.items():
                yield from inner.unknown(record.get(name), f"{prefix}{name}.")


def known(struct: type[Struct], dropped: Collection[str]) -> Known:
    """The fields of a struct and the dotted paths of ``dropped`` ones, below which every field is known."""
    fields = msgspec.structs.fields(struct)
    inner = {field.encode_name: nested(field.type) for field in fields}
    below = {name: known(kind, _below(dropped, name)) for name, kind in inner.items() if kind}
    return Known(frozenset(inner) | _names(dropped), below)


def steps(path: str) -> list[str]:
    """The names that a dotted path leads through; a dot within a name is written as ``\\.``."""
    return [step.replace(r"\.", ".") for step in _DOT.split(path)]


def _names(paths: Collection[str]) -> set[str]:
    return {path.replace(r"\.", ".") for path in paths if not _DOT.search(path)}


def _below(paths: Collection[str], name: str) -> set[str]:
    prefix = name.replace(".", r"\.") + "."
    return {path.removeprefix(prefix) for path in paths if path.startswith(prefix)}
