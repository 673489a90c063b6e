"""The room that holds the keys: what happens to each field, and the keyed tokens.

``CONTRACT`` is the one table of treatments; a field without a row in it cannot be stored.
Never logs, stores or returns a raw value.
"""

import hashlib
import hmac
import re
import unicodedata
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol

from chalicelib.errors import ConfigError, TokenError
from chalicelib.ledger import KeyInUse

Treatment = Literal["keep", "token", "generalise", "drop"]


@dataclass(frozen=True)
class Field:
    """One field of the source's record: its dotted path, its treatment, the column that holds the result."""

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
    Field("id", "drop"),
    Field("password", "drop"),
    Field("avatar", "drop"),
    Field("credit_card", "drop"),
)

TOKENISED = tuple(dict.fromkeys(f.column for f in CONTRACT if f.treatment == "token" and f.column))
TREATMENT_OF = {field.column: field.treatment for field in CONTRACT if field.column}


@cache
def contract_hash() -> str:
    """Names this version of the table, so that a run can say under which one it worked."""
    return hashlib.sha256(repr(CONTRACT).encode()).hexdigest()[:16]


def _tidy(value: str) -> str:
    return unicodedata.normalize("NFC", value).strip()


def _caseless(value: str) -> str:
    return _tidy(_tidy(value).lower())


def _digits(value: str) -> str:
    """Every digit, of whatever script, as 0-9: country code, number and extension in a row."""
    return re.sub(r"\D", "", _ascii_digits(value))


def _letters_and_digits(value: str) -> str:
    """Insurance numbers are digits in some countries and hold letters in others; separators mean nothing."""
    return re.sub(r"[\W_]", "", _ascii_digits(_caseless(value)))


def _ascii_digits(value: str) -> str:
    return value if value.isascii() else re.sub(r"\d", lambda d: str(unicodedata.decimal(d[0])), value)


_NORMAL_FORM = {
    "email": _caseless,
    "username": _caseless,
    "phone_number": _digits,
    "social_insurance_number": _letters_and_digits,
}


