"""How an API words a page of users, and the ways to read it: at once, one by one, strictly, leniently."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import islice
from operator import getitem
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from chalicelib import shapes
from chalicelib.users import LARGEST_PAGE, User, numeric

T = TypeVar("T", bound=Struct)

_SURROGATE = re.compile(rb"\\(u[dD][89a-fA-F][0-9a-fA-F]{2})")  # the escape of one, alone or of a pair
_MASKED = re.compile(rb"\\u0000(u[dD][89a-fA-F][0-9a-fA-F]{2})")

_MOST_UNKNOWN = 1_000  # fields of a record; with more it is not worth its memory

_DEEPEST = 400  # levels within a record; the parsers follow some more
_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.?)*+"?|[\[\]{}]', re.DOTALL)  # and texts, also one that never ends


class TooManyRecords(ValueError):
    """A page has more than LARGEST_PAGE of them."""


@dataclass(frozen=True)
class Dialect(Generic[T]):
    """How one API words a page: the type of a record, the way to a ``User``, the envelope if there is one.

    ``dropped`` are the dotted paths of fields that are known and not wanted. ``uid`` is where a uid stands;
    ``make_uid`` makes it of what stands there, or raises ValueError, TypeError or AttributeError. ``ends``
    says that the API has a last page, and that pages after it hold no records.
    """

    name: str
    record: type[T]
    to_user: Callable[[T], User]
    uid: str
    dropped: tuple[str, ...] = ()
    envelope: str | None = None
    make_uid: Callable[[Any], UUID] = UUID
    ends: bool = False

    def decode(self, body: bytes) -> list[User]:
        """A whole page at once. Raises ValueError as soon as a record is wrong, or has a field not known, and
        TooManyRecords."""
        return [self.to_user(record) for record in self._opened(self._page.decode(body))]

    def decode_one(self, raw: bytes) -> User:
        """Raises ValueError if the record is wrong."""
        return self.to_user(self._one.decode(raw))

    def decode_each(self, raws: Iterable[bytes]) -> Iterator[User | None]:
        """The records in turn; None for one that is wrong, or has a field not known."""
        decode, to_user = self._strict_one.decode, self.to_user
        for raw in raws:
            try:
                user = to_user(decode(raw))
            except (ValueError, RecursionError):
                user = None
            yield user

    def unknown(self, raw: bytes) -> set[str]:
        """The dotted paths of a record's fields that are not known. One that cannot be read has no fields."""
        try:
            return set(islice(self._known.unknown(_loads_fast(raw)), _MOST_UNKNOWN))
        except (ValueError, RecursionError):
            return set()

    def uid_of(self, raw: bytes) -> str | None:
        """The uid of a record that may be wrong in any way, if it has one."""
        try:
            return str(self.make_uid(reduce(getitem, self.uid.split("."), loads(raw))))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return None

    def convert(self, record: Any) -> User:
        """Like ``decode_one``, of JSON that is parsed already."""
        return self.to_user(msgspec.convert(record, self.record, dec_hook=numeric))

    def split(self, body: bytes) -> list[bytes]:
        """The records of a page, each as its own JSON. Raises ValueError if there is no list of records, and
        TooManyRecords.

        msgspec gives up on a page with a lone surrogate anywhere, and on one with something that is nested
        too deeply: the one is masked, the end of the other is found without it.
        """
        try:
            return self._split(body)
        except RecursionError:
            shallow, deep = _without_depths(body, 1 if self.envelope is None else 2)
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
        return [bytes(raw) for raw in self._opened(self._raw_page.decode(body))]

    def _split_leniently(self, body: bytes) -> list[Any]:
        page = loads(body)
        if self.envelope is not None:
            page = page.get(self.envelope) if isinstance(page, dict) else None
        if not isinstance(page, list):
            raise ValueError("no list of records")
        return _bounded(page)

    def _opened(self, page: Any) -> list[Any]:
        return _bounded(page if self.envelope is None else getattr(page, self.envelope))

    def _page_of(self, item: Any) -> Any:
        if self.envelope is None:
            return list[item]
        return msgspec.defstruct("Envelope", [(self.envelope, list[item])])

    @cached_property
    def _page(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self._page_of(self._strict), dec_hook=numeric)

    @cached_property
    def _strict_one(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self._strict, dec_hook=numeric)

    @cached_property
    def _known(self) -> shapes.Known:
        return shapes.known(self.record, self.dropped)

    @cached_property
    def _strict(self) -> type[Struct]:
        return shapes.strict(self.record, self.dropped)

    @cached_property
    def _raw_page(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self._page_of(msgspec.Raw))

    @cached_property
    def _one(self) -> msgspec.json.Decoder[T]:
        return msgspec.json.Decoder(self.record, dec_hook=numeric)


def _bounded(records: list[Any]) -> list[Any]:
    if len(records) > LARGEST_PAGE:
        raise TooManyRecords
    return records


def _without_depths(body: bytes, outside: int) -> tuple[bytes, dict[bytes, bytes]]:
    """The body with a mark in place of each value, so far inside it, that is nested too deeply; and what each
    mark stands for."""
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
            if depth == outside and deepest > _DEEPEST:
                mark = b'"\\u0000%d"' % len(deep)  # nobody writes it, and written anew it is the same
                pieces += body[kept:start], mark
                deep[mark], kept = body[start : bracket.end()], bracket.end()
    return b"".join([*pieces, body[kept:]]), deep


def _loads_fast(raw: bytes) -> Any:
    """JSON as msgspec reads it, if it can."""
    try:
        return msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return loads(raw)


def loads(raw: bytes) -> Any:
    """JSON as the standard library reads it: bytes that are no UTF-8 become lone surrogates, not errors."""
    return json.loads(raw.decode("utf-8", "surrogateescape"), parse_int=_bounded_int)


def _bounded_int(digits: str) -> int | float:
    """Python refuses to read a whole number of more digits than these; it is out of every range anyway."""
    return int(digits) if len(digits) < 4_300 else float(digits)
