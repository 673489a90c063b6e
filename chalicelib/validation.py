"""Sorts a page's records into valid users and rejects, and says what is wrong with each reject.

Pure: today's date is an argument. An issue names a path and a rule; it never holds a value.
"""

import codecs
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from types import NoneType
from typing import Any
from uuid import UUID

import msgspec

from chalicelib import lenient_json, shapes
from chalicelib.dialect import FAULTS, Dialect
from chalicelib.users import Issue, User, numeric

_BACKSLASH = ord("\\")

_FIELD_NAME = re.compile(r"([A-Za-z][A-Za-z_]{0,39}[0-9]?(\.(?=.)|$)){1,4}")
_FAMILY_SIZE = 9  # up to this many records may share a value because their people are related

# The rule's name, by a part of msgspec's message.
_RULES = (
    ("of length", "length"),
    ("matching regex", "format"),
    ("Invalid UUID", "uuid"),
    ("Invalid RFC3339", "date"),
    ("<=", "range"),
    (">=", "range"),
    ("out of range", "range"),
)

_NO_JSON, _NO_RECORD = Issue("", "json"), Issue("", "type")

_fields = cache(msgspec.structs.fields)  # ``fields`` itself would compute them again at each call


@dataclass(frozen=True)
class Reject:
    """A record that is not loaded: its position in the page (from 0), and all that is wrong with it."""

    position: int
    issues: tuple[Issue, ...]
    raw: bytes = field(repr=False)

    @property
    def is_record(self) -> bool:
        """Whether it can be parsed and has fields."""
        return _NO_JSON not in self.issues and _NO_RECORD not in self.issues


@dataclass(frozen=True)
class ValidatedPage:
    """A page, sorted into valid users (in the source's order) and rejects.

    ``unknown`` counts, by a field's dotted path, the records with a field that the dialect does not know;
    ``unknown_by_uid`` counts the records of the same uid as one.
    """

    users: list[User] = field(repr=False)
    rejects: list[Reject]
    unknown: Counter[str] = field(default_factory=Counter, repr=False)
    unknown_by_uid: Counter[str] = field(default_factory=Counter, repr=False)
    uids_agree: bool = True  # the dialect finds in a record the uid that it gives to the user

    @property
    def fetched(self) -> int:
        return len(self.users) + len(self.rejects)

    def unknown_names(self) -> set[str]:
        """The unknown fields that are surely named by the API: these names may be logged.

        A name of another form, or one that few of the page's people have, may itself be a personal value.
        """
        most = max(_FAMILY_SIZE, self.fetched / 2)
        common = {name for name, count in self.unknown_by_uid.items() if count > most}
        return set(filter(_FIELD_NAME.fullmatch, common))


def validate(body: bytes, dialect: Dialect[Any], today: date) -> ValidatedPage:
    """Sorts a page's records into valid users and rejects.

    A page without a fault is decoded in one go. Otherwise its records are decoded one by one, and only
    invalid ones, or those with unknown fields, are examined in detail. Raises ValueError if the body is not
    a page of records at all.
    """
    body = body.removeprefix(codecs.BOM_UTF8)  # which a parser may ignore (RFC 8259, 8.1)
    try:
        users = dialect.decode(body)
    except FAULTS:
        users = None
    if users is None or _may_hide_nul(body) or any(_is_unborn(user, today) for user in users):
        return validate_records(dict(enumerate(dialect.split(body))), dialect, today)
    return ValidatedPage(users, [])


def validate_records(records: Mapping[int, bytes], dialect: Dialect[Any], today: date) -> ValidatedPage:
    """Sorts records, given by their position in the page, into valid users and rejects."""
    users, rejects, unknown = list[User](), list[Reject](), _Unknown(dialect)
    decoded, uids_agree = dialect.decode_each(records.values()), True
    for (position, raw), user in zip(records.items(), decoded, strict=True):
        found: User | tuple[Issue, ...]
        if user and not _is_unborn(user, today) and not _may_hide_nul(raw):
            found = user
        else:
            found = _examine(raw, dialect, today)
            unknown.count(raw, found)
        if isinstance(found, User):
            if not users:
                uids_agree = dialect.uid_of(raw) == str(found.uid)
            users.append(found)
        else:
            rewritten = _rewritten(raw, dialect.dropped)
            rejects.append(Reject(position, found if rewritten else (_NO_JSON,), rewritten or raw))
    return ValidatedPage(users, rejects, unknown.by_record, unknown.by_uid, uids_agree)


