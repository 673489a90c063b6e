"""What a user is: the common form of a record, into which each dialect converts its own.

It has the fields of the Random Data API's v2 user that Decant uses. Only the uid is required here: the types
of a dialect say what else its API must send. No type holds a field that is not named here: passwords, card
numbers, pictures, and anything that the source adds.
"""

import math
import re
from collections.abc import Collection
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from msgspec import Meta, Struct

MAX_PAGE_SIZE = 5_000  # records
MAX_PAGES = 100_000  # in a run

Text = Annotated[str, Meta(max_length=200)]
JoinedText = Annotated[str, Meta(max_length=500)]  # several texts that a dialect has joined
Texts = Annotated[list[Text], Meta(max_length=50)]
# Characters that no part of an e-mail address holds: spaces, controls, punctuation of mail, invisible ones.
_NEVER = r"\s@<>()\[\],;:\\\"\x00-\x1f\x7f\u200b-\u200f\u2060\ufeff"
Email = Annotated[
    str,  # the cleaner removes the spaces around it
    Meta(max_length=320, pattern=rf"^\s*[^{_NEVER}]+@[^.?/{_NEVER}]+(\.[^.?/{_NEVER}]+)+\s*$"),
]
Emails = Annotated[list[Email], Meta(max_length=30)]
_BORN = Meta(extra={"rule": "future"})
BirthDate = Annotated[date, _BORN]  # not after today
BirthMoment = Annotated[datetime, _BORN]
Whole = Annotated[int, Meta(ge=0, lt=10_000_000_000)]
Latitude = Annotated[float, Meta(ge=-90, le=90)]
Longitude = Annotated[float, Meta(ge=-180, le=180)]


class Personal(Struct, gc=False):
    """A struct whose repr shows no field, so that no traceback or log line can.

    The garbage collector does not track it: a record cannot refer to itself.
    """

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return []


class Coordinates(Personal):
    lat: Latitude | None = None
    lng: Longitude | None = None


class Address(Personal):
    city: Text | None = None
    street_name: Text | None = None
    street_address: JoinedText | None = None
    zip_code: Text | None = None
    state: Text | None = None
    country: Text | None = None
    coordinates: Coordinates | None = None


class Employment(Personal):
    title: Text | None = None
    key_skill: Text | None = None


class Subscription(Personal):
    plan: Text | None = None
    status: Text | None = None
    payment_method: Text | None = None
    term: Text | None = None


class User(Personal, kw_only=True):
    """One valid record, raw. Lives only between validation and protection.

    A dialect may add fields of its own in a subclass: custom fields.
    """

    uid: UUID
    first_name: Text | None = None
    last_name: Text | None = None
    username: Text | None = None
    email: Email | None = None
    date_of_birth: BirthDate | None = None
    address: Address | None = None
    phone_number: Text | None = None
    social_insurance_number: Text | None = None
    gender: Text | None = None
    employment: Employment | None = None
    subscription: Subscription | None = None


class Issue(Struct, frozen=True, order=True):
    """One thing that is wrong with a record, in the source's own field names.

    ``path`` is dotted (empty for the record as a whole); ``rule`` is one of ``required``, ``type``,
    ``length``, ``format``, ``uuid``, ``date``, ``future``, ``range``, ``encoding``, ``json``. If the dialect
    could not convert the record, the rule is ``conversion``, and the path is the place in its code, if known,
    or the field of the ``User`` that does not fit.
    """

    path: str
    rule: str


_AT = re.compile(r"at `\$\.([a-z0-9_.]+)(\[[0-9]+\])?`$")
_OWN_NAMES = {
    name
    for struct in (User, Address, Coordinates, Employment, Subscription)
    for name in struct.__struct_fields__
}


def misfit(error: Exception, custom: Collection[str]) -> str:
    """The path of the ``User``'s field, or of the custom one, that msgspec's message is about; empty if there
    is none. The rest of the message may hold a value."""
    found = _AT.search(str(error))
    return found[1] if found and {*_OWN_NAMES, *custom}.issuperset(found[1].split(".")) else ""


_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")


class NumericText(float):
    """A number that a source may write as a string; subclasses set its limit."""

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
    """Reads a number as JSON writes it, also with spaces around it. NaN stands for an int too large."""
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        raise ValueError("Expected a number")
    try:
        return float(value)
    except OverflowError:
        return math.nan
