"""Fields that a dialect adds to those of a user: declared, checked, cleaned, and gathered into one."""

import json
import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import pytest
from msgspec import Meta, UnsetType

from chalicelib import custom, privacy
from chalicelib.clean import clean
from chalicelib.dialect import Dialect
from chalicelib.errors import ConfigError
from chalicelib.paging import Paging
from chalicelib.users import (
    Address,
    BirthDate,
    Email,
    Emails,
    Issue,
    JoinedText,
    LatitudeText,
    Personal,
    Text,
    Texts,
    User,
)
from chalicelib.validation import validate
from tests.fakes import uid
from tests.unit.test_users import TODAY


class Employee(Personal):
    id: UUID
    tongue: str | None = None
    boss: str | None = None
    level: int | None = None
    score: float | None = None
    active: bool | None = None
    hired: date | None = None
    seen: datetime | None = None
    team: UUID | None = None
    roles: list[str] | None = None
    scores: list[float] | None = None
    aliases: list[str] | None = None


class Person(User):
    tongue: Text | None = None
    boss: Email | None = None
    level: int | None = None
    score: float | None = None
    active: bool | None = None
    hired: date | None = None
    seen: datetime | None = None
    team: UUID | None = None
    roles: Texts | None = None
    scores: Annotated[list[float], Meta(max_length=3)] | None = None
    aliases: Annotated[list[Email], Meta(max_length=3)] | None = None


def to_user(one: Employee) -> Person:
    given = msgspec.structs.asdict(one)
    return Person(uid=given.pop("id"), last_name="Prado", **given)


EMPLOYEES = Dialect(
    "employees",
    Employee,
    to_user,
    Paging(lambda page, size: {"page": page, "size": size}, ends=False),
    uid="id",
    user_type=Person,
    custom={
        name: "token" if name in ("boss", "aliases") else "keep"
        for name in Employee.__struct_fields__
        if name != "id"
    },
)


def users_of(*records: dict[str, Any], dialect: Dialect[Any] = EMPLOYEES) -> list[Any]:
    body = json.dumps([{"id": uid(number), **record} for number, record in enumerate(records)])
    page = validate(body.encode(), dialect, TODAY)
    assert not page.rejects
    return page.users


def columns_of(*records: dict[str, Any]) -> dict[str, list[Any]]:
    columns = clean(users_of(*records), EMPLOYEES.custom).columns
    return {name: values for name, values in columns.items() if name.startswith("custom.")}


# Declared


def declared(kind: Any, treatment: Any = "keep", name: str = "field") -> Dialect[Any]:
    """A dialect with one custom field of this type."""
    person = msgspec.defstruct("Person", [(name, kind, None)], bases=(User,))
    return replace(EMPLOYEES, user_type=person, custom={name: treatment})


@pytest.mark.parametrize(
    "kind",
    [
        Text,
        Text | None,
        JoinedText,
        BirthDate,
        Email,
        int,
        float | None,
        bool,
        date,
        datetime,
        UUID,
        Literal["a", "b"],
        Texts,
        Texts | None,
        Emails,
        Annotated[list[Text], Meta(max_length=50)],
        Annotated[list[JoinedText], Meta(max_length=20)],
        Annotated[list[Annotated[str, Meta(max_length=1)]], Meta(max_length=250)],
        Annotated[list[UUID], Meta(max_length=250)],
        Annotated[list[float], Meta(max_length=5)] | None,
        Annotated[list[BirthDate], Meta(max_length=5, description="of the children")] | None,
    ],
    ids=str,
)
def test_a_kept_field_has_a_single_value_or_a_list_of_them(kind):
    assert declared(kind).custom == {"field": "keep"}


