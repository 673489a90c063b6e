"""Cleans a page of valid users; the only file that knows pandas.

Pure. Input and output both hold raw values; in the output, only the generalised columns do not.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import compress
from math import isnan
from operator import attrgetter
from typing import Any
from unicodedata import normalize

import msgspec
import pandas as pd
from msgspec import Struct

from chalicelib import custom
from chalicelib.users import Address, Coordinates, Employment, Subscription, User

_MISSING = {"", "n/a"}
_LONGEST_MISSING = max(map(len, _MISSING))

# The text fields of a user and of what it holds.
_USER = ("first_name", "last_name", "username", "email", "phone_number", "social_insurance_number", "gender")
_ADDRESS = ("city", "state", "country", "zip_code", "street_name", "street_address")
_EMPLOYMENT = ("title", "key_skill")
_SUBSCRIPTION = ("plan", "status", "payment_method", "term")
_NO_ADDRESS, _NOWHERE = Address(), Coordinates()
_NO_EMPLOYMENT, _NO_SUBSCRIPTION = Employment(), Subscription()


@dataclass(frozen=True)
class CleanPage:
    """Columns of equal length, by the name they are stored under; None where a value is missing."""

    columns: dict[str, list[Any]] = field(repr=False)
    duplicates: int


def clean(users: list[User], custom_fields: Collection[str] = ()) -> CleanPage:
    """Tidies text, generalises dates, zip codes and coordinates, and keeps the last record of each uid."""
    uids = msgspec.to_builtins([user.uid for user in users])
    is_last = ~pd.Series(uids, dtype=object).duplicated(keep="last")
    last = list(compress(users, is_last))
    addresses = [user.address or _NO_ADDRESS for user in last]
    text = {name: _tidied(column) for name, column in _raw_text(last, addresses).items()}
    points = [address.coordinates or _NOWHERE for address in addresses]
    columns = {
        "uid": list(compress(uids, is_last)),
        **text,
        "email": _lower(text["email"]),
        "username": _lower(text["username"]),
        "birth_year": [user.date_of_birth and user.date_of_birth.year for user in last],
        "zip_prefix": [code and code[:3].rstrip() for code in text["zip_code"]],
        "street": _street(text["street_address"], text["street_name"]),
        "lat": _tenths([point.lat for point in points]),
        "lng": _tenths([point.lng for point in points]),
        **{
            name: custom.each(name, column, _custom)
            for name, column in custom.columns(last, custom_fields).items()
        },
    }
    return CleanPage(columns, len(users) - len(last))


def _raw_text(users: list[User], addresses: list[Address]) -> dict[str, Sequence[str | None]]:
    """The text columns, as the source has them."""
    employments = [user.employment or _NO_EMPLOYMENT for user in users]
    subscriptions = [user.subscription or _NO_SUBSCRIPTION for user in users]
    return {
        **_columns(_USER, users),
        **_columns(_ADDRESS, addresses),
        **_columns(_EMPLOYMENT, employments, "employment_"),
        **_columns(_SUBSCRIPTION, subscriptions, "subscription_"),
    }


def _columns(names: Sequence[str], structs: Iterable[Struct], prefix: str = "") -> dict[str, Sequence[Any]]:
    columns = list(zip(*map(attrgetter(*names), structs), strict=True)) or [()] * len(names)
    return {f"{prefix}{name}": column for name, column in zip(names, columns, strict=True)}


def _custom(column: Sequence[Any]) -> list[Any]:
    """The values of a custom field: texts tidied, times in UTC, no negative zero (Postgres has none)."""
    tidied = iter(_tidied([value for value in column if type(value) is str]))
    return [
        next(tidied) if type(value) is str
        else value + 0.0 if type(value) is float
        else custom.in_utc(value)
        for value in column
    ]  # fmt: skip


def _tidied(column: Sequence[str | None]) -> list[str | None]:
    """Each text in NFC, without surrounding whitespace; None for a missing value.

    One expression: a function call for each text would double the time.
    """
    return [
        None
        if text is None or (len(tidy := text.strip()) <= _LONGEST_MISSING and tidy.lower() in _MISSING)
        else (tidy if tidy.isascii() else normalize("NFC", tidy))
        for text in column
    ]


def _lower(column: list[str | None]) -> list[str | None]:
    """In lower case, and normalised again, since the lower case of a text in NFC may not be in NFC."""
    return [text and (text.lower() if text.isascii() else normalize("NFC", text.lower())) for text in column]


def _street(address: list[str | None], name: list[str | None]) -> list[str | None]:
    return [f"{a}, {n}" if a and n else a or n for a, n in zip(address, name, strict=True)]


def _tenths(degrees: list[float | None]) -> list[float | None]:
    """Rounded to a tenth, halves to the even tenth."""
    rounded = pd.Series(degrees, dtype=float).round(1) + 0.0  # no negative zero: Postgres' numeric has none
    return [None if isnan(degree) else degree for degree in rounded.to_list()]
