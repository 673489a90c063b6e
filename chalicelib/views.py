"""The shapes that the API answers with, and their JSON. What a loader caches and a reader builds is equal."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from chalicelib.users import Issue


class Coordinates(Struct):
    """Degrees, to a tenth."""

    lat: float
    lng: float


class Address(Struct):
    city: str | None
    state: str | None
    country: str | None
    zip_prefix: str | None
    street: str | None
    coordinates: Coordinates


class Employment(Struct):
    title: str | None
    key_skill: str | None


class Subscription(Struct):
    plan: str | None
    status: str | None
    payment_method: str | None
    term: str | None


class UserView(Struct):
    """One person as stored: tokens, generalised values, and what is kept. ``updated_at`` is in UTC."""

    uid: str
    version: int
    updated_at: str
    first_name: str | None
    last_name: str | None
    username: str | None
    email: str | None
    phone_number: str | None
    social_insurance_number: str | None
    birth_year: int
    gender: str | None
    employment: Employment
    subscription: Subscription
    address: Address


class UserList(Struct):
    items: list[UserView]


class Run(Struct):
    """One run of the ledger. ``fetched`` equals the sum of the six counts after it; times are in UTC."""

    run_id: str
    source: str
    trigger: str
    status: str
    pages_planned: int
    pages_done: int
    fetched: int
    inserted: int
    updated: int
    unchanged: int
    duplicate: int
    rejected: int
    suppressed: int
    error: str | None
    contract_hash: str
    key_version: int
    timings: dict[str, float]
    started_at: str
    finished_at: str | None


class RunList(Struct):
    items: list[Run]


class RejectView(Struct):
    """A record that was not loaded: page (from 1), place in the page (from 0), what was wrong and where."""

    page: int
    position: int
    issues: list[Issue]
    fingerprint: str


class RejectList(Struct):
    items: list[RejectView]


class ServerHealth(Struct):
    ok: bool


class Health(Struct):
    """``status`` is ok, degraded (no Redis) or down; the age is that of the last run that succeeded."""

    status: str
    postgres: ServerHealth
    redis: ServerHealth
    last_success_age_seconds: float | None


def user_view(row: Sequence[Any]) -> UserView:
    """The view of a row in the order of ``user.sql``."""
    return UserView(  # type: ignore[call-arg]  # mypy cannot count a slice
        *row[:11],
        Employment(*row[11:13]),
        Subscription(*row[13:17]),
        Address(*row[17:21], row[23], Coordinates(*row[21:23])),  # type: ignore[call-arg]
    )


def user_bodies(
    columns: Mapping[str, Sequence[Any]], versions: Mapping[str, int], updated_at: str
) -> dict[str, bytes]:
    """The JSON bodies, by uid, of those people of a loaded page whose uid is in ``versions``."""
    rows = zip(*columns.values(), strict=True)  # stored columns come in the order of the views
    changed = (row for row in rows if row[0] in versions)
    return {row[0]: encode(user_view((row[0], versions[row[0]], updated_at, *row[1:]))) for row in changed}


encode = msgspec.json.Encoder().encode
