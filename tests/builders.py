"""Raw records as the two user APIs send them: real samples that a test can change at dotted paths."""

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from msgspec import Raw, Struct

from chalicelib import sources
from chalicelib.dialect import Dialect
from chalicelib.sources import random_data_api, randomuser
from chalicelib.users import User

SAMPLES = Path(__file__).parent / "samples"

MISSING = object()  # used as a value: removes the field


@dataclass(frozen=True)
class Api:
    """One user API, and the paths in its records of the fields that both APIs have."""

    dialect: Dialect[Any]
    sample: str
    uid: str
    email: str
    born: str
    lat: str
    lng: str
    texts: tuple[str, ...]
    optional_texts: tuple[str, ...]
    objects: tuple[str, ...]
    optional_objects: tuple[str, ...]
    unread: str
    time_of_birth: str = ""

    def __str__(self) -> str:
        return self.dialect.name

    def samples(self) -> list[dict[str, Any]]:
        sample = json.loads(_text_of(self.sample))
        return sample if self.dialect.envelope is None else sample[self.dialect.envelope]

    def record(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """A valid record, changed at the given paths. Ignores a path through a value that is no object."""
        record = self.samples()[0]
        for path, value in (changes or {}).items():
            *above, name = path.split(".")
            target: Any = record
            for step in above:
                target = target.get(step) if isinstance(target, dict) else None
            if isinstance(target, dict):
                target.pop(name, None)
                if value is not MISSING:
                    target[name] = copy.deepcopy(value)
        return record

    def page(self, *records: Any) -> bytes:
        """A page as sent over HTTP. Bytes, at any depth, are raw JSON that no encoder would write."""
        envelope = self.dialect.envelope
        return _json(list(records) if envelope is None else {envelope: list(records), "info": {"page": 1}})

    def born_on(self, day: str) -> str:
        return day + self.time_of_birth

    def user(self, changes: Mapping[str, Any] | None = None) -> User:
        return self.dialect.decode_ignoring_unknown(_json(self.record(changes)))


RANDOM_DATA_API = Api(
    random_data_api.DIALECT,
    "random-data-api-v2-users.json",
    uid="uid",
    email="email",
    born="date_of_birth",
    lat="address.coordinates.lat",
    lng="address.coordinates.lng",
    texts=(
        "first_name",
        "last_name",
        "username",
        "address.city",
        "address.street_name",
        "address.street_address",
        "address.zip_code",
        "address.state",
        "address.country",
    ),
    optional_texts=(
        "phone_number",
        "social_insurance_number",
        "gender",
        "employment.title",
        "employment.key_skill",
        "subscription.plan",
        "subscription.status",
        "subscription.payment_method",
        "subscription.term",
    ),
    objects=("address", "address.coordinates"),
    optional_objects=("employment", "subscription"),
    unread="password",
)

RANDOMUSER = Api(
    randomuser.DIALECT,
    "randomuser-me-1.4.json",
    uid="login.uuid",
    email="email",
    born="dob.date",
    lat="location.coordinates.latitude",
    lng="location.coordinates.longitude",
    texts=(
        "name.first",
        "name.last",
        "login.username",
        "location.city",
        "location.street.name",
        "location.state",
        "location.country",
        "location.street.number",
        "location.postcode",
    ),
    optional_texts=("gender", "phone", "id.value"),
    objects=("name", "location", "location.street", "location.coordinates", "login", "dob"),
    optional_objects=("id",),
    unread="login.password",
    time_of_birth="T05:47:57.379Z",
)

APIS = (RANDOM_DATA_API, RANDOMUSER)


def facts(users: Sequence[User]) -> list[dict[str, Any]]:
    """The values of users, comparable regardless of how they were decoded."""
    return [_facts(user) for user in users]


def _facts(struct: Struct) -> dict[str, Any]:
    held = {name: getattr(struct, name) for name in struct.__struct_fields__}
    return {
        name: _facts(value) if isinstance(value, Struct) else value
        for name, value in held.items()
        if not isinstance(value, Raw)  # skipped, not decoded
    }


def paths_of(value: Any, path: str = "") -> set[str]:
    """Every dotted path in a record: of values, of objects, and the empty path of the record itself."""
    if not isinstance(value, dict):
        return {path}
    below = (paths_of(inner, f"{path}.{name}" if path else name) for name, inner in value.items())
    return {path}.union(*below)


def leaves_of(value: Any) -> list[Any]:
    """Every value in a record that is neither an object nor a list."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [leaf for one in inner for leaf in leaves_of(one)]
    return [value]


@cache
def _text_of(sample: str) -> str:
    return (SAMPLES / sample).read_text(encoding="utf-8")


def _json(value: Any) -> bytes:
    verbatim: list[bytes] = []

    def set_aside(raw: bytes) -> str:
        verbatim.append(raw)
        return f"verbatim {len(verbatim) - 1}"

    text = json.dumps(value, default=set_aside).encode()
    for number, raw in enumerate(verbatim):
        text = text.replace(b'"verbatim %d"' % number, raw)
    return text


def use(monkeypatch: pytest.MonkeyPatch, dialect: Dialect[Any]) -> None:
    """Lets ``SOURCE_DIALECT`` name this dialect, as if it had a file."""
    named = sources.named
    monkeypatch.setattr(sources, "named", lambda name: dialect if name == dialect.name else named(name))


def paged(dialect: Dialect[Any], **changes: Any) -> Dialect[Any]:
    """The dialect of an API that pages in another way."""
    return replace(dialect, paging=replace(dialect.paging, **changes))
