"""How an API formats a page of users, and how to read it: whole or in records, strictly or leniently."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import cached_property, reduce
from itertools import islice
from operator import getitem
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from chalicelib import shapes
from chalicelib.users import MAX_PAGE_SIZE, NumericText, User, numeric

T = TypeVar("T", bound=Struct)

_SURROGATE = re.compile(rb"\\(u[dD][89a-fA-F][0-9a-fA-F]{2})")  # the escape of a surrogate, lone or in a pair
_MASKED = re.compile(rb"\\u0000(u[dD][89a-fA-F][0-9a-fA-F]{2})")

_MAX_UNKNOWN = 1_000  # unknown fields kept per record; more are not worth the memory

_MAX_DEPTH = 400  # levels of nesting; the parsers handle somewhat more
_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?|[\[\]{}]', re.DOTALL)  # and strings, even unterminated


# What decoding or converting a wrong record raises; ``to_user`` may look for what is not there.
FAULTS = (ValueError, LookupError, RecursionError)


class TooManyRecords(ValueError):
    """A page has more than MAX_PAGE_SIZE records."""


@dataclass(frozen=True)
class Dialect(Generic[T]):
    """How one API formats a page: a record's type, its conversion to a ``User``, an envelope if there is one.

    ``envelope`` is the path of the list of records in a page; ``dropped`` lists the paths of known fields
    that are not wanted; ``uid`` is the path of the uid. All paths are dotted; ``\\.`` is a dot within a name.
    ``make_uid`` converts the value at the last one, or raises ValueError, TypeError or AttributeError.
    ``ends`` means that the API has a last page, and that pages after it hold no records; ``omits_empty``,
    that the list is missing there. ``authorization_header`` is the one for the API's key.
    """

    name: str
    record_type: type[T]
    to_user: Callable[[T], User]
    uid: str
    dropped: tuple[str, ...] = ()
    envelope: str | None = None
    make_uid: Callable[[Any], UUID] = UUID
    ends: bool = False
    omits_empty: bool = False
    authorization_header: str = "Authorization"

    def __post_init__(self) -> None:
        """Raises ValueError if a field is both declared and dropped, or has a type that cannot be checked."""
        if both := shapes.declared(self.record_type, self.dropped):
            raise ValueError(f"the dialect {self.name} both declares and drops {', '.join(both)}")
        if wrong := shapes.unsupported(self.record_type):
            raise ValueError(
                f"{self.name}: {', '.join(wrong)} must be a single value, a struct, or a list of these"
            )

    def decode(self, body: bytes) -> list[User]:
        """A whole page at once. Raises one of FAULTS as soon as a record is wrong or has an unknown field."""
        return list(map(self.user, self._records_in(self._page.decode(body))))

    def decode_ignoring_unknown(self, raw: bytes) -> User:
        """One record, without its unknown fields. Raises one of FAULTS if it is wrong."""
        return self.user(self._ignoring_unknown.decode(raw))

    def decode_each(self, raws: Iterable[bytes]) -> Iterator[User | None]:
        """The records in turn; None for one that is wrong or has an unknown field."""
        decode = self._strict_one.decode
        for raw in raws:
            try:
                user = self.user(decode(raw))
            except FAULTS:
                user = None
            yield user

    def user(self, record: T) -> User:
        """A decoded record as a ``User``, checked: structs do not check what they are made of. Raises one of
        FAULTS."""
        user = self.to_user(record)
        if user is record:  # checked when it was decoded
            return user
        return msgspec.convert(msgspec.to_builtins(user, builtin_types=(date, UUID), enc_hook=_plain), User)

    def unknown(self, raw: bytes) -> set[str]:
        """The dotted paths of a record's unknown fields; empty for a record that cannot be read."""
        try:
            return set(islice(self._known.unknown(_loads_fast(raw)), _MAX_UNKNOWN))
        except (ValueError, RecursionError):
            return set()

    def uid_of(self, raw: bytes) -> str | None:
        """The uid of a record, if it has one; the record may be wrong in any way."""
        try:
            value = reduce(getitem, shapes.steps(self.uid), loads_leniently(raw))
            return None if value is None else str(self.make_uid(value))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None

    def convert(self, record: Any) -> T:
        """One record, from JSON that is already parsed. Raises ValueError if it is wrong."""
        return msgspec.convert(record, self.record_type, dec_hook=numeric)

    def split(self, body: bytes) -> list[bytes]:
        """The records of a page, each as its own JSON. Raises ValueError if there is no list of records, and
        TooManyRecords.

        msgspec fails on a page with a lone surrogate anywhere, or with a value that is nested too deeply.
        Surrogates are masked; deep values are cut out, and put back after the split.
        """
        try:
            return self._split(body)
        except RecursionError:
            shallow, deep = _without_depths(body, 1 + len(self._envelope))
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
        return [bytes(raw) for raw in self._records_in(self._raw_page.decode(body))]

    def _split_leniently(self, body: bytes) -> list[Any]:
        page = loads_leniently(body)
        for name in self._envelope:
            page = page.get(name, [] if self.omits_empty else None) if isinstance(page, dict) else None
        if not isinstance(page, list):
            raise ValueError("no list of records")
        return _bounded(page)

    def _records_in(self, page: Any) -> list[Any]:
        for _ in self._envelope:
            page = page.inner
        return _bounded(page)

    def _page_of(self, item: Any) -> Any:
        page: Any = list[item]
        default: Any = {"default_factory": list} if self.omits_empty else {}
        for name in reversed(self._envelope):
            page = msgspec.defstruct("Envelope", [("inner", page, msgspec.field(name=name, **default))])
            default = {}
        return page

    @property
    def _envelope(self) -> list[str]:
        return shapes.steps(self.envelope) if self.envelope else []

    @cached_property
    def _page(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self._page_of(self._strict), dec_hook=numeric)

    @cached_property
    def _strict_one(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self._strict, dec_hook=numeric)

    @cached_property
    def _known(self) -> shapes.Known:
        return shapes.known(self.record_type, self.dropped)

    @cached_property
    def _strict(self) -> type[Struct]:
        return shapes.strict(self.record_type, self.dropped)

    @cached_property
    def _raw_page(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self._page_of(msgspec.Raw))

    @cached_property
    def _ignoring_unknown(self) -> msgspec.json.Decoder[T]:
        return msgspec.json.Decoder(self.record_type, dec_hook=numeric)


def _plain(value: Any) -> float:
    """Part of a ``User`` that msgspec does not know. Raises ValueError unless it is a ``NumericText``."""
    if isinstance(value, NumericText):
        return float(value)
    raise ValueError("an unsupported type")


def _bounded(records: list[Any]) -> list[Any]:
    if len(records) > MAX_PAGE_SIZE:
        raise TooManyRecords
    return records


def _without_depths(body: bytes, outside: int) -> tuple[bytes, dict[bytes, bytes]]:
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


def _loads_fast(raw: bytes) -> Any:
    """JSON as msgspec reads it, or as ``loads_leniently`` does if msgspec cannot."""
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return loads_leniently(raw)


def loads_leniently(raw: bytes) -> Any:
    """JSON as the standard library reads it; bytes that are not UTF-8 become lone surrogates, not errors."""
    return json.loads(raw.decode("utf-8", "surrogateescape"), parse_int=_bounded_int)


def _bounded_int(digits: str) -> int | float:
    """A float from 4,300 digits on, since Python refuses to parse a longer int; it is out of range anyway."""
    return int(digits) if len(digits) < 4_300 else float(digits)