@pytest.mark.parametrize(
    "kind",
    [
        str,
        Annotated[str, Meta(max_length=501)],
        list[Text],
        Annotated[list[str], Meta(max_length=5)],
        Annotated[list[Text], Meta(max_length=51)],
        Annotated[list[Annotated[str, Meta(max_length=501)]], Meta(max_length=1)],
        Annotated[list[Annotated[str, Meta(max_length=1)]], Meta(max_length=251)],
        Annotated[list[Text | None], Meta(max_length=5)],
        Annotated[list[Text | int], Meta(max_length=5)],
        Annotated[list[Texts], Meta(max_length=5)],
        Annotated[list[Address], Meta(max_length=5)],
        Texts | Text,
        tuple[Text, ...],
        Annotated[Sequence[Text], Meta(max_length=5)],
        dict,
        Address,
        Address | None,
        LatitudeText,
        Any,
        None,
        Text | int,
        int | float | None,
    ],
    ids=str,
)
@pytest.mark.parametrize("treatment", ["keep", "token"])
def test_other_types_are_refused(kind, treatment):
    with pytest.raises(ValueError, match=r"^employees: field: must be "):
        declared(kind, treatment)


@pytest.mark.parametrize(
    "kind",
    [int, bool | None, Text | int, date, UUID, Annotated[list[UUID], Meta(max_length=2)]],
    ids=str,
)
def test_only_text_has_a_token(kind):
    with pytest.raises(ValueError, match="must be text, or a list of such; text needs a maximum length of"):
        declared(kind, "token")


@pytest.mark.parametrize("treatment", ["drop", "generalise", "Keep", None])
def test_a_field_is_kept_or_a_token(treatment):
    with pytest.raises(
        ValueError, match=f"field: a custom field is treated as keep or token, not {treatment}"
    ):
        declared(Text, treatment)


@pytest.mark.parametrize("name", ["Language", "größe", "_x", "a" * 41])
def test_a_name_is_plain(name):
    with pytest.raises(
        ValueError, match=f"employees: {name}: a custom field has a name of up to 40 characters"
    ):
        declared(Text, name=name)


def test_a_field_needs_a_treatment_and_a_treatment_a_field():
    with pytest.raises(ValueError, match=r"^employees: boss: custom must name what Person adds to User"):
        replace(EMPLOYEES, custom={name: "keep" for name in EMPLOYEES.custom if name != "boss"})
    with pytest.raises(ValueError, match="nickname"):
        replace(EMPLOYEES, custom={**EMPLOYEES.custom, "nickname": "keep"})
    with pytest.raises(ValueError, match="email"):
        replace(EMPLOYEES, custom={**EMPLOYEES.custom, "email": "keep"})


def test_custom_fields_need_a_type_that_has_them():
    with pytest.raises(ValueError, match=r"^employees: custom needs a user_type, a subclass of User"):
        replace(EMPLOYEES, user_type=User)


def test_an_unset_value_is_refused():
    with pytest.raises(ValueError, match="field: must be"):
        declared(Text | UnsetType)


def test_the_fields_of_a_user_stay_as_they_are():
    class Other(User):
        gender: int | None = None

    with pytest.raises(
        ValueError, match=r"^employees: gender: Other may add fields to those of User, but not"
    ):
        replace(EMPLOYEES, user_type=Other, custom={})
    with pytest.raises(ValueError, match=r"^employees: Employee must derive from User"):
        replace(EMPLOYEES, user_type=Employee, custom={})


@pytest.mark.parametrize("number", [50, 51])
def test_there_are_at_most_fifty(number):
    fields = [(f"field_{position}", Text, "") for position in range(number)]
    person = msgspec.defstruct("Person", fields, bases=(User,))
    custom_fields = {name: "keep" for name, *_ in fields}

    with nullcontext() if number <= 50 else pytest.raises(ValueError, match="more than 50 custom fields"):
        replace(EMPLOYEES, user_type=person, custom=custom_fields)


# Checked


class Record(User):
    """A record in the form of a user, with a field more."""

    tongue: Text | None = None


RECORDS = Dialect("records", Record, lambda one: one, EMPLOYEES.paging, uid="uid")


