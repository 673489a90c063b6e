"""How an API formats a page of users, and how to read it: whole or in records, strictly or leniently."""

import codecs
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property, reduce
from itertools import islice
from operator import getitem
from pathlib import Path
from traceback import walk_tb
from typing import Any, Generic, TypeVar
from uuid import UUID

import msgspec
from msgspec import Struct

from chalicelib import lenient_json, shapes
from chalicelib.custom import Treatment, column, fault_in, not_finite
from chalicelib.envelope import Envelope
from chalicelib.errors import ConfigError
from chalicelib.paging import Body, Cursor, Paging
from chalicelib.users import NumericText, Personal, User, misfit, numeric

T = TypeVar("T", bound=Struct)

_ANY_CURSOR, _ANY_OBJECT = dict[str, str | int | list[str]] | None, dict[str, Any] | None
_IMPLAUSIBLE_TOTAL = 10**8  # a run's error repeats the total, which must not be somebody's number
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, 5.6.2
_MAX_UNKNOWN = 1_000  # unknown fields kept per record; more are not worth the memory

# What decoding or converting a wrong record raises: ``to_user`` may look for what is not there, and datetime
# and Decimal refuse some numbers with an ArithmeticError or an OSError.
FAULTS = (ValueError, LookupError, RecursionError, ArithmeticError, OSError)
_FAULTS_OF_ANY_JSON = (*FAULTS, TypeError, AttributeError)


