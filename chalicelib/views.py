"""The shapes of the API's responses, and their JSON: a load caches the same bytes that a read builds."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

from chalicelib.ledger import Status, Trigger
from chalicelib.users import Issue

encode = msgspec.json.Encoder().encode
_DRAFTED = b'"version":0,"updated_at":""'  # in the body of a person whose load has not happened yet

Uuid = Annotated[str, Meta(examples=["f80b9b0d-c04d-4a77-86b5-43981186a788"])]
Moment = Annotated[str, Meta(examples=["2026-01-31T12:00:00.000000Z"])]
Token = Annotated[str, Meta(description="A keyed token.", examples=["v1_v37AnHWtXEslvC6rKRkQd8As"])]


class Coordinates(Struct):
    """Degrees, rounded to a tenth."""

    lat: float | None
    lng: float | None


class Address(Struct):
    city: str | None
    state: str | None
    country: str | None
    zip_prefix: str | None
    street: Token | None
    coordinates: Coordinates


class Employment(Struct):
    title: str | None
    key_skill: str | None


class Subscription(Struct):
    plan: str | None
    status: str | None
    payment_method: str | None
    term: str | None


_Custom = str | int | float | bool


class UserView(Struct, omit_defaults=True):
    """One person as stored: tokens, generalised values and kept values. ``updated_at`` is in UTC; ``custom``
    holds the fields that the source's dialect adds, if it adds some.
    """

    uid: Uuid
    version: int
    updated_at: Moment
    first_name: Token | None
    last_name: Token | None
    username: Token | None
    email: Token | None
    phone_number: Token | None
    social_insurance_number: Token | None
    birth_year: Annotated[int | None, Meta(examples=[1987])]
    gender: str | None
    employment: Employment
    subscription: Subscription
    address: Address
    custom: dict[str, _Custom | list[_Custom] | None] | None = None


read_user = msgspec.json.Decoder(UserView).decode


class UserList(Struct):
    """A page of people in the order of their uid; ``next`` is the cursor of the next page."""

    items: list[UserView]
    next: str | None


class Run(Struct):
    """One run in the ledger. ``fetched`` equals the sum of the seven counts after it; times are in UTC.

    ``filtered`` counts valid records that the dialect does not want; ``unknown_fields``, fields that it does
    not know, once for each record; ``withheld``, kept values that held an e-mail address or a long number.
    None of them is stored. ``departed`` people, whom the source no longer has, were removed.
    A replay has no ``page_size``. ``since`` is set if the run asked only for who has changed since then.
    """

    run_id: Uuid
    source: str
    trigger: Trigger
    status: Status
    pages_planned: int
    page_size: int | None
    pages_done: int
    fetched: int
    inserted: int
    updated: int
    unchanged: int
    duplicate: int
    rejected: int
    suppressed: int
    filtered: int
    unknown_fields: int
    withheld: int
    departed: int
    error: str | None
    contract_hash: str
    key_version: int
    timings: dict[str, float]
    started_at: Moment
    finished_at: Moment | None
    replay_of: Uuid | None
    queued: bool
    since: Moment | None


class RunList(Struct):
    """A page of runs, the newest first; ``next`` is the cursor of the next page."""

    items: list[Run]
    next: str | None


class RejectView(Struct):
    """A record that was not loaded: page (from 1), position in the page (from 0), what was wrong and where.

    ``sealed_until`` is set while the quarantine holds it; ``replayed_by`` is the run that replayed it.
    """

    page: int
    position: int
    issues: list[Issue]
    fingerprint: Token
    sealed_until: Moment | None
    replayed_by: Uuid | None


class RejectList(Struct):
    """A page of rejects in the order of the source; ``next`` is the cursor of the next page."""

    items: list[RejectView]
    next: str | None


class RunStarted(Struct):
    """``status`` is running; or skipped, if another run of the source is in progress; or failed, if the token
    keys do not match the stored data or cannot be compared with it."""

    run_id: Uuid
    status: Annotated[str, Meta(extra_json_schema={"enum": ["running", "skipped", "failed"]})]


class Receipt(Struct):
    """What was erased and where. ``uid_token`` is what is remembered of the person, apart from such tokens
    under other keys, and keyed fingerprints of rejected records.

    ``cache_cleared`` is false if Redis was unavailable: its entry expires in ``cache_gone_within_seconds``.
    """

    uid_token: Token
    erased_at: Moment
    users: int
    addresses: int
    sealed_records: int
    cache_cleared: bool
    cache_gone_within_seconds: int
    run_ids: list[str]


class Problem(Struct, omit_defaults=True):
    """An error in the format of RFC 9457. ``request_id`` identifies the request in the log."""

    title: Annotated[str, Meta(examples=["Malformed query"])]
    status: Annotated[int, Meta(examples=[400])]
    detail: str = ""
    request_id: str = ""
    type: str = "about:blank"


class CacheCounts(Struct):
    """What the cache of this container has done since it started."""

    hits: int
    misses: int
    fills: int
    errors: int


class ServerHealth(Struct):
    ok: bool


class Health(Struct):
    """``status`` is ok, degraded (no Redis) or down (no Postgres).

    ``last_success_age_seconds`` is the age of the last successful run other than a replay.
    """

    status: Annotated[Literal["ok", "degraded", "down"], Meta(examples=["ok"])]
    postgres: ServerHealth
    redis: ServerHealth
    cache: CacheCounts
    last_success_age_seconds: float | None


def as_json(value: Any) -> str:
    """The JSON of a value, as text."""
    return encode(value).decode()


def user_views(columns: Mapping[str, Iterable[Any]]) -> Iterator[UserView]:
    """The views of people, from the stored columns by name."""
    nested = {
        "employment": _views(Employment, columns, "employment_"),
        "subscription": _views(Subscription, columns, "subscription_"),
        "address": _views(Address, {**columns, "coordinates": _views(Coordinates, columns)}),
    }
    return _views(UserView, {**columns, **nested})


def _views(view: type[Struct], columns: Mapping[str, Iterable[Any]], prefix: str = "") -> Iterator[Any]:
    return map(view, *[columns[f"{prefix}{name}"] for name in view.__struct_fields__])


def user_drafts(columns: Mapping[str, Sequence[Any]]) -> dict[str, bytes]:
    """The JSON bodies of a page's people, by uid, as far as they are known before a load."""
    unknown: dict[str, Iterable[Any]] = {
        "version": repeat(0),
        "updated_at": repeat(""),
        "custom": repeat(None),
    }
    drafts = map(encode, user_views({**unknown, **columns}))
    return dict(zip(columns["uid"], drafts, strict=True))


def user_bodies(
    drafts: Mapping[str, bytes], versions: Mapping[str, int], updated_at: str
) -> dict[str, bytes]:
    """The JSON bodies, by uid, of the people that a load inserted or updated."""
    return {
        uid: drafts[uid].replace(_DRAFTED, f'"version":{version},"updated_at":"{updated_at}"'.encode(), 1)
        for uid, version in versions.items()
    }