class Tokeniser:
    """Keyed tokens: ``v<version>_`` and 24 characters, the first 18 bytes of an HMAC-SHA-256 in base64url.

    The newest key makes tokens; all known keys are tried in a look-up. Each field has a key of its own,
    derived from the root key by HKDF-SHA-256 (RFC 5869) with the field's name, so equal values in different
    fields never match. A token hides a value from those who lack the key; it does not hide that two rows
    hold the same value.
    """

    def __init__(self, keys: Mapping[int, bytes | None]) -> None:
        """Keys of 32 bytes by version; None in place of one that was given up although it may be needed."""
        self._keys = {version: key for version, key in keys.items() if key is not None}
        if not self._keys:
            raise ConfigError("PII_KEYS", "at least one key is needed")
        self.versions = sorted(self._keys, reverse=True)
        self.given_up = sorted(keys.keys() - self._keys.keys())
        self._macs: dict[tuple[int, str], hmac.HMAC] = {}

    def __repr__(self) -> str:
        return f"<Tokeniser versions={self.versions}>"

    @property
    def version(self) -> int:
        return self.versions[0]

    def token(self, field: str, value: str) -> str:
        """The token of one value. Raises TokenError for what has none: not text, or nothing in it."""
        return self.candidates(field, value)[0]

    def candidates(self, field: str, value: str) -> list[str]:
        """The value's token under every known key, newest first: what a stored token may look like."""
        message = _message(field, value)
        if not message:
            raise TokenError(field, "nothing to make a token of")
        return [self._sign(version, field, message) for version in self.versions]

    def tokens(self, field: str, values: Sequence[str | None]) -> list[str | None]:
        """The tokens of a column, one HMAC a distinct value. A value with nothing in it stays None."""
        made: dict[str | None, str | None] = {None: None}
        for value in values:
            if value is not None and value not in made:
                message = _message(field, value)
                made[value] = self._sign(self.version, field, message) if message else None
        return [made[value] for value in values]

    def proofs(self) -> dict[int, str]:
        """A token of a fixed text under each key: shows whether a version's key is still what it was."""
        return {version: self._sign(version, "proof", b"") for version in self.versions}

    @property
    def in_use(self) -> KeyInUse:
        """What shows a ledger which key makes the tokens."""
        return KeyInUse(self.version, self.proofs()[self.version], self.given_up)

    def fingerprint(self, raw: bytes) -> str:
        """Recognises the same raw record again, without telling what is in it."""
        return self._sign(self.version, "record", raw)

    def seal(self, purpose: str, payload: bytes) -> str:
        """The payload in base64url, readable by anyone, with a mark that only the keys can make."""
        return urlsafe_b64encode(payload + self._digest(self.version, purpose, payload)[:12]).decode()

    def unseal(self, purpose: str, sealed: str) -> bytes | None:
        """The payload, or None if anything was altered, or its key is known no more."""
        try:
            marked = b64decode(sealed, altchars=b"-_", validate=True)
        except ValueError:
            return None
        if urlsafe_b64encode(marked).decode() != sealed:
            return None  # the same bytes, but not as they were given out
        payload, mark = marked[:-12], marked[-12:]
        marks = [self._digest(version, purpose, payload)[:12] for version in self.versions]
        return payload if any([hmac.compare_digest(mark, known) for known in marks]) else None

    def _sign(self, version: int, field: str, message: bytes) -> str:
        return f"v{version}_{urlsafe_b64encode(self._digest(version, field, message)[:18]).decode()}"

    def _digest(self, version: int, field: str, message: bytes) -> bytes:
        mac = (self._macs.get((version, field)) or self._mac(version, field)).copy()
        mac.update(message)
        return mac.digest()

    def _mac(self, version: int, field: str) -> hmac.HMAC:
        from cryptography.hazmat.primitives.hashes import SHA256  # late: most requests make no token
        from cryptography.hazmat.primitives.kdf.hkdf import HKDF

        key = HKDF(SHA256(), length=32, salt=None, info=field.encode()).derive(self._keys[version])
        self._macs[version, field] = hmac.new(key, digestmod=hashlib.sha256)
        return self._macs[version, field]


def _message(field: str, value: str) -> bytes:
    """The value in its normal form. Raises TokenError for what is no text."""
    if not isinstance(value, str):
        raise TokenError(field, f"a token is made of text, not of {type(value).__name__}")
    try:
        return _NORMAL_FORM.get(field, _tidy)(value).encode()
    except UnicodeEncodeError:
        pass  # it holds the value
    raise TokenError(field, "a token is made of text, not of half a character")


def protect(columns: Mapping[str, Sequence[Any]], tokeniser: Tokeniser) -> dict[str, list[Any]]:
    """Cleaned columns in, storable ones out, by the contract's table alone: what has no row is left out."""
    return {
        column: tokeniser.tokens(column, columns[column]) if treatment == "token" else list(columns[column])
        for column, treatment in TREATMENT_OF.items()
    }


def erasure_tokens(uids: Iterable[str], tokeniser: Tokeniser) -> list[list[str]]:
    """For each uid its tokens under all known keys: how an erased person is recognised."""
    return [tokeniser.candidates("uid", uid) for uid in uids]


class KeyLedger(Protocol):
    """What remembers under which keys was written."""

    def check_keys(self, proofs: Mapping[int, str], given_up: Sequence[int]) -> Sequence[object]: ...


def refuse_wrong_keys(ledger: KeyLedger, tokeniser: Tokeniser) -> None:
    """Raises ConfigError if what is stored needs other keys: the erased would come back, nobody be found."""
    if troubles := ledger.check_keys(tokeniser.proofs(), tokeniser.given_up):
        raise ConfigError("PII_KEYS", "; ".join(map(str, troubles)))