@dataclass(frozen=True, eq=False)
class Dialect(Generic[T]):
    """How one API pages, and formats a page: a record's type, its conversion to a ``User``, an envelope.

    ``to_user`` returns None for a valid record that is not wanted, such as that of a closed account; if
    ``removes_filtered``, its person is removed.
    ``envelope`` is the path of the list of records in a page; ``omits_empty`` means that the list may be
    missing if it would be empty. ``dropped`` lists the paths of known fields that are not wanted; ``uid`` is
    the path of the uid. All paths are dotted; ``\\.`` is a dot within a name. ``make_uid`` converts the value
    at the last one, or raises ValueError, TypeError or AttributeError. ``authorization_header`` is the one
    for the API's key; ``headers`` are others that each request has, such as the API's version. ``user_type``
    is what ``to_user`` returns; ``custom`` holds the treatments of the fields that it adds to ``User``.
    """

    name: str
    record_type: type[T]
    to_user: Callable[[T], User | None]
    paging: Paging
    uid: str
    dropped: tuple[str, ...] = ()
    envelope: str | None = None
    make_uid: Callable[[Any], UUID] = UUID
    omits_empty: bool = False
    removes_filtered: bool = False
    authorization_header: str = "Authorization"
    headers: Mapping[str, str] = field(default_factory=dict)
    user_type: type[User] = User
    custom: Mapping[str, Treatment] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raises ValueError if a field is both declared and dropped, or has a type that cannot be checked or
        that shows its values in its repr, if a custom field has no treatment that suits it, or if a header
        has no valid name."""
        if both := shapes.declared(self.record_type, self.dropped):
            raise ValueError(f"the dialect {self.name} both declares and drops {', '.join(both)}")
        if wrong := shapes.unsupported(self.record_type):
            rule = "must be a single value, a struct, or a list of these"
            raise ValueError(f"{self.name}: {', '.join(wrong)} {rule}")
        structs = shapes.structs(self.record_type)
        if shown := [kind.__name__ for kind in structs if not issubclass(kind, Personal)]:
            raise ValueError(f"{self.name}: {', '.join(shown)} must derive from Personal, which hides values")
        if fault := fault_in(self.user_type, self.custom):
            raise ValueError(f"{self.name}: {fault}")
        headers = (self.authorization_header, *self.headers)
        if invalid := [name for name in headers if not _HEADER.fullmatch(name)]:
            raise ValueError(f"{self.name}: {', '.join(invalid)} cannot be the name of a header")

    def cursor_after(self, body: bytes) -> Cursor | None:
        """Where the page after this one is; None if there is none. Raises ValueError if it cannot be told,
        whose text is the place in the dialect's module."""
        if self.paging.next_link is True:
            return body.next_query if isinstance(body, Body) else None
        try:
            kind = _ANY_CURSOR if self.paging.method == "GET" else _ANY_OBJECT
            cursor: Cursor | None = msgspec.convert(self.paging.after(self._parsed(body)), kind)
            json.dumps(cursor, ensure_ascii=False).encode()  # a lone surrogate cannot be sent
            return cursor
        except _FAULTS_OF_ANY_JSON as error:
            place = self.place_of(error)
        raise ValueError(place)

    def total_in(self, body: bytes) -> int | None:
        """How many records the API says that it has; None if this page does not say."""
        try:
            total = reduce(getitem, shapes.steps(self.paging.total or ""), self._parsed(body))
        except _FAULTS_OF_ANY_JSON:
            return None
        return total if type(total) is int and 0 <= total < _IMPLAUSIBLE_TOTAL else None

    def place_of(self, error: Exception) -> str:
        """Where in the file of ``to_user`` an error arose, as in ``members.py:59``; or the field of a
        ``User``, as in ``address.city`` or ``custom.language``."""
        code = getattr(self.to_user, "__code__", None)
        file = code and code.co_filename
        lines = [line for frame, line in walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
        if file and lines:
            return f"{Path(file).name}:{lines[-1]}"
        found = misfit(error, self.custom)
        return column(found) if found in self.custom else found

    def _parsed(self, body: bytes) -> Any:
        """A whole page's JSON, without values that are nested too deeply."""
        body = body.removeprefix(codecs.BOM_UTF8)
        try:
            return lenient_json.loads_fast(body)
        except RecursionError:
            return lenient_json.loads_fast(lenient_json.without_depths(body, self._envelope.depth)[0])

    def decode(self, body: bytes) -> list[User | None]:
        """A whole page at once. Raises one of FAULTS as soon as a record is wrong or has an unknown field."""
        return list(map(self.user, self._envelope.records(self._page.decode(body))))

    def decode_one(self, raw: bytes) -> User | None:
        """One record. Raises one of FAULTS if it is wrong or has an unknown field."""
        return self.user(self._strict_one.decode(raw))

    def decode_ignoring_unknown(self, raw: bytes) -> User | None:
        """One record, without its unknown fields. Raises one of FAULTS if it is wrong."""
        return self.user(self._ignoring_unknown.decode(raw))

    def user(self, record: T) -> User | None:
        """A decoded record as a ``User``, checked: structs do not check what they are made of; None if it is
        not wanted. Raises one of FAULTS, or ConfigError if it is of another type than the dialect says."""
        user = self.to_user(record)
        if user is None or (user is record and self._is_stored_whole):  # checked when decoded
            return user
        if type(user) is not self.user_type:  # whose custom fields would be lost
            returned, declared = type(user).__name__, self.user_type.__name__
            problem = f"to_user of {self.name} returns a {returned}, but its user_type is {declared}"
            raise ConfigError("SOURCE_DIALECT", problem)
        # sorts a set, which passes for a list, and which each process has in another order
        plain = msgspec.to_builtins(user, builtin_types=(date, UUID), enc_hook=_plain, order="deterministic")
        checked = msgspec.convert(plain, self.user_type)
        if infinite := not_finite(checked, self.custom):
            raise ValueError(f"Number out of range - at `$.{infinite}`")
        return checked

    def unknown(self, raw: bytes) -> set[str]:
        """The dotted paths of a record's unknown fields; empty for a record that cannot be read."""
        try:
            return set(islice(self._known.unknown(lenient_json.loads_fast(raw)), _MAX_UNKNOWN))
        except (ValueError, RecursionError):
            return set()

    def uid_of(self, raw: bytes) -> str | None:
        """The uid of a record, if it has one; the record may be wrong in any way."""
        try:
            value = reduce(getitem, shapes.steps(self.uid), lenient_json.loads(raw))
            uid = None if value is None else self.make_uid(value)
            return str(uid) if isinstance(uid, UUID) else None
        except _FAULTS_OF_ANY_JSON:
            return None

    def convert(self, record: Any) -> T:
        """One record, from JSON that is already parsed. Raises ValueError if it is wrong."""
        return msgspec.convert(record, self.record_type, dec_hook=numeric)

    def split(self, body: bytes) -> list[bytes]:
        """The records of a page, each as its own JSON. Raises ValueError if there is no list of records, and
        TooManyRecords."""
        return self._envelope.split(body)

    @cached_property
    def _is_stored_whole(self) -> bool:
        """Whether a record is already a user: with each custom field, and with none that would be lost."""
        return set(self.record_type.__struct_fields__) == set(self.user_type.__struct_fields__)

    @cached_property
    def _envelope(self) -> Envelope:
        return Envelope(self.envelope, self.omits_empty)

    @cached_property
    def _page(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self._envelope.around(self._strict), dec_hook=numeric)

    @cached_property
    def _strict_one(self) -> msgspec.json.Decoder[Any]:
        return msgspec.json.Decoder(self._strict, dec_hook=numeric)

    @cached_property
    def _known(self) -> shapes.Known:
        return shapes.known(self.record_type, self.dropped)

    @cached_property
    def _strict(self) -> type[Struct]:
        return shapes.strict(self.record_type, self.dropped)

    @cached_property
    def _ignoring_unknown(self) -> msgspec.json.Decoder[T]:
        return msgspec.json.Decoder(self.record_type, dec_hook=numeric)


def _plain(value: Any) -> float:
    """Part of a ``User`` that msgspec does not know. Raises ValueError unless it is a ``NumericText``."""
    if isinstance(value, NumericText):
        return float(value)
    raise ValueError("an unsupported type")