def test_a_record_that_is_a_user_with_a_field_more_has_to_name_it():
    with pytest.raises(ConfigError, match="to_user of records returns a Record, but its user_type is User"):
        validate(json.dumps([{"uid": uid(1), "tongue": "pt"}]).encode(), RECORDS, TODAY)

    named = replace(RECORDS, user_type=Record, custom={"tongue": "keep"})
    (user,) = validate(json.dumps([{"uid": uid(1), "tongue": "pt"}]).encode(), named, TODAY).users
    assert clean([user], named.custom).columns["custom.tongue"] == ["pt"]


def test_a_record_with_a_field_less_than_the_user_type_is_refused():
    class Less(User):
        pass

    less = Dialect(
        "less",
        Less,
        lambda one: one,
        EMPLOYEES.paging,
        uid="uid",
        user_type=Record,
        custom={"tongue": "keep"},
    )
    with pytest.raises(ConfigError, match="to_user of less returns a Less, but its user_type is Record"):
        validate(json.dumps([{"uid": uid(1)}]).encode(), less, TODAY)


@pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
def test_a_number_that_json_cannot_write_makes_a_reject(number):
    dialect = replace(EMPLOYEES, to_user=lambda one: Person(uid=one.id, score=number))
    (reject,) = validate(json.dumps([{"id": uid(1)}]).encode(), dialect, TODAY).rejects
    assert reject.issues == (Issue("custom.score", "conversion"),)
    dialect = replace(EMPLOYEES, to_user=lambda one: Person(uid=one.id, scores=[0.5, number]))
    (reject,) = validate(json.dumps([{"id": uid(1)}]).encode(), dialect, TODAY).rejects
    assert reject.issues == (Issue("custom.scores", "conversion"),)


@pytest.mark.parametrize(
    "returned", [User(uid=UUID(int=1)), {"uid": UUID(int=1)}], ids=lambda one: type(one).__name__
)
def test_a_dialect_that_returns_another_type_is_refused(returned):
    """Its custom fields would be lost without a word."""
    dialect = replace(EMPLOYEES, to_user=lambda one: returned)
    with pytest.raises(ConfigError, match=f"to_user of employees returns a {type(returned).__name__}, but"):
        users_of({}, dialect=dialect)


def test_a_subclass_that_the_dialect_does_not_name_is_refused():
    with pytest.raises(ConfigError, match="returns a Person, but its user_type is User"):
        users_of({}, dialect=replace(EMPLOYEES, user_type=User, custom={}))


def test_a_list_has_up_to_fifty_texts_of_two_hundred_characters():
    roles = ("x" * 200,) * 50

    assert columns_of({"roles": roles})["custom.roles"] == [roles]


def test_a_set_that_a_dialect_makes_is_a_sorted_list():
    roles = [f"role {number}" for number in range(10, 40)]
    dialect = replace(EMPLOYEES, to_user=lambda one: Person(uid=one.id, roles=set(roles)))

    (user,) = validate(json.dumps([{"id": uid(1)}]).encode(), dialect, TODAY).users

    assert user.roles == roles


@pytest.mark.parametrize(
    ("record", "path"),
    [
        ({"tongue": "x" * 201}, "custom.tongue"),
        ({"boss": "nobody"}, "custom.boss"),
        ({"roles": ["dev"] * 51}, "custom.roles"),
        ({"roles": ["dev", "x" * 201]}, "custom.roles"),
        ({"aliases": ["ann@example.com", "nobody"]}, "custom.aliases"),
    ],
)
def test_a_value_that_does_not_fit_makes_a_reject_that_names_the_field(record, path):
    body = json.dumps([{"id": uid(1), **record}]).encode()
    (reject,) = validate(body, EMPLOYEES, TODAY).rejects
    assert reject.issues == (Issue(path, "conversion"),)


def test_a_repr_shows_no_custom_value():
    (user,) = users_of({"tongue": "hush"})
    assert repr(user) == "<Person>"


# Cleaned


