"""Finding and forgetting people. The edges arrive as arguments; raw values are tokenised at once."""

from collections.abc import Mapping, Sequence
from datetime import MINYEAR, UTC, datetime
from hashlib import blake2b
from typing import Any, Protocol
from uuid import UUID

from msgspec import UNSET, structs

from chalicelib.errors import RequestError, TokenError
from chalicelib.forms import Lookup, Page, Users
from chalicelib.ledger import Erased, KeyInUse, KeyTrouble
from chalicelib.privacy import CONTRACT, Tokeniser, contract_hash, refuse_wrong_keys
from chalicelib.views import Contract, ContractField, Receipt, UserList, UserView, encode

_CURSOR = "cursor"
_LARGEST_LIST_BYTES = 5_500_000  # a Lambda's answer may have six million, headers and all
_ALWAYS_FIT = 300  # however long their texts are


class Store(Protocol):
    """Where people are kept."""

    def list_users(self, limit: int, after: str | None, filters: Mapping[str, Any]) -> list[UserView]: ...
    def check_keys(self, proofs: Mapping[int, str], given_up: Sequence[int]) -> list[KeyTrouble]: ...
    def erase(self, uid: str, uid_tokens: Sequence[str], key: KeyInUse) -> Erased: ...


class Cache(Protocol):
    """Where recent people are at hand."""

    @property
    def longest_ttl_seconds(self) -> int: ...
    def forget_user(self, uid: str) -> bool: ...


def contract(tokeniser: Tokeniser) -> Contract:
    """What happens to each field, and under which key."""
    fields = [ContractField(row.path, row.treatment, row.column, row.note) for row in CONTRACT]
    return Contract(contract_hash(), tokeniser.version, tokeniser.versions, fields)


def listed(store: Store, tokeniser: Tokeniser, query: Users) -> UserList:
    """A page of those whom all filters fit."""
    filters = {name: value for name, value in structs.asdict(query).items() if value is not UNSET}
    del filters["limit"]
    filters.pop("cursor", None)
    if "updated_since" in filters:
        filters["updated_since"] = _in_utc(filters["updated_since"])
    return _page(store, tokeniser, query, filters, filters)


def _in_utc(moment: datetime) -> str:
    """Postgres knows fewer zones than RFC 3339, and time has ends."""
    try:
        return moment.astimezone(UTC).isoformat()
    except OverflowError:
        return "infinity" if moment.year > MINYEAR else "-infinity"


def looked_up(store: Store, tokeniser: Tokeniser, query: Page, wanted: Lookup) -> UserList:
    """A page of those who have these values, under whichever key they were stored.

    Nobody has a value in which there is nothing, such as a phone number without a digit.
    """
    raw = {name: value for name, value in structs.asdict(wanted).items() if value is not UNSET}
    if not raw:
        raise RequestError(
            400, "Malformed body", f"it must hold one of: {', '.join(Lookup.__struct_fields__)}"
        )
    try:
        tokens = {name: tokeniser.candidates(name, value) for name, value in raw.items()}
    except TokenError:
        return UserList([], None)
    return _page(store, tokeniser, query, tokens, {name: known[-1] for name, known in tokens.items()})


def _page(
    store: Store, tokeniser: Tokeniser, query: Page, filters: Mapping[str, Any], lasting: Mapping[str, Any]
) -> UserList:
    """One more than asked for is fetched, to know whether there is a next page.

    ``lasting`` tells these filters from others, and does so after a rotation of the keys too.
    """
    which = blake2b(encode(lasting), digest_size=8).digest()
    after = None if query.cursor is UNSET else _opened(tokeniser, str(query.cursor), which)
    found = store.list_users(query.limit + 1, after, filters)
    items = _fitting(found[: query.limit])
    more = len(found) > len(items)
    return UserList(items, tokeniser.signed(_CURSOR, UUID(items[-1].uid).bytes + which) if more else None)


def _fitting(people: list[UserView]) -> list[UserView]:
    """As many as fit into an answer, in which a body is a text within JSON; the next page has the rest."""
    while len(people) > _ALWAYS_FIT and len(encode(encode(people).decode())) > _LARGEST_LIST_BYTES:
        people = people[: len(people) // 2]
    return people


def _opened(tokeniser: Tokeniser, cursor: str, which: bytes) -> str:
    """The uid that a cursor stands after. Raises RequestError if it was altered or is of other filters."""
    payload = tokeniser.verified(_CURSOR, cursor)
    if payload is None or payload[16:] != which:
        raise RequestError(404, "No such page", "the cursor is not one that was given out for these filters")
    return str(UUID(bytes=payload[:16]))


def erased(store: Store, cache: Cache, tokeniser: Tokeniser, uid: str) -> Receipt:
    """Forgets a person, whether stored or not, and says what went. Once is enough, and twice does no harm.

    The cache is marked after the commit: who read the person before cannot bring it back there. Raises
    ConfigError, and erases nothing, if the keys are not those that what is stored needs; KeysOvertaken if
    they are so no more.
    """
    refuse_wrong_keys(store, tokeniser)
    uid_tokens = tokeniser.candidates("uid", uid)
    gone = store.erase(uid, uid_tokens, tokeniser.in_use)
    return Receipt(
        uid_token=uid_tokens[0],
        erased_at=gone.erased_at,
        users=gone.users,
        addresses=gone.addresses,
        sealed_records=gone.sealed_records,
        cache_cleared=cache.forget_user(uid),
        cache_gone_within_seconds=cache.longest_ttl_seconds,
        run_ids=list(gone.run_ids),
    )
