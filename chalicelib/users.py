"""What a user is: the record contract, and the validation of a page of records against it.

Pure: no clock, no network, no store. An issue names a path and a rule; it never holds a value.
The contract is the Random Data API's v2 user, as far as Decant treats it; what is not named here is never
even decoded (passwords, card numbers, pictures, and whatever the source adds).
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from types import NoneType
from typing import Annotated, Any, Generic, TypeVar, get_args
from uuid import UUID

import msgspec
from msgspec import Meta, Struct

T = TypeVar("T")

Text = Annotated[str, Meta(max_length=200)]
Email = Annotated[str, Meta(max_length=320, pattern=r"^\s*[^@\s]+@[^@\s.]+(\.[^@\s.]+)+\s*$")]
Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]


class Personal(Struct):
    """A struct whose repr shows no field, so that no traceback or log line can."""

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


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


@dataclass(frozen=True)
class Reject:
    """A record that is not loaded: its place in the page (from 0), and all that is wrong with it."""

    position: int
    issues: tuple[Issue, ...]
    raw: bytes = field(repr=False)


@dataclass(frozen=True)
class ValidPage:
    """A page, sorted into valid users (in the source's order) and rejects."""

    users: list[User] = field(repr=False)
    rejects: list[Reject]

    @property
    def fetched(self) -> int:
        return len(self.users) + len(self.rejects)


class NumericText(float):
    """A number that a source may write as a string; subclasses bound it."""

    limit: float


class LatitudeText(NumericText):
    limit = 90


class LongitudeText(NumericText):
    limit = 180


def _numeric(kind: type, value: Any) -> Any:
    """msgspec's hook for types that it does not know. Its messages hold no value."""
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        raise ValueError("Expected a number")
    number = float(value)
    if not abs(number) <= kind.limit:  # type: ignore[attr-defined]  # also refuses NaN
        raise ValueError("Number out of range")
    return kind(number)


@dataclass(frozen=True)
class Dialect(Generic[T]):
    """How one API words a page: the type of a record, the way to a ``User``, the envelope if there is one."""

    name: str
    record: type[T]
    to_user: Callable[[T], User]
    envelope: str | None = None

    def decode(self, body: bytes) -> list[User]:
        """A whole page at once. Raises ValueError as soon as one record is wrong, or all is."""
        return [self.to_user(record) for record in self._opened(self._page.decode(body))]

    def decode_one(self, raw: bytes) -> User:
        return self.to_user(self._one.decode(raw))

    def convert(self, record: Any) -> User:
        """Like ``decode_one``, of JSON that is parsed already."""
        return self.to_user(msgspec.convert(record, self.record, dec_hook=_numeric))

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
        page = _loads(body)
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
        return msgspec.json.Decoder(self._page_of(self.record), dec_hook=_numeric)

    @cached_property
    def _raw_page(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self._page_of(msgspec.Raw))

    @cached_property
    def _one(self) -> msgspec.json.Decoder[T]:
        return msgspec.json.Decoder(self.record, dec_hook=_numeric)


def validate(body: bytes, dialect: Dialect[Any], today: date) -> ValidPage:
    """Sorts a page's records into valid users and rejects.

    A page without a fault is decoded in one go; otherwise its records are taken one by one, and only those
    that are wrong pay for the detail. Raises ValueError if the body is not a page of records at all.
    """
    try:
        users = dialect.decode(body)
    except (ValueError, RecursionError):
        return _one_by_one(body, dialect, today)
    if _may_hide_nul(body) or any(user.date_of_birth > today for user in users):
        return _one_by_one(body, dialect, today)
    return ValidPage(users, [])


def _one_by_one(body: bytes, dialect: Dialect[Any], today: date) -> ValidPage:
    users, rejects = [], []
    for position, raw in enumerate(dialect.split(body)):
        found = _examine(raw, dialect, today)
        if isinstance(found, User):
            users.append(found)
        else:
            rejects.append(Reject(position, found, raw))
    return ValidPage(users, rejects)


def _examine(raw: bytes, dialect: Dialect[Any], today: date) -> User | tuple[Issue, ...]:
    try:
        user = dialect.decode_one(raw)
        if user.date_of_birth <= today and not _may_hide_nul(raw):
            return user
    except (ValueError, RecursionError):
        pass  # the slow way finds out what is wrong, and all of it
    try:
        record = _loads(raw)
    except (ValueError, RecursionError):
        return (Issue("", "json"),)
    return _examine_closely(record, dialect, today)


def _examine_closely(record: Any, dialect: Dialect[Any], today: date) -> User | tuple[Issue, ...]:
    issues = tuple(sorted(set(_struct_issues(record, dialect.record, "", today))))
    if issues:
        return issues
    try:
        return dialect.convert(record)
    except ValueError:  # msgspec sees more than the walk: fail closed
        return (Issue("", "type"),)


def _may_hide_nul(body: bytes) -> bool:
    """Postgres cannot store NUL, and JSON can write it in one way only."""
    return b"\\u0000" in body


def _loads(raw: bytes) -> Any:
    """JSON as the standard library reads it: bytes that are no UTF-8 become lone surrogates, not errors."""
    return json.loads(raw.decode("utf-8", "surrogateescape"), parse_int=_bounded_int)


def _bounded_int(digits: str) -> int | float:
    return int(digits) if len(digits) < 20 else float(digits)


def _struct_issues(value: Any, struct: type, path: str, today: date) -> Iterator[Issue]:
    if not isinstance(value, dict):
        yield Issue(path, "type")
        return
    for known in msgspec.structs.fields(struct):
        here = f"{path}.{known.encode_name}" if path else known.encode_name
        if known.encode_name in value:
            yield from _value_issues(value[known.encode_name], known.type, here, today)
        elif known.required:
            yield Issue(here, "required")


def _value_issues(value: Any, kind: Any, path: str, today: date) -> Iterator[Issue]:
    choices = (kind, *get_args(kind))  # of a union its members, of an annotated type what it annotates
    nested = next((c for c in choices if isinstance(c, type) and issubclass(c, Struct)), None)
    if value is None:
        if NoneType not in choices:
            yield Issue(path, "required")
    elif nested is not None:
        yield from _struct_issues(value, nested, path, today)
    elif isinstance(value, str) and not _storable(value):
        yield Issue(path, "encoding")
    else:
        yield from _scalar_issues(value, kind, path, today)


def _scalar_issues(value: Any, kind: Any, path: str, today: date) -> Iterator[Issue]:
    try:
        parsed = msgspec.convert(value, kind, dec_hook=_numeric)
    except msgspec.ValidationError as error:
        yield Issue(path, _rule(str(error)))
        return
    if isinstance(parsed, date) and date(parsed.year, parsed.month, parsed.day) > today:
        yield Issue(path, "future")


def _storable(text: str) -> bool:
    """No NUL and no lone surrogate: Postgres takes neither."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


_RULES = (
    ("of length", "length"),
    ("matching regex", "format"),
    ("Invalid UUID", "uuid"),
    ("Invalid RFC3339", "date"),
    ("<=", "range"),
    (">=", "range"),
    ("out of range", "range"),
)


def _rule(message: str) -> str:
    """A rule's name for what msgspec says; its message itself may hold a value and goes no further."""
    return next((rule for mark, rule in _RULES if mark in message), "type")
