"""Finds and erases people. The edges arrive as arguments; raw values are tokenised at once."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from datetime import MINYEAR, UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, Annotated, Any, Protocol
from uuid import UUID

from msgspec import UNSET, Meta, Struct, structs

from chalicelib import custom, privacy
from chalicelib.errors import ConfigError, RequestError, TokenError
from chalicelib.forms import Lookup, Page, Users
from chalicelib.ledger import Erased, KeyInUse
from chalicelib.privacy import KeyLedger, Tokeniser, refuse_wrong_keys
from chalicelib.views import Receipt, UserList, UserView, as_json, encode

if TYPE_CHECKING:
    from chalicelib.dialect import Dialect

Dialects = Callable[[], "Dialect[Any]"]  # the source's, imported on its first use: that takes 13 ms

_PURPOSE = "cursor"
_LARGEST_LIST_BYTES = 5_500_000  # a Lambda response may have six million, headers included
_ALWAYS_FIT, _ALWAYS_FIT_WITH_CUSTOM = 300, 1  # people, however long their texts are


class Store(KeyLedger, Protocol):
    """Where people are kept."""

    def list_users(self, limit: int, after: str | None, filters: Mapping[str, Any]) -> list[UserView]: ...
    def unmatched_keys(self, proofs: Mapping[int, str], given_up: Sequence[int]) -> list[int]: ...
    def erase(self, uid: str, uid_tokens: Sequence[str], key: KeyInUse) -> Erased: ...


class Cache(Protocol):
    """Where recent people are cached."""

    @property
    def longest_ttl_seconds(self) -> int: ...
    def forget_user(self, uid: str) -> bool: ...


class ContractField(Struct):
    """A field of a ``User``, or one that the source's dialect drops: its treatment and its column."""

    path: str
    treatment: privacy.Treatment
    column: str | None
    note: str


class Contract(Struct):
    """The table of treatments. ``hash`` identifies it, but for the fields that are dropped. ``key_version``
    is the version of the key that makes tokens; ``key_versions`` are those of the keys that look-ups try.
    """

    hash: Annotated[str, Meta(examples=["9f86d081884c7d65"])]
    key_version: int
    key_versions: list[int]
    fields: list[ContractField]


def contract(tokeniser: Tokeniser, dialect: "Dialect[Any]") -> Contract:
    """What happens to each field, and under which key."""
    rows = privacy.contract(dialect.custom)
    fields = [ContractField(row.path, row.treatment, row.column, row.note) for row in rows]
    fields += [ContractField(path, "drop", None, "") for path in dialect.dropped]
    return Contract(privacy.contract_hash(dialect.custom), tokeniser.version, tokeniser.versions, fields)


def list_users(store: Store, tokeniser: Tokeniser, query: Users, dialect: Dialects) -> UserList:
    """A page of the people who match all filters. ``dialect`` is called only if it is needed."""
    filters = {name: value for name, value in _given(query).items() if name not in Page.__struct_fields__}
    if "updated_since" in filters:
        filters["updated_since"] = _in_utc(filters["updated_since"])
    if "custom" in filters:
        filters["custom"] = [as_json(_kept_values(dialect(), filters["custom"]))]
    return _page(store, tokeniser, query, filters, filters)


def _kept_values(dialect: "Dialect[Any]", written: Mapping[str, str]) -> dict[str, Any]:
    """The object of kept custom fields, of their own types, that a query looks for. Raises RequestError."""
    _refuse_others("query", written, dialect, "keep")
    values = {name: custom.read(dialect.user_type, name, text) for name, text in sorted(written.items())}
    if unread := [name for name, value in values.items() if value is None]:
        raise RequestError(
            400, "Malformed query", f"custom: no value of {', '.join(unread)} is written like this"
        )
    return custom.sought(dialect.user_type, values)


def _refuse_others(
    where: str, names: Collection[str], dialect: "Dialect[Any]", treatment: custom.Treatment
) -> None:
    """Raises RequestError unless all names are those of custom fields with this treatment."""
    known = [name for name, treated in dialect.custom.items() if treated == treatment]
    if not set(known).issuperset(names):
        allowed = ", ".join(known) or "none"
        raise RequestError(400, f"Malformed {where}", f"custom: unknown field; allowed: {allowed}")


def _in_utc(moment: datetime) -> str:
    """Postgres accepts fewer UTC offsets than RFC 3339. Beyond datetime's range, the moment is ±infinity."""
    try:
        return moment.astimezone(UTC).isoformat()
    except OverflowError:
        return "infinity" if moment.year > MINYEAR else "-infinity"


