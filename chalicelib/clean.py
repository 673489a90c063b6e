"""Cleans a page of valid users; the only file that knows pandas.

Pure. What comes in holds raw values, and so does what goes out, but for the generalised columns.
"""

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import pandas as pd

from chalicelib.users import Employment, Subscription, User

_MISSING = {"", "n/a"}

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
    frame = _frame(users)
    unique = frame[~frame["uid"].duplicated(keep="last")]
    text = {name: _over_distinct(unique[name], _tidy) for name in _TEXT}
    columns = {
        "uid": unique["uid"].map(str),
        **text,
        "email": _over_distinct(text["email"], _lower),
        "username": _over_distinct(text["username"], _lower),
        "birth_year": unique["date_of_birth"].map(attrgetter("year")),
        "zip_prefix": _over_distinct(text["zip_code"], lambda code: code[:3].rstrip()),
        "street": _street(text["street_address"], text["street_name"]),
        "lat": _tenth_of_a_degree(unique["lat"]),
        "lng": _tenth_of_a_degree(unique["lng"]),
    }
    return CleanPage({name: column.tolist() for name, column in columns.items()}, len(frame) - len(unique))


def _frame(users: list[User]) -> pd.DataFrame:
    columns = {name: pd.Series([get(user) for user in users], dtype=object) for name, get in _TEXT.items()}
    return pd.DataFrame(
        {
            "uid": pd.Series([user.uid for user in users], dtype=object),
            "date_of_birth": pd.Series([user.date_of_birth for user in users], dtype=object),
            "lat": pd.Series([user.address.coordinates.lat for user in users], dtype=float),
            "lng": pd.Series([user.address.coordinates.lng for user in users], dtype=float),
            **columns,
        }
    )


def _over_distinct(column: pd.Series, change: Callable[[str], str | None]) -> pd.Series:
    """Applies ``change`` once to each distinct text; what is missing stays None, never NaN."""
    codes, distinct = pd.factorize(column)
    changed = pd.Series([*map(change, distinct), None], dtype=object)
    return changed.take(codes)  # the code of a missing value is -1: the last


def _tidy(text: str) -> str | None:
    tidy = unicodedata.normalize("NFC", text).strip()
    return None if tidy.lower() in _MISSING else tidy


def _lower(text: str) -> str:
    return unicodedata.normalize("NFC", text.lower())  # a capital may fall apart when it becomes small


def _street(address: pd.Series, name: pd.Series) -> pd.Series:
    parts = zip(address, name, strict=True)
    return pd.Series([", ".join(filter(None, part)) or None for part in parts], dtype=object)


def _tenth_of_a_degree(degrees: pd.Series) -> pd.Series:
    """By the number's exact value, where pandas' own rounding multiplies first and takes 12.35 for a tie."""
    return degrees.map(lambda exact: round(exact, 1)) + 0.0  # no negative zero: Postgres' numeric has none
