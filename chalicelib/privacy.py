"""The room that holds the keys: the treatment of each field, and the keyed tokens.

``CONTRACT`` is the table of treatments, and a dialect adds its custom fields; no other field can be stored.
Never logs, stores or returns a raw value.
"""

import hashlib
import hmac
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from chalicelib import custom
from chalicelib.errors import ConfigError, TokenError
from chalicelib.ledger import KeyInUse, KeyTrouble
from chalicelib.token_rules import normal_forms

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.hmac import HMAC

Treatment = Literal["keep", "token", "generalise", "drop"]


@dataclass(frozen=True)
class Field:
    """One field of a ``User``: its dotted path there, its treatment, the column that holds the result.

    A dropped field may have a column, which then stays empty.
    """

    path: str
    treatment: Treatment
    column: str | None = None
    note: str = ""


CONTRACT = (
    Field("uid", "keep", "uid", "primary key"),
    Field("first_name", "token", "first_name"),
    Field("last_name", "token", "last_name"),
    Field("username", "token", "username"),
    Field("email", "token", "email"),
    Field("phone_number", "token", "phone_number"),
    Field("social_insurance_number", "token", "social_insurance_number"),
    Field("date_of_birth", "generalise", "birth_year", "the year"),
    Field("gender", "keep", "gender"),
    Field("employment.title", "keep", "employment_title"),
    Field("employment.key_skill", "keep", "employment_key_skill"),
    Field("subscription.plan", "keep", "subscription_plan"),
    Field("subscription.status", "keep", "subscription_status"),
    Field("subscription.payment_method", "keep", "subscription_payment_method"),
    Field("subscription.term", "keep", "subscription_term"),
    Field("address.city", "keep", "city"),
    Field("address.state", "keep", "state"),
    Field("address.country", "keep", "country"),
    Field("address.zip_code", "generalise", "zip_prefix", "the first three characters"),
    Field("address.coordinates.lat", "generalise", "lat", "rounded to 0.1 degree"),
    Field("address.coordinates.lng", "generalise", "lng", "rounded to 0.1 degree"),
    Field("address.street_name", "token", "street", "one token with street_address"),
    Field("address.street_address", "token", "street", "one token with street_name"),
)

GENERALISED = {"birth_year", "zip_prefix", "lat", "lng"}  # by clean.py, before they get here


def _by_column(contract: Sequence[Field]) -> dict[str, Treatment]:
    """Raises ValueError if the table contradicts itself, or the code that applies it."""
    treatments: dict[str, Treatment] = {}
    for field in contract:
        if field.column and treatments.setdefault(field.column, field.treatment) != field.treatment:
            raise ValueError(f"the contract treats the column {field.column} in two ways")
        if field.treatment == "generalise" and field.column not in GENERALISED:
            raise ValueError(f"nothing generalises {field.path}: see clean.py, and name it in GENERALISED")
        if field.column in GENERALISED and field.treatment not in ("generalise", "drop"):
            raise ValueError(f"{field.path} is already generalised: it cannot be called {field.treatment}")
        if field.column == "uid" and field.treatment != "keep":
            raise ValueError("uid is the primary key and must be kept")
    return treatments


TREATMENT_OF = _by_column(CONTRACT)


def contract(custom_fields: Mapping[str, custom.Treatment]) -> tuple[Field, ...]:
    """The whole table: the custom fields of a dialect come last, in the order of their names."""
    rows = [(custom.column(name), treatment) for name, treatment in sorted(custom_fields.items())]
    return *CONTRACT, *(Field(path, treatment, path) for path, treatment in rows)


def treatments_of(custom_fields: Mapping[str, custom.Treatment]) -> dict[str, Treatment]:
    """The treatment of each column."""
    return TREATMENT_OF | {custom.column(name): treatment for name, treatment in custom_fields.items()}


def contract_hash(custom_fields: Mapping[str, custom.Treatment]) -> str:
    """Identifies this version of the table, so that each run can record which one it used."""
    return hashlib.sha256(repr(contract(custom_fields)).encode()).hexdigest()[:16]