def look_up(store: Store, tokeniser: Tokeniser, query: Page, wanted: Lookup, dialect: Dialects) -> UserList:
    """A page of the people who have all these values, under whichever key they were stored.

    A value that is empty once normalised, such as a phone number without a digit, matches nobody. Raises
    ConfigError if people are stored under other keys, because they would seem not to be stored.
    """
    raw = _given(wanted)
    if not raw:
        raise RequestError(
            400, "Malformed body", f"at least one of these is required: {', '.join(Lookup.__struct_fields__)}"
        )
    custom_values = raw.pop("custom", {})
    if custom_values:
        _refuse_others("body", custom_values, dialect(), "token")
    try:
        tokens = {name: tokeniser.candidates(name, value) for name, value in raw.items()}
        if custom_values:
            tokens["custom"] = _custom_candidates(tokeniser, dialect(), custom_values)
    except TokenError:
        return UserList([], None)
    found = _page(store, tokeniser, query, tokens, {name: known[-1] for name, known in tokens.items()})
    # Not before the search, during which people may move to a newer key.
    if unmatched := store.unmatched_keys(tokeniser.proofs(), tokeniser.given_up):
        versions = ", ".join(map(str, unmatched))
        raise ConfigError("PII_KEYS", f"people are stored under other keys, of version {versions}")
    return found


def _custom_candidates(tokeniser: Tokeniser, dialect: "Dialect[Any]", values: Mapping[str, str]) -> list[str]:
    """The tokens of all values under every known key, newest first, each as JSON: a person has one key."""
    names = sorted(values)
    by_field = [tokeniser.candidates(custom.column(name), values[name]) for name in names]
    by_key = [dict(zip(names, tokens, strict=True)) for tokens in zip(*by_field, strict=True)]
    return [as_json(custom.sought(dialect.user_type, tokens)) for tokens in by_key]


def _given(form: Struct) -> dict[str, Any]:
    """The fields of a form that were sent, or have a default."""
    return {name: value for name, value in structs.asdict(form).items() if value is not UNSET}


def _page(
    store: Store, tokeniser: Tokeniser, query: Page, filters: Mapping[str, Any], identity: Mapping[str, Any]
) -> UserList:
    """Fetches one more than asked for, to know whether there is a next page.

    ``identity`` identifies the filters in the cursor, and stays the same when a new key is added.
    """
    filter_hash = blake2b(encode(identity), digest_size=8).digest()
    after = _read_cursor(tokeniser, query.cursor, filter_hash) if query.cursor else None
    found = store.list_users(query.limit + 1, after, filters)
    items = _fit_response(found[: query.limit])
    if len(items) == len(found):
        return UserList(items, None)
    return UserList(items, tokeniser.sign(_PURPOSE, UUID(items[-1].uid).bytes + filter_hash))


def _fit_response(people: list[UserView]) -> list[UserView]:
    """Halves the list until it fits a response, whose body is a JSON string; the next page has the rest."""
    fit = _ALWAYS_FIT if all(person.custom is None for person in people) else _ALWAYS_FIT_WITH_CUSTOM
    while len(people) > fit and len(encode(as_json(people))) > _LARGEST_LIST_BYTES:
        people = people[: len(people) // 2]
    return people


def _read_cursor(tokeniser: Tokeniser, cursor: str, filter_hash: bytes) -> str:
    """The last uid before the page. Raises RequestError if the cursor was altered or has other filters."""
    payload = tokeniser.verify(_PURPOSE, cursor)
    if payload is None or payload[16:] != filter_hash:
        raise RequestError(404, "No such page", "the cursor was not issued for these filters")
    return str(UUID(bytes=payload[:16]))


def erase(store: Store, cache: Cache, tokeniser: Tokeniser, uid: str) -> Receipt:
    """Erases a person, whether stored or not, and returns a receipt of what was removed. Idempotent.

    The cache is marked after the commit, so that a reader that fetched the person earlier cannot cache them
    again. Erases nothing and raises ConfigError if the keys do not fit what is stored, or KeysOvertaken if
    they no longer do when the erasure begins.
    """
    refuse_wrong_keys(store, tokeniser)
    uid_tokens = tokeniser.candidates("uid", uid)
    erased = store.erase(uid, uid_tokens, tokeniser.key_in_use)
    return Receipt(
        uid_token=uid_tokens[0],
        cache_cleared=cache.forget_user(uid),
        cache_gone_within_seconds=cache.longest_ttl_seconds,
        **asdict(erased),
    )
