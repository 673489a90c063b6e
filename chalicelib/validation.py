"""Sorts a page's records into valid users and rejects, and says what is wrong with each reject.

Pure: today's date is an argument. An issue names a path and a rule; it never holds a value.
"""

import codecs
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import date
from itertools import islice
from typing import Any
from uuid import UUID

from chalicelib import issues, lenient_json, shapes
from chalicelib.dialect import FAULTS, Dialect
from chalicelib.users import Issue, User

_BACKSLASH = ord("\\")

FIELD_NAME = re.compile(r"([A-Za-z][A-Za-z_]{0,39}([0-9][A-Za-z_]{1,20})?[0-9]?(\.(?=.)|$)){1,4}")
_FAMILY_SIZE = 9  # up to this many records may share a value because their people are related

_NO_JSON, _NO_RECORD = Issue("", "json"), Issue("", "type")

_Found = User | tuple[Issue, ...] | None  # a valid record, all that is wrong with one, or None: not wanted


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
    ``unknown_by_uid`` counts the records of the same uid as one. ``filtered`` counts the valid records that
    the dialect does not want, and ``replaced`` those that such a record of the same uid follows; ``gone`` are
    the uids of which only these are left.
    """

    users: list[User] = field(repr=False)
    rejects: list[Reject]
    unknown: Counter[str] = field(default_factory=Counter, repr=False)
    unknown_by_uid: Counter[str] = field(default_factory=Counter, repr=False)
    filtered: int = 0
    replaced: int = 0
    gone: Set[str] = field(default=frozenset(), repr=False)
    uids_agree: bool = True  # the dialect finds in a record the uid that it gives to the user

    @property
    def fetched(self) -> int:
        return len(self.users) + len(self.rejects) + self.filtered + self.replaced

    def unknown_names(self) -> set[str]:
        """The unknown fields that are surely named by the API: these names may be logged.

        A name of another form, or one that few of the page's people have, may itself be a personal value.
        """
        most = max(_FAMILY_SIZE, self.fetched / 2)
        common = {name for name, count in self.unknown_by_uid.items() if count > most}
        return set(filter(FIELD_NAME.fullmatch, common))


def validate(body: bytes, dialect: Dialect[Any], today: date) -> ValidatedPage:
    """Sorts a page's records into valid users and rejects.

    A page without a fault is decoded in one go. Otherwise its records are decoded one by one, and only
    invalid ones, or those with unknown fields, are examined in detail. Raises ValueError if the body is not
    a page of records at all.
    """
    body = body.removeprefix(codecs.BOM_UTF8)  # which a parser may ignore (RFC 8259, 8.1)
    try:
        decoded = dialect.decode(body)
    except FAULTS:
        decoded = None
    users = [user for user in decoded or () if user is not None]
    if decoded is None or _may_hide_nul(body) or any(_is_unborn(user, today) for user in users):
        return validate_records(dict(enumerate(dialect.split(body))), dialect, today)
    if len(users) == len(decoded) and not dialect.removes_filtered:  # or else a wrong uid would remove others
        return ValidatedPage(users, [])
    return _sorted(dict(enumerate(dialect.split(body))), decoded, _Unknown(dialect), dialect)


def validate_records(records: Mapping[int, bytes], dialect: Dialect[Any], today: date) -> ValidatedPage:
    """Sorts records, given by their position in the page, into valid users and rejects."""
    found, unknown = list[_Found](), _Unknown(dialect)
    for raw in records.values():
        one = _sound(dialect.decode_one, raw, today)
        if isinstance(one, tuple):
            one = _examine(raw, dialect, today)
            unknown.count(raw, one)
        found.append(one)
    return _sorted(records, found, unknown, dialect)


def _sorted(
    records: Mapping[int, bytes], found: Sequence[_Found], unknown: "_Unknown", dialect: Dialect[Any]
) -> ValidatedPage:
    """Of the records of one uid, the last decides whether its person is wanted; rejects decide nothing."""
    users, filtered, rejects = dict[int, User](), dict[int, bytes](), list[Reject]()  # two by position
    for (position, raw), one in zip(records.items(), found, strict=True):
        if one is None:
            filtered[position] = raw
        elif isinstance(one, User):
            users[position] = one
        else:
            rewritten = _rewritten(raw, dialect.dropped)
            rejects.append(Reject(position, one if rewritten else (_NO_JSON,), rewritten or raw))
    gone = {uid: position for position, raw in filtered.items() if (uid := dialect.uid_of(raw))}
    left = [user for position, user in users.items() if not gone or gone.get(str(user.uid), -1) < position]
    return ValidatedPage(
        left,
        rejects,
        unknown.by_record,
        unknown.by_uid,
        filtered=len(filtered),
        replaced=len(users) - len(left),
        gone=gone.keys() - {str(user.uid) for user in left} if gone else frozenset(),
        uids_agree=all(dialect.uid_of(records[at]) == str(user.uid) for at, user in islice(users.items(), 1)),
    )


class _Unknown:
    """Counts the records that have each unknown field."""

    def __init__(self, dialect: Dialect[Any]) -> None:
        self._dialect, self._seen = dialect, set[UUID | str | bytes]()
        self.by_record, self.by_uid = Counter[str](), Counter[str]()

    def count(self, raw: bytes, found: _Found) -> None:
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


def _sound(decode: Callable[[bytes], User | None], raw: bytes, today: date) -> _Found:
    """What one record decodes to if nothing is wrong with it; else no issues: they are still to be found."""
    try:
        user = decode(raw)
    except FAULTS:
        return ()
    return () if user and (_is_unborn(user, today) or _may_hide_nul(raw)) else user


def _examine(raw: bytes, dialect: Dialect[Any], today: date) -> _Found:
    found = _sound(dialect.decode_ignoring_unknown, raw, today)
    if found != ():
        return found
    try:
        record = lenient_json.loads(raw)
    except (ValueError, RecursionError):
        return (_NO_JSON,)
    return _examine_closely(record, dialect, today)


def _examine_closely(record: Any, dialect: Dialect[Any], today: date) -> _Found:
    if found := issues.of(record, dialect.record_type, today):
        return found
    try:
        user = dialect.user(dialect.convert(record))
    except FAULTS as error:  # of the dialect's; or of msgspec, which may check more than the walk does
        return (Issue(dialect.place_of(error), "conversion"),)
    return (Issue("date_of_birth", "future"),) if user and _is_unborn(user, today) else user


def _is_unborn(user: User, today: date) -> bool:
    return user.date_of_birth is not None and user.date_of_birth > today


def _may_hide_nul(body: bytes) -> bool:
    """Postgres cannot store NUL, and JSON can write it in one way only."""
    return _BACKSLASH in body and b"\\u0000" in body  # in a record, the second search takes ten times as long
