"""A canary has a value in every field; each is found in every spelling, and nothing else is found."""

import base64
import hashlib
import html
import json
import unicodedata
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest

from chalicelib import privacy
from chalicelib.clean import clean
from chalicelib.privacy import Tokeniser
from tests.builders import Api
from tests.leaks.canaries import KEPT, Canaries, leaves
from tests.leaks.faults import SPOILED
from tests.leaks.search import Haystack

WRITTEN: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "in small letters": str.lower,
    "in capitals": str.upper,
    "decomposed": lambda text: unicodedata.normalize("NFD", text),
    "in JSON": json.dumps,
    "in JSON in JSON": lambda text: json.dumps(json.dumps(text)),
    "in Python": ascii,
    "in bytes of Python": lambda text: repr(text.encode()),
    "in a URL": lambda text: quote(text, safe="").lower(),
    "in a form": quote_plus,
    "in HTML": html.escape,
    "in hex": lambda text: text.encode().hex().upper(),
    "in hex of small letters": lambda text: text.lower().encode().hex(),
    "in base64": lambda text: base64.b64encode(text.encode()).decode(),
    "in base64, one on": lambda text: base64.b64encode(f"={text}".encode()).decode(),
    "in base64, two on": lambda text: base64.urlsafe_b64encode(f"a={text};".encode()).decode(),
    "in base64 of small letters": lambda text: base64.b64encode(f"user={text.lower()};".encode()).decode(),
    "as its MD5": lambda text: hashlib.md5(text.encode(), usedforsecurity=False).hexdigest(),
    "as its SHA-1": lambda text: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest().upper(),
    "as its SHA-256": lambda text: hashlib.sha256(text.lower().encode()).hexdigest()[:16],
    "as its SHA-256 in base64": lambda text: base64.b64encode(
        hashlib.sha256(text.encode()).digest()
    ).decode(),
}


@pytest.fixture
def canaries() -> Canaries:
    return Canaries()


def found(canaries: Canaries, text: str | bytes) -> list[str]:
    encoded = text if isinstance(text, bytes) else text.encode()
    return [hit.needle.what for hit in haystack(canaries).find(encoded)]


def haystack(canaries: Canaries) -> Haystack:
    made = Haystack()
    made.learn(canaries.needles)
    return made


def secrets(api: Api, record: dict) -> dict[str, str]:
    """Everything of a record that must not be found, by path."""
    secret = {path: leaf for path, leaf in leaves(record) if path not in {*KEPT[api], api.uid}}
    return {
        path: leaf if isinstance(leaf, str) else json.dumps(leaf)
        for path, leaf in secret.items()
        if not isinstance(leaf, bool | None)
    }


def test_every_field_holds_a_unique_value(canaries: Canaries, api: Api):
    (one, other), sample = canaries.people(api, "fields"), dict(leaves(api.record()))
    values, others = dict(leaves(one)), dict(leaves(other))

    assert sample.keys() < values.keys()
    assert [path for path in sample if values[path] in (sample[path], others[path])] == []
    assert api.user(values_of(api, one)) is not None


def values_of(api: Api, record: dict) -> dict:
    return {path: leaf for path, leaf in leaves(record) if path in dict(leaves(api.record()))}


@pytest.mark.parametrize("write", WRITTEN.values(), ids=WRITTEN)
def test_every_value_is_found_in_every_spelling(canaries: Canaries, api: Api, write: Callable[[str], str]):
    texts = secrets(api, canaries.person(api, "spellings"))
    hay = haystack(canaries)

    missed = [path for path, text in texts.items() if not list(hay.find(f"no {write(text)}, sorry".encode()))]

    assert missed == []


def test_a_part_of_a_value_is_found(canaries: Canaries, api: Api):
    person = secrets(api, canaries.person(api, "parts"))
    email, phone = (
        person["email"],
        person[api.optional_texts[0] if "phone" in api.optional_texts[0] else "phone"],
    )
    digits = "".join(filter(str.isdigit, phone))
    day = person[api.born][:10]
    year, month, date = day.split("-")

    for part in (
        *email.split("@"),
        person[api.texts[1]][:10],
        digits,
        day,
        f"{date}.{month}.{year}",
        f"datetime.date({int(year)}, {int(month)}, {int(date)})",
        person[api.lat][:6],
        person[api.lng][:8],
    ):
        assert found(canaries, f"no {part}, sorry"), part


@pytest.mark.parametrize("way", range(len(SPOILED)))
def test_a_spoiled_value_is_found(canaries: Canaries, api: Api, way: int):
    person = canaries.person(api, "spoiled", SPOILED[way])

    assert found(canaries, api.page(person))


def test_stored_values_are_not_found(canaries: Canaries, api: Api):
    people = canaries.people(api, "stored", 3)
    users = [api.dialect.decode_ignoring_unknown(json.dumps(person).encode()) for person in people]
    protected = privacy.protect(clean(users).columns, Tokeniser({1: bytes(32)}))
    rows = json.dumps(protected, ensure_ascii=False).encode()

    assert [hit for hit in haystack(canaries).find(rows) if not hit.needle.kept] == []
    assert [hit for hit in haystack(canaries).find(rows) if hit.needle.kept]


@pytest.mark.parametrize("before", range(17))
def test_a_value_is_found_at_any_position(canaries: Canaries, before: int):
    text = canaries.text("place")

    assert found(canaries, bytes(before) + text.encode())
    assert found(canaries, bytes(before) + text.encode() + b"\xff" * 70_000)
    assert found(canaries, b"\xff" * (600_000 - before) + text.encode())
    assert not found(canaries, bytes(before) + text.encode()[:6])
