"""What a user is: the record contract, and how a source's dialect words it.

The contract is the Random Data API's v2 user, as far as Decant treats it; what is not named here is never
even decoded (passwords, card numbers, pictures, and whatever the source adds).
"""

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from functools import cached_property, reduce
from operator import getitem
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

from chalicelib import shapes

T = TypeVar("T", bound=Struct)

Text = Annotated[str, Meta(max_length=200)]
# What no part of an address holds: spaces, controls, the punctuation of mail, what cannot be seen.
_NEVER = r"\s@<>()\[\],;:\\\"\x00-\x1f\x7f\u200b-\u200f\u2060\ufeff"
Email = Annotated[
    str,  # spaces around it are the cleaner's
    Meta(max_length=320, pattern=rf"^\s*[^{_NEVER}]+@[^.?/{_NEVER}]+(\.[^.?/{_NEVER}]+)+\s*$"),
]
Whole = Annotated[int, Meta(ge=0, lt=10_000_000_000)]
Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]


class Personal(Struct):
    """A struct whose repr shows no field, so that no traceback or log line can."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class Coordinates(Personal):
    lat: Latitude
    lng: Longitude


class Address(Personal):
    city: Text
    street_name: Text
    street_address: Text
    zip_code: Text
    state: Text
    country: Text
    coordinates: Coordinates


class Employment(Personal):
    title: Text | None = None
    key_skill: Text | None = None


class Subscription(Personal):
    plan: Text | None = None
    status: Text | None = None
    payment_method: Text | None = None
    term: Text | None = None


class User(Personal, kw_only=True):
    """One valid record, raw. Lives only between validation and protection."""

    uid: UUID
    first_name: Text
    last_name: Text
    username: Text
    email: Email
    date_of_birth: date
    address: Address
    phone_number: Text | None = None
    social_insurance_number: Text | None = None
    gender: Text | None = None
    employment: Employment | None = None
    subscription: Subscription | None = None


class Issue(Struct, frozen=True, order=True):
    """One thing that is wrong with a record, in the source's own field names.

    ``path`` is dotted (empty for the record as a whole); ``rule`` is one of ``required``, ``type``,
    ``length``, ``format``, ``uuid``, ``date``, ``future``, ``range``, ``encoding``, ``json``.
    """

    path: str
    rule: str


_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")


class NumericText(float):
    """A number that a source may write as a string; subclasses bound it."""

    limit: float


class LatitudeText(NumericText):
    limit = 90


class LongitudeText(NumericText):
    limit = 180


def numeric(kind: type, value: Any) -> Any:
    """msgspec's hook for types that it does not know. Its messages hold no value."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ValueError("Expected a number")
    number = _float(value)
    if not abs(number) <= kind.limit:  # type: ignore[attr-defined]  # also refuses NaN
        raise ValueError("Number out of range")
    return kind(number)


def _float(value: str | float) -> float:
    """As JSON writes numbers, whatever stands around them. NaN stands for what no float can hold."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise ValueError("Expected a number")
    try:
        return float(value)
    except OverflowError:
        return math.nan


@dataclass(frozen=True)
class Dialect(Generic[T]):
    """How one API words a page: the type of a record, the way to a ``User``, the envelope if there is one.

    ``dropped`` are the dotted paths of fields that are known and not wanted; ``uid`` is where a uid stands.
    """

    name: str
    record: type[T]
    to_user: Callable[[T], User]
    uid: str
    dropped: tuple[str, ...] = ()
    envelope: str | None = None

    def decode(self, body: bytes, strictly: bool = False) -> list[User]:
        """A whole page at once. Raises ValueError as soon as one record is wrong, or all is.

        ``strictly`` also refuses a field that is not known.
        """
        page = self._strict_page if strictly else self._page
        return [self.to_user(record) for record in self._opened(page.decode(body))]

    def decode_one(self, raw: bytes) -> User:
        return self.to_user(self._one.decode(raw))

    def unknown(self, raw: bytes) -> set[str]:
        """The dotted paths of a record's fields that are not known. One that cannot be read has no fields."""
        try:
            self._strict_one.decode(raw)
            return set()
        except (ValueError, RecursionError):
            pass
        try:
            return set(shapes.unknown(loads(raw), self.record, self.dropped))
        except (ValueError, RecursionError):
            return set()

    def uid_of(self, raw: bytes) -> str | None:
        """The uid of a record that may be wrong in any way, if it has one."""
        try:
            value = reduce(getitem, self.uid.split("."), loads(raw))
            return str(UUID(value)) if isinstance(value, str) else None
        except (ValueError, LookupError, TypeError, RecursionError):
            return None

    def convert(self, record: Any) -> User:
        """Like ``decode_one``, of JSON that is parsed already."""
        return self.to_user(msgspec.convert(record, self.record, dec_hook=numeric))

    def split(self, body: bytes) -> list[bytes]:
        """The records of a page, each as its own JSON. Raises ValueError if there is no list of records.

        msgspec gives up on a page with a lone surrogate anywhere; the standard library does not.
        """
        try:
            return [bytes(raw) for raw in self._opened(self._raw_page.decode(body))]
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            return [json.dumps(record).encode() for record in self._split_leniently(body)]

    def _split_leniently(self, body: bytes) -> list[Any]:
        page = loads(body)
        if self.envelope is not None:
            page = page.get(self.envelope) if isinstance(page, dict) else None
        if not isinstance(page, list):
            raise ValueError("no list of records")
        return page

    def _opened(self, page: Any) -> Any:
        return page if self.envelope is None else getattr(page, self.envelope)

    def _page_of(self, item: Any) -> Any:
        if self.envelope is None:
            return list[item]
        return msgspec.defstruct("Envelope", [(self.envelope, list[item])])

    @cached_property
    def _page(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self._page_of(self.record), dec_hook=numeric)

    @cached_property
    def _strict_page(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self._page_of(self._strict), dec_hook=numeric)

    @cached_property
    def _strict_one(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self._strict, dec_hook=numeric)

    @cached_property
    def _strict(self) -> type[Struct]:
        return shapes.strict(self.record, self.dropped)

    @cached_property
    def _raw_page(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self._page_of(msgspec.Raw))

    @cached_property
    def _one(self) -> msgspec.json.Decoder[T]:
        return msgspec.json.Decoder(self.record, dec_hook=numeric)


def loads(raw: bytes) -> Any:
    """JSON as the standard library reads it: bytes that are no UTF-8 become lone surrogates, not errors."""
    return json.loads(raw.decode("utf-8", "surrogateescape"), parse_int=_bounded_int)


def _bounded_int(digits: str) -> int | float:
    """Python refuses to read a whole number of more digits than these; it is out of every range anyway."""
    return int(digits) if len(digits) < 4_300 else float(digits)