class Tokeniser:
    """Keyed tokens: ``v<version>_`` and 24 characters, the first 18 bytes of an HMAC-SHA-256 in base64url.

    The newest key makes tokens; a look-up tries all known keys. Each field has its own key, derived from the
    root key by HKDF-SHA-256 (RFC 5869) with the field's name, so equal values in different fields never
    match. A token hides a value from anyone without the key; it does not hide that two rows hold the same
    value.
    """

    def __init__(self, keys: Mapping[int, bytes | None]) -> None:
        """32-byte keys by version; None for a key that was given up although stored data may need it."""
        self._keys = {version: key for version, key in keys.items() if key is not None}
        if not self._keys:
            raise ConfigError("PII_KEYS", "at least one key is required")
        self.versions = sorted(self._keys, reverse=True)
        self.given_up = sorted(keys.keys() - self._keys.keys())
        self._macs: dict[tuple[int, str], HMAC] = {}

    def __repr__(self) -> str:
        return f"<Tokeniser versions={self.versions}>"

    @property
    def version(self) -> int:
        return self.versions[0]

    def token(self, field: str, value: str) -> str:
        """The token of one value. Raises TokenError if it is not text, or is empty once normalised."""
        return self.candidates(field, value)[0]

    def candidates(self, field: str, value: str) -> list[str]:
        """The value's token under every known key, newest first: what a stored token may look like."""
        return self.all_candidates(field, [value])[0]

    def all_candidates(self, field: str, values: Sequence[str]) -> list[list[str]]:
        """The candidates of each value. Raises TokenError if one of them has none."""
        messages = _messages(field, values)
        if not all(messages):
            raise TokenError(field, "the value is empty once normalised, so it has no token")
        by_version = [self._make_tokens(version, field, messages) for version in self.versions]
        return [list(tokens) for tokens in zip(*by_version, strict=True)]

    def tokens(self, field: str, values: Sequence[str | None]) -> list[str | None]:
        """The tokens of a column, one HMAC per distinct value. Values that normalise to nothing have none."""
        given = [value for value in dict.fromkeys(values) if value is not None]
        messages = _messages(field, given)
        triples = zip(given, messages, self._make_tokens(self.version, field, messages), strict=True)
        made: dict[str | None, str] = {value: token for value, message, token in triples if message}
        return list(map(made.get, values))

    def proofs(self) -> dict[int, str]:
        """A token of a fixed text under each key: shows whether a version still has the same key."""
        return {version: self._make_tokens(version, "proof", [b""])[0] for version in self.versions}

    @property
    def key_in_use(self) -> KeyInUse:
        """The key that makes the tokens, as the ledger knows it."""
        return KeyInUse(self.version, self.proofs()[self.version], self.given_up)

    def fingerprint(self, raw: bytes) -> str:
        """Identifies a raw record that comes again, without revealing its content."""
        return self._make_tokens(self.version, "record", [raw])[0]

    def sign(self, purpose: str, payload: bytes) -> str:
        """The payload, in base64url and readable by anyone, with a signature that only the keys can make."""
        return urlsafe_b64encode(payload + self._signature(self.version, purpose, payload)).decode()

    def verify(self, purpose: str, signed: str) -> bytes | None:
        """The payload, or None if anything was altered or its key is no longer known."""
        try:
            decoded = b64decode(signed, altchars=b"-_", validate=True)
        except ValueError:
            return None
        if urlsafe_b64encode(decoded).decode() != signed:
            return None  # the same bytes, but not in the encoding that was issued
        payload, signature = decoded[:-12], decoded[-12:]
        expected = [self._signature(version, purpose, payload) for version in self.versions]
        return payload if any([hmac.compare_digest(signature, known) for known in expected]) else None

    def _make_tokens(self, version: int, field: str, messages: Collection[bytes]) -> list[str]:
        """18 bytes encode to 24 characters without padding, so one call encodes all of them."""
        mac, prefix = self._mac(version, field), f"v{version}_"
        encoded = urlsafe_b64encode(b"".join([_digest(mac, message)[:18] for message in messages])).decode()
        return [prefix + encoded[start : start + 24] for start in range(0, len(encoded), 24)]

    def _signature(self, version: int, purpose: str, payload: bytes) -> bytes:
        return _digest(self._mac(version, purpose), payload)[:12]

    def _mac(self, version: int, field: str) -> "HMAC":
        if (version, field) not in self._macs:
            from cryptography.hazmat.primitives.hashes import SHA256  # late: most requests make no token
            from cryptography.hazmat.primitives.hmac import HMAC

            self._macs[version, field] = HMAC(self._derive(version, field), SHA256())
        return self._macs[version, field]

    def _derive(self, version: int, field: str) -> bytes:
        from cryptography.hazmat.primitives.hashes import SHA256
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        return HKDF(SHA256(), length=32, salt=None, info=field.encode()).derive(self._keys[version])


def _digest(mac: "HMAC", message: bytes) -> bytes:
    """Works on a copy, so that the state that depends on the key alone is computed once."""
    copy = mac.copy()
    copy.update(message)
    return copy.finalize()


def _messages(field: str, values: Sequence[str]) -> list[bytes]:
    """The values in their normal form. Raises TokenError for a value that is not text."""
    for kind in set(map(type, values)):
        if not issubclass(kind, str):
            raise TokenError(field, f"a token needs text, not {kind.__name__}")
    try:
        return normal_forms(field, values)
    except UnicodeEncodeError:
        pass  # this error holds the value
    raise TokenError(field, "a token needs valid text, not a lone surrogate")


def protect(
    columns: Mapping[str, Sequence[Any]],
    tokeniser: Tokeniser,
    treatments: dict[str, Treatment] = TREATMENT_OF,
) -> dict[str, list[Any]]:
    """Turns cleaned columns into storable ones by the table of treatments alone; others are left out."""
    return {
        column: _treated(column, treatment, columns[column], tokeniser)
        for column, treatment in treatments.items()
    }


def _treated(column: str, treatment: Treatment, values: Sequence[Any], tokeniser: Tokeniser) -> list[Any]:
    if treatment == "token":
        return custom.each(column, values, lambda single: tokeniser.tokens(column, single))
    return [None] * len(values) if treatment == "drop" else list(values)


class KeyLedger(Protocol):
    """Knows the keys that stored data was written with."""

    def reconcile_keys(self, proofs: Mapping[int, str], given_up: Sequence[int]) -> Sequence[KeyTrouble]: ...


def refuse_wrong_keys(ledger: KeyLedger, tokeniser: Tokeniser) -> None:
    """Reconciles the keys with the ledger, which records the newest. Raises ConfigError if stored data needs
    others: with wrong keys, erased people would come back, and look-ups would find nobody."""
    if troubles := ledger.reconcile_keys(tokeniser.proofs(), tokeniser.given_up):
        raise ConfigError("PII_KEYS", "; ".join(map(str, troubles)))
