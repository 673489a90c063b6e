"""What a struct's types tell of the records that fit it: which fields it knows, at every depth. Pure."""

from collections.abc import Collection, Iterator
from typing import Any, get_args

import msgspec
from msgspec import Raw, Struct


def nested(kind: Any) -> type[Struct] | None:
    """The struct that a field's type holds, alone or in a union."""
    choices = (kind, *get_args(kind))
    return next((c for c in choices if isinstance(c, type) and issubclass(c, Struct)), None)


def strict(struct: type[Struct], dropped: Collection[str]) -> type[Struct]:
    """The same struct, but one that refuses fields which are neither its own nor ``dropped`` (dotted paths).

    What is dropped is skipped, not decoded.
    """
    fields: list[Any] = [(name, Raw, Raw()) for name in _names(dropped)]
    for field in msgspec.structs.fields(struct):
        if inner := nested(field.type):
            kind: Any = strict(inner, _below(dropped, field.name))
            fields.append((field.name, kind) if field.required else (field.name, kind | None, field.default))
    return msgspec.defstruct(
        struct.__name__, fields, bases=(struct,), forbid_unknown_fields=True, kw_only=True
    )


def unknown(record: Any, struct: type[Struct], dropped: Collection[str], prefix: str = "") -> Iterator[str]:
    """The dotted paths in a record of fields that neither ``struct`` nor ``dropped`` names."""
    if not isinstance(record, dict):
        return
    known = {field.name: nested(field.type) for field in msgspec.structs.fields(struct)}
    skipped = _names(dropped)
    for name, value in record.items():
        inner = known.get(name)
        if inner is not None:
            yield from unknown(value, inner, _below(dropped, name), f"{prefix}{name}.")
        elif name not in known and name not in skipped:
            yield f"{prefix}{name}"


def _names(paths: Collection[str]) -> set[str]:
    return {path for path in paths if "." not in path}


def _below(paths: Collection[str], name: str) -> set[str]:
    return {path.removeprefix(f"{name}.") for path in paths if path.startswith(f"{name}.")}
