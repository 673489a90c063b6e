"""Cleans a page of valid users; the only file that knows pandas.

Pure. What comes in holds raw values, and so does what goes out, but for the generalised columns.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import compress
from operator import attrgetter
from typing import Any

import pandas as pd

from chalicelib.users import Employment, Subscription, User

_MISSING = {"", "n/a"}
_LONGEST_MISSING = max(map(len, _MISSING))

_NO_EMPLOYMENT, _NO_SUBSCRIPTION = Employment(), Subscription()

_TEXT: dict[str, Callable[[User], str | None]] = {
    "first_name": attrgetter("first_name"),
    "last_name": attrgetter("last_name"),
    "username": attrgetter("username"),
    "email": attrgetter("email"),
    "phone_number": attrgetter("phone_number"),
    "social_insurance_number": attrgetter("social_insurance_number"),
    "gender": attrgetter("gender"),
    "employment_title": lambda user: (user.employment or _NO_EMPLOYMENT).title,
    "employment_key_skill": lambda user: (user.employment or _NO_EMPLOYMENT).key_skill,
    "subscription_plan": lambda user: (user.subscription or _NO_SUBSCRIPTION).plan,
    "subscription_status": lambda user: (user.subscription or _NO_SUBSCRIPTION).status,
    "subscription_payment_method": lambda user: (user.subscription or _NO_SUBSCRIPTION).payment_method,
    "subscription_term": lambda user: (user.subscription or _NO_SUBSCRIPTION).term,
    "city": attrgetter("address.city"),
    "state": attrgetter("address.state"),
    "country": attrgetter("address.country"),
    "zip_code": attrgetter("address.zip_code"),
    "street_name": attrgetter("address.street_name"),
    "street_address": attrgetter("address.street_address"),
}


@dataclass(frozen=True)
class CleanPage:
    """Columns of equal length, by the name they are stored under; None where a value is missing."""

    columns: dict[str, list[Any]] = field(repr=False)
    duplicates: int


def clean(users: list[User]) -> CleanPage:
    """Tidies text, generalises dates, zip codes and coordinates, and lets the last of each uid win."""
    uids = pd.Series([str(user.uid) for user in users], dtype=object)
    is_last = ~uids.duplicated(keep="last")
    last = list(compress(users, is_last))
    text = _tidied(last)
    columns = {
        "uid": uids[is_last].tolist(),
        **{name: text[name].tolist() for name in _TEXT},
        "email": _each(text["email"], _lower),
        "username": _each(text["username"], _lower),
        "birth_year": [user.date_of_birth.year for user in last],
        "zip_prefix": _each(text["zip_code"], _first_three),
        "street": _street(text["street_address"], text["street_name"]),
        "lat": [_tenth(user.address.coordinates.lat) for user in last],
        "lng": [_tenth(user.address.coordinates.lng) for user in last],
    }
    return CleanPage(columns, len(users) - len(last))


def _tidied(users: list[User]) -> pd.DataFrame:
    """The columns of text, each distinct text tidied once; what is missing is None, never NaN."""
    texts = pd.Series([get(user) for get in _TEXT.values() for user in users], dtype=object)
    codes, distinct = pd.factorize(texts)
    tidied = pd.Series([*map(_tidy, distinct), None], dtype=object)
    columns = tidied.take(codes).to_numpy()  # the code of a missing value is -1: the last
    return pd.DataFrame(columns.reshape(len(_TEXT), len(users)).T, columns=list(_TEXT), dtype=object)


def _tidy(text: str) -> str | None:
    tidy = unicodedata.normalize("NFC", text).strip()
    return None if len(tidy) <= _LONGEST_MISSING and tidy.lower() in _MISSING else tidy


def _each(column: pd.Series, change: Callable[[str], str]) -> list[str | None]:
    return [None if text is None else change(text) for text in column]


def _lower(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())  # a capital may fall apart when it becomes small


def _first_three(code: str) -> str:
    return code[:3].rstrip()


def _street(address: pd.Series, name: pd.Series) -> list[str | None]:
    return [", ".join(filter(None, parts)) or None for parts in zip(address, name, strict=True)]


def _tenth(degrees: float) -> float:
    """By the number's exact value, where pandas' own rounding multiplies first and takes 12.35 for a tie."""
    return round(degrees, 1) + 0.0  # no negative zero: Postgres' numeric has none
