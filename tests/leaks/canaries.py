"""People whose every value is unique, in every field of a record, and how to find each value again.

A text contains its person's mark, which survives most encodings. Values that cannot contain one (numbers,
days) are made from the person's number. Kept values have a separate mark: they may be stored, but not
revealed elsewhere.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from tests.builders import RANDOM_DATA_API, RANDOMUSER, Api
from tests.leaks.search import Needle
from tests.leaks.spellings import SHORTEST, encoded, hashed, spellings

Spoil = Callable[[Api, str, int], Mapping[str, Any]]  # changes by path, given a mark and a number

_numbers = itertools.count(1001)  # four digits, and unique across all Canaries

KEPT = {
    RANDOM_DATA_API: {
        "gender",
        "employment.title",
        "employment.key_skill",
        "subscription.plan",
        "subscription.status",
        "subscription.payment_method",
        "subscription.term",
        "address.city",
        "address.state",
        "address.country",
    },
    RANDOMUSER: {"gender", "location.city", "location.state", "location.country"},
}

# Fields that need a certain form to be valid or realistic; any other text is the mark and the field's name.
_TEXTS = {
    ("first_name", "name.first"): "{mark}ephyr-Ünique",
    ("last_name", "name.last"): "{mark}well-Ødegård",
    ("username", "login.username"): "{mark}.shadowfax",
    ("email",): "{mark}.Shadowfax@{mark}-mail.example",
    ("phone_number", "phone"): "+45 (739) {number}-5128 x90417",
    ("cell",): "+45 (738) {number}-5129",
    ("social_insurance_number", "id.value"): "739-5{number}-8264-ZQ",
    ("avatar", "picture.large"): "https://robohash.org/{mark}.png?size=300x300",
    ("credit_card.cc_number",): "4929-7731-{number}-0043",
    ("address.street_name", "location.street.name"): "{mark} Stræde",
    ("address.zip_code", "location.postcode"): "Q7Z{mark}",  # three of its characters are kept
    ("date_of_birth",): "{born}",
    ("dob.date", "registered.date"): "{born}T05:47:57.379Z",
    ("location.coordinates.latitude",): "-71.7731{number}5",  # no other value is negative
    ("location.coordinates.longitude",): "-122.4132{number}5",
}
_TEXT_OF = {path: text for paths, text in _TEXTS.items() for path in paths}
_NUMBER_OF = {
    "address.coordinates.lat": lambda number: float(f"-71.7731{number}5"),
    "address.coordinates.lng": lambda number: float(f"-122.4132{number}5"),
}


def mark_of(number: int) -> str:
    return f"Zq{number}x"


def _kept_mark_of(number: int) -> str:
    return f"Kq{number}x"


def uid_of(number: int) -> str:
    return f"5ca1ab1e-{number}-4000-8000-{number:012d}"


class Canaries:
    """Makes people and texts, and remembers what must not be found of them: needles, with descriptions."""

    def __init__(self) -> None:
        self.needles: dict[bytes, Needle] = {}
        self._noted = set[str]()

    def person(self, api: Api, case: str, spoil: Spoil | None = None) -> dict[str, Any]:
        """A record as the API sends it, plus unknown fields. Spoiled values are secret too."""
        number = next(_numbers)
        return self._numbered(number, api, case, spoil(api, mark_of(number), number) if spoil else {})

    def people(self, api: Api, case: str, count: int = 2) -> list[dict[str, Any]]:
        return [self.person(api, case) for _ in range(count)]

    def _numbered(self, number: int, api: Api, case: str, changes: Mapping[str, Any]) -> dict[str, Any]:
        values = {path: _value(api, path, leaf, number) for path, leaf in leaves(api.record())}
        record = api.record({**values, api.uid: uid_of(number)})
        _add_unknown(record, number)
        _change(record, changes)
        whose = f"of no. {number} ({case})"
        self._note_mark(number, whose)
        for path, leaf in leaves(record):
            if path in KEPT[api] and path not in changes:
                self._note_kept(str(leaf), f"{path} {whose}")
            elif path != api.uid or path in changes:
                self._note_secret(number, leaf, f"{path} {whose}")
        self._note_kept(uid_of(number), f"uid {whose}")
        return record

    def text(self, case: str) -> str:
        """An e-mail address that belongs to nobody, to be sent where no address is expected."""
        number = next(_numbers)
        text = _TEXT_OF["email"].format(mark=mark_of(number))
        self._note_mark(number, f"({case})")
        self._note_secret(number, text, f"a text ({case})")
        return text

    def _note_mark(self, number: int, whose: str) -> None:
        for case in {mark_of(number), mark_of(number).lower(), mark_of(number).upper()}:
            self._note(encoded(case), f"the mark {whose}")
        for case in {_kept_mark_of(number), _kept_mark_of(number).lower(), _kept_mark_of(number).upper()}:
            self._note(encoded(case), f"the mark of what is kept {whose}", kept=True)

    def _note_secret(self, number: int, leaf: Any, what: str) -> None:
        if isinstance(leaf, bool | bytes | None):  # bytes are raw JSON, and contain the mark
            return
        text = leaf if isinstance(leaf, str) else json.dumps(leaf)
        if text in self._noted:
            return
        self._noted.add(text)
        if mark_of(number) in text:  # found by its mark, unless it was hashed
            self._note([("as it is", text.encode()), *hashed(text)], what)
        else:
            self._note(spellings(text), what)

    def _note_kept(self, text: str, what: str) -> None:
        self._note([("as it is", text.encode())], what, kept=True)

    def _note(self, spelled: Iterable[tuple[str, bytes]], what: str, *, kept: bool = False) -> None:
        for spelling, needle in spelled:
            if len(needle) >= SHORTEST:
                self.needles.setdefault(needle.lower(), Needle(f"{what}, {spelling}", kept))


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every value in a record that is neither an object nor a list, with its path; list items by position."""
    if isinstance(value, dict | list):
        parts = value.items() if isinstance(value, dict) else enumerate(value)
        for name, inner in parts:
            yield from leaves(inner, f"{path}.{name}" if path else str(name))
    else:
        yield path, value


def _value(api: Api, path: str, leaf: Any, number: int) -> Any:
    if path in KEPT[api]:
        return f"{_kept_mark_of(number)} {path}"
    if path in _NUMBER_OF:
        return _NUMBER_OF[path](number)
    if path in _TEXT_OF:
        born = f"19{number % 60 + 30}-{number % 12 + 1:02}-{number % 28 + 1:02}"
        return _TEXT_OF[path].format(mark=mark_of(number), number=number, born=born)
    if isinstance(leaf, int):
        return int(f"6{number}82715")
    return f"{mark_of(number)} {path}"


def _add_unknown(record: dict[str, Any], number: int) -> None:
    """Adds fields that are in no contract, at every depth; some names are as revealing as a value."""
    mark = mark_of(number)
    revealing = {
        f"{mark}@mail.example": True,
        f"{mark} Shadowfax": None,
        f"+45 739 {number} 5128": [f"{mark} in a list", {"deep": f"{mark} in a list's object"}],
        "loyalty_notes": f"{mark} in a field that is new",
        "next_of_kin": {"name": f"{mark} in an object that is new", "siblings": [[f"{mark} deep down"]]},
    }
    for place in [record, *(inner for inner in record.values() if isinstance(inner, dict))]:
        place.update(revealing)


def _change(record: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for path, value in changes.items():
        *above, name = path.split(".")
        target = record
        for step in above:
            target = target[step]
        target[name] = value