class _Unknown:
    """Counts the records that have each unknown field."""

    def __init__(self, dialect: Dialect[Any]) -> None:
        self._dialect, self._seen = dialect, set[UUID | str | bytes]()
        self.by_record, self.by_uid = Counter[str](), Counter[str]()

    def count(self, raw: bytes, found: User | tuple[Issue, ...]) -> None:
        if paths := self._dialect.unknown(raw):
            self.by_record.update(paths)
            uid = found.uid if isinstance(found, User) else self._dialect.uid_of(raw) or raw
            self.by_uid.update(paths if uid not in self._seen else ())
            self._seen.add(uid)


def _rewritten(raw: bytes, dropped: Iterable[str]) -> bytes | None:
    """A record without its dropped fields; None if it cannot be read, or is nested too deeply. Equal records
    give equal bytes, however their page was read."""
    try:
        record = lenient_json.loads(raw)
        for path in dropped:
            _remove(record, *shapes.steps(path))
        return json.dumps(record, sort_keys=True).encode()
    except (ValueError, RecursionError):
        return None


def _remove(value: Any, name: str, *below: str) -> None:
    """Removes a field, also from each record of a list that stands in place of one record."""
    if isinstance(value, list):
        for record in value:
            _remove(record, name, *below)
    elif isinstance(value, dict) and below:
        _remove(value.get(name), *below)
    elif isinstance(value, dict):
        value.pop(name, None)


def _examine(raw: bytes, dialect: Dialect[Any], today: date) -> User | tuple[Issue, ...]:
    try:
        user = dialect.decode_ignoring_unknown(raw)
        if not _is_unborn(user, today) and not _may_hide_nul(raw):
            return user
    except FAULTS:
        pass  # the slow way below finds everything that is wrong
    try:
        record = lenient_json.loads(raw)
    except (ValueError, RecursionError):
        return (_NO_JSON,)
    return _examine_closely(record, dialect, today)


def _examine_closely(record: Any, dialect: Dialect[Any], today: date) -> User | tuple[Issue, ...]:
    issues = tuple(sorted(set(_struct_issues(record, dialect.record_type, "", today))))
    if issues:
        return issues
    try:
        user = dialect.user(dialect.convert(record))
    except FAULTS as error:  # of the dialect's; or of msgspec, which may check more than the walk does
        return (Issue(dialect.place_of(error), "conversion"),)
    return (Issue("date_of_birth", "future"),) if _is_unborn(user, today) else user


def _is_unborn(user: User, today: date) -> bool:
    return user.date_of_birth is not None and user.date_of_birth > today


def _may_hide_nul(body: bytes) -> bool:
    """Postgres cannot store NUL, and JSON can write it in one way only."""
    return _BACKSLASH in body and b"\\u0000" in body  # in a record, the second search takes ten times as long


def _struct_issues(value: Any, struct: type, path: str, today: date) -> Iterator[Issue]:
    if not isinstance(value, dict):
        yield Issue(path, "type")
        return
    for declared in _fields(struct):
        field_path = f"{path}.{declared.encode_name}" if path else declared.encode_name
        if declared.encode_name in value:
            yield from _value_issues(value[declared.encode_name], declared.type, field_path, today)
        elif declared.required:
            yield Issue(field_path, "required")


def _value_issues(value: Any, kind: Any, path: str, today: date) -> Iterator[Issue]:
    nested, element = shapes.nested(kind), shapes.element(kind)
    if value is None:
        if NoneType not in shapes.choices(kind):
            yield Issue(path, "required")
    elif element is not None and isinstance(value, list):
        issues = [issue for one in value for issue in _value_issues(one, element, path, today)]
        yield from issues or _scalar_issues(value, kind, path, today)
    elif nested is not None and element is None:
        yield from _struct_issues(value, nested, path, today)
    elif isinstance(value, str) and not _storable(value):
        yield Issue(path, "encoding")
    else:
        yield from _scalar_issues(value, kind, path, today)


def _scalar_issues(value: Any, kind: Any, path: str, today: date) -> Iterator[Issue]:
    try:
        parsed = msgspec.convert(value, kind, dec_hook=numeric)
    except msgspec.ValidationError as error:
        yield Issue(path, _rule(str(error)))
        return
    if (
        isinstance(parsed, date)
        and "future" in shapes.rules(kind)
        and date(parsed.year, parsed.month, parsed.day) > today
    ):
        yield Issue(path, "future")


def _storable(text: str) -> bool:
    """No NUL and no lone surrogate: Postgres takes neither."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in text


def _rule(message: str) -> str:
    """The name of the rule that msgspec's message is about. The message may hold a value and is dropped."""
    return next((rule for mark, rule in _RULES if mark in message), "type")