def test_texts_are_tidied_and_other_values_stay():
    record = {
        "tongue": " pt\u0303 ", "boss": " Ann@Example.com", "level": 3, "score": -0.0, "active": False,
        "hired": "2020-02-29", "seen": "2026-01-31T12:00:00+02:00", "team": uid(7),
        "roles": [" ops", "n/a", "dev", " pt\u0303", ""], "scores": [-0.0, 2.0], "aliases": [" a@b.cd"],
    }  # fmt: skip
    other = {"tongue": "n/a", "score": 0.5, "level": 0, "active": True, "roles": ["n/a"], "scores": []}
    columns = columns_of(record, other, {})

    assert columns.pop("custom.seen")[0].astimezone(UTC) == datetime(2026, 1, 31, 10, tzinfo=UTC)
    assert str(columns["custom.score"][0]) == "0.0"
    assert str(columns["custom.scores"][0]) == "(0.0, 2.0)"
    assert columns == {
        "custom.tongue": ["pt\u0303", None, None],
        "custom.boss": ["Ann@Example.com", None, None],
        "custom.level": [3, 0, None],
        "custom.score": [0.0, 0.5, None],
        "custom.active": [False, True, None],
        "custom.hired": [date(2020, 2, 29), None, None],
        "custom.team": [UUID(uid(7)), None, None],
        "custom.roles": [("ops", "dev", "pt\u0303"), None, None],
        "custom.scores": [(0.0, 2.0), None, None],
        "custom.aliases": [("a@b.cd",), None, None],
    }


def test_the_last_record_of_a_uid_counts():
    first, last = users_of({"tongue": "pt"}, {"tongue": "de"})
    last.uid = first.uid
    assert clean([first, last], EMPLOYEES.custom).columns["custom.tongue"] == ["de"]


# Protected and gathered


def test_a_field_has_a_token_of_its_own_and_others_are_kept(tokeniser):
    columns = {"custom.boss": ["ann@example.com"], "custom.tongue": ["pt"]}
    treatments = {"custom.boss": "token", "custom.tongue": "keep"}

    assert privacy.protect(columns, tokeniser, treatments) == {
        "custom.boss": [tokeniser.token("custom.boss", "ann@example.com")],
        "custom.tongue": ["pt"],
    }
    assert tokeniser.token("custom.boss", "x") != tokeniser.token("boss", "x")


def test_a_list_has_a_token_for_each_of_its_values(tokeniser):
    columns = {"custom.phones": [("+1 555", "n. a."), None, ("5 55", "1555")]}
    treatments = {"custom.phones": "token"}

    assert privacy.protect(columns, tokeniser, treatments) == {
        "custom.phones": [
            (tokeniser.token("custom.phones", "+1 555"), tokeniser.token("custom.phones", "n. a.")),
            None,
            (tokeniser.token("custom.phones", "5 55"), tokeniser.token("custom.phones", "1555")),
        ]
    }


def test_the_table_has_the_custom_fields_last():
    *rest, first, last = privacy.contract({"zone": "keep", "boss": "token"})
    assert tuple(rest) == privacy.CONTRACT
    assert [(row.path, row.treatment, row.column) for row in (first, last)] == [
        ("custom.boss", "token", "custom.boss"),
        ("custom.zone", "keep", "custom.zone"),
    ]
    assert privacy.treatments_of({"boss": "token"}) == {**privacy.TREATMENT_OF, "custom.boss": "token"}


def test_columns_are_gathered_by_person_shorter_names_first():
    columns = {"uid": ["a", "b"], "custom.zone": [1, 2], "custom.b": [True, None], "custom.area": [None, "x"]}

    gathered = custom.gathered(columns)

    assert gathered == {
        "uid": ["a", "b"],
        "custom": [{"b": True, "area": None, "zone": 1}, {"b": None, "area": "x", "zone": 2}],
    }
    assert list(gathered["custom"][0]) == ["b", "area", "zone"]


def test_without_custom_fields_nothing_is_gathered():
    assert custom.gathered({"uid": ["a"]}) == {"uid": ["a"]}
