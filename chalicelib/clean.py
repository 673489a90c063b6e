"""Cleans a page of valid users; the only file that knows pandas.

Pure. What comes in holds raw values, and so does what goes out, but for the generalised columns.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import compress
from operator import attrgetter
from typing import Any

import msgspec
import pandas as pd

from chalicelib.users import Employment, Subscription, User

_MISSING = {"", "n/a"}
_LONGEST_MISSING = max(map(len, _MISSING))

# Columns of text, and where they stand in a user: one attrgetter for many takes a fifth of one for each.
_TEXT = {
    "first_name": "first_name",
    "last_name": "last_name",
    "username": "username",
    "email": "email",
    "phone_number": "phone_number",
    "social_insurance_number": "social_insurance_number",
    "gender": "gender",
    "city": "address.city",
    "state": "address.state",
    "country": "address.country",
    "zip_code": "address.zip_code",
    "street_name": "address.street_name",
    "street_address": "address.street_address",
}
_EMPLOYMENT = {"employment_title": "title", "employment_key_skill": "key_skill"}
_SUBSCRIPTION = {
    "subscription_plan": "plan",
    "subscription_status": "status",
    "subscription_payment_method": "payment_method",
    "subscription_term": "term",
}
_COLUMNS = [*_TEXT, *_EMPLOYMENT, *_SUBSCRIPTION]
_of_user, _of_employment, _of_subscription = (
    attrgetter(*places.values()) for places in (_TEXT, _EMPLOYMENT, _SUBSCRIPTION)
)
_NO_EMPLOYMENT, _NO_SUBSCRIPTION = Employment(), Subscription()


@dataclass(frozen=True)
class CleanPage:
    """Columns of equal length, by the name they are stored under; None where a value is missing."""

    columns: dict[str, list[Any]] = field(repr=False)
    duplicates: int


def clean(users: list[User]) -> CleanPage:
    """Tidies text, generalises dates, zip codes and coordinates, and lets the last of each uid win."""
    uids = msgspec.to_builtins([user.uid for user in users])
    is_last = ~pd.Series(uids, dtype=object).duplicated(keep="last")
    last = list(compress(users, is_last))
    text, places = _tidied(last), [user.address.coordinates for user in last]
    columns = {
        "uid": list(compress(uids, is_last)),
        **text,
        "email": _each(text["email"], _lower),
        "username": _each(text["username"], _lower),
        "birth_year": [user.date_of_birth.year for user in last],
        "zip_prefix": _each(text["zip_code"], _first_three),
        "street": _street(text["street_address"], text["street_name"]),
        "lat": [_tenth(place.lat) for place in places],
        "lng": [_tenth(place.lng) for place in places],
    }
    return CleanPage(columns, len(users) - len(last))


def _tidied(users: list[User]) -> dict[str, list[str | None]]:
    """The columns of text, each distinct text tidied once; what is missing is None, never NaN."""
    texts = pd.Series([text for user in users for text in _texts(user)], dtype=object)
    codes, distinct = pd.factorize(texts)
    tidied = pd.Series([*map(_tidy, distinct), None], dtype=object)
    rows = tidied.take(codes).to_numpy()  # the code of a missing value is -1: the last
    columns = rows.reshape(len(users), len(_COLUMNS)).T.tolist()
    return dict(zip(_COLUMNS, columns, strict=True))


def _texts(user: User) -> tuple[str | None, ...]:
    return (
        *_of_user(user),
        *_of_employment(user.employment or _NO_EMPLOYMENT),
        *_of_subscription(user.subscription or _NO_SUBSCRIPTION),
    )


def _tidy(text: str) -> str | None:
    tidy = unicodedata.normalize("NFC", text).strip()
    return None if len(tidy) <= _LONGEST_MISSING and tidy.lower() in _MISSING else tidy


def _each(column: list[str | None], change: Callable[[str], str]) -> list[str | None]:
    return [None if text is None else change(text) for text in column]


def _lower(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())  # a capital may fall apart when it becomes small


def _first_three(code: str) -> str:
    return code[:3].rstrip()


def _street(address: list[str | None], name: list[str | None]) -> list[str | None]:
    return [f"{a}, {n}" if a and n else a or n for a, n in zip(address, name, strict=True)]


def _tenth(degrees: float) -> float:
    """By the number's exact value, where pandas' own rounding multiplies first and takes 12.35 for a tie."""
    return round(degrees, 1) + 0.0  # no negative zero: Postgres' numeric has none
