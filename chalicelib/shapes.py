"""Derives from a struct's types which fields its records may have, at every depth. Pure."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import msgspec
from msgspec import Raw, Struct


def nested(kind: Any) -> type[Struct] | None:
    """The struct that a field's type holds, alone or in a union."""
    choices = (kind, *get_args(kind))
    return next((c for c in choices if isinstance(c, type) and issubclass(c, Struct)), None)


def strict(struct: type[Struct], dropped: Collection[str]) -> type[Struct]:
    """The same struct, but refusing fields that are neither its own nor ``dropped`` (dotted paths).

    Dropped fields are skipped, not decoded.
    """
    fields: list[Any] = [
        (f"dropped_{number}", Raw, msgspec.field(default=Raw(), name=name))
        for number, name in enumerate(_names(dropped))
    ]
    for field in msgspec.structs.fields(struct):
        if inner := nested(field.type):
            kind: Any = strict(inner, _below(dropped, field.encode_name))
            default: Any = {"default": field.default, "default_factory": field.default_factory}
            again = msgspec.field(**default, name=field.encode_name)
            fields.append((field.name, kind if field.required else kind | None, again))
    return msgspec.defstruct(
        struct.__name__, fields, bases=(struct,), forbid_unknown_fields=True, kw_only=True
    )


def declared(struct: type[Struct], dropped: Collection[str]) -> list[str]:
    """Those of the ``dropped`` fields that the struct declares, too."""
    found = []
    for field in msgspec.structs.fields(struct):
        name, inner = field.encode_name, nested(field.type)
        found += [name] if name in dropped else []
        found += [f"{name}.{below}" for below in declared(inner, _below(dropped, name))] if inner else []
    return found


@dataclass(frozen=True)
class Known:
    """The names of the known fields and, for those that hold further fields, what is known below them."""

    names: frozenset[str]
    below: Mapping[str, "Known"]

    def unknown(self, record: Any, prefix: str = "") -> Iterator[str]:
        """The dotted paths of a record's fields that are not known."""
        if isinstance(record, dict):
            for name in record.keys() - self.names:
                yield f"{prefix}{name}"
            for name, inner in self.below.items():
                yield from inner.unknown(record.get(name), f"{prefix}{name}.")


def known(struct: type[Struct], dropped: Collection[str]) -> Known:
    """The fields of a struct and the dotted paths of ``dropped`` ones, below which every field is known."""
    fields = msgspec.structs.fields(struct)
    inner = {field.encode_name: nested(field.type) for field in fields}
    below = {name: known(kind, _below(dropped, name)) for name, kind in inner.items() if kind}
    return Known(frozenset(inner) | _names(dropped), below)


def _names(paths: Collection[str]) -> set[str]:
    return {path for path in paths if "." not in path}


def _below(paths: Collection[str], name: str) -> set[str]:
    return {path.removeprefix(f"{name}.") for path in paths if path.startswith(f"{name}.")}
