"""A dialect for an API like SCIM's: lists in records, dots in names, and no list where none is left."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from msgspec import Meta, Raw, Struct, field

from chalicelib.dialect import Dialect
from chalicelib.paging import Paging, merged
from chalicelib.users import Address, Coordinates, Email, Issue, Personal, Text, User
from chalicelib.validation import ValidatedPage, validate
from tests.fakes import uid
from tests.unit.test_users import TODAY


class Mail(Personal):
    value: Email
    type: Literal["home", "work"] | None = None


class Member(Personal):
    id: UUID
    emails: Annotated[list[Mail], Meta(max_length=3)]
    nicknames: list[Text] | None = None
    born: int | None = None  # seconds since 1970


def to_user(member: Member) -> User:
    born = datetime.fromtimestamp(member.born, UTC).date() if member.born is not None else None
    return User(uid=member.id, email=member.emails[0].value, date_of_birth=born)


FIRST_MAIL = to_user.__code__.co_firstlineno + 2  # the line that needs one
ENTERPRISE = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"  # RFC 7643, 4.3
SCIM = Dialect(
    "scim",
    Member,
    to_user,
    Paging(lambda page, size: {"startIndex": 1 + (page - 1) * size, "count": size}),
    uid="id",
    dropped=("emails.primary", ENTERPRISE.replace(".", r"\.")),
    envelope="Resources",
    omits_empty=True,
)


def record(**changed: Any) -> dict[str, Any]:
    emails = [{"value": "ines@example.com", "primary": True}, {"value": "i@example.org", "type": "work"}]
    return {"id": uid(1), "emails": emails} | changed


def checked(*records: Any) -> ValidatedPage:
    return validate(json.dumps({"Resources": records}).encode(), SCIM, TODAY)


def test_a_source_without_an_end_cannot_ask_for_changes():
    since = {"since": lambda time: {"changed": time.isoformat()}}
    with pytest.raises(ValueError, match="since needs an API that ends, or pages by cursor"):
        Paging(SCIM.paging.query, ends=False, **since)

    assert Paging(SCIM.paging.query, ends=False, next_link=True, **since).has_end


@pytest.mark.parametrize("method", ["post", "PUT"])
def test_an_api_is_asked_with_get_or_post(method):
    with pytest.raises(ValueError, match=f"is GET or POST, not {method}"):
        Paging(SCIM.paging.query, method=method)


@pytest.mark.parametrize(
    "changed", [{"authorization_header": "X Api Key"}, {"headers": {"X:Y": "1"}}, {"headers": {"": "1"}}]
)
def test_a_header_needs_a_name(changed):
    with pytest.raises(ValueError, match=r"^scim: .* cannot be the name of a header"):
        replace(SCIM, **changed)


def test_a_link_is_not_posted():
    with pytest.raises(ValueError, match="is asked with GET"):
        Paging(SCIM.paging.query, next_link=True, method="POST")


def test_one_of_two_says_where_the_next_page_is():
    with pytest.raises(ValueError, match="either next_link or next_cursor"):
        Paging(SCIM.paging.query, next_link=True, next_cursor=lambda page: None)


@pytest.mark.parametrize(
    ("query", "added", "both"),
    [
        ({"a": 1}, {"b": 2}, {"a": 1, "b": 2}),
        ({"a": 1}, {"a": 2}, {"a": 2}),
        (
            {"a": {"b": {"c": 1, "d": 2}}},
            {"a": {"b": {"c": 3}, "e": 4}},
            {"a": {"b": {"c": 3, "d": 2}, "e": 4}},
        ),
        ({"a": {"b": 1}}, {"a": 2}, {"a": 2}),
        ({"a": 1}, {"a": {"b": 2}}, {"a": {"b": 2}}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}),
        ({"a": {"b": 1}}, {}, {"a": {"b": 1}}),
    ],
)
def test_what_is_added_to_a_query_is_merged_and_wins(query, added, both):
    before = json.dumps([query, added])
    assert merged(query, added) == both
    assert json.dumps([query, added]) == before


def test_an_api_ends_and_its_pages_are_full_unless_its_dialect_says_otherwise():
    assert SCIM.paging.has_end
    assert SCIM.paging.pages_are_full


def test_a_page_without_a_fault_is_decoded_at_once():
    body = json.dumps({"Resources": [record(), record(nicknames=["Nê"])]}).encode()
    assert [user.email for user in SCIM.decode(body)] == ["ines@example.com"] * 2


@pytest.mark.parametrize(
    ("changed", "issue"),
    [
        ({"emails": [{"value": "ines@example.com"}, {"value": "none"}]}, Issue("emails.value", "format")),
        ({"emails": [{"value": "a@b.cd", "type": "x"}] * 3}, Issue("emails.type", "type")),
        ({"emails": [{}]}, Issue("emails.value", "required")),
        ({"emails": ["a@b.cd"]}, Issue("emails", "type")),
        ({"emails": [None]}, Issue("emails", "required")),
        ({"emails": "a@b.cd"}, Issue("emails", "type")),
        ({"emails": {"value": "a@b.cd"}}, Issue("emails", "type")),
        ({"emails": [{"value": "a@b.cd"}] * 4}, Issue("emails", "length")),
        ({"emails": None}, Issue("emails", "required")),
        ({"emails": []}, Issue(f"test_scim.py:{FIRST_MAIL}", "conversion")),  # to_user takes the first
        ({"nicknames": ["a", "\0"]}, Issue("nicknames", "encoding")),
        ({"nicknames": ["\ud800"]}, Issue("nicknames", "encoding")),
        ({"nicknames": ["a" * 201]}, Issue("nicknames", "length")),
        ({"nicknames": [["a"]]}, Issue("nicknames", "type")),
    ],
)
def test_a_fault_in_a_list_is_reported_by_the_lists_path_and_affects_no_other_record(changed, issue):
    page = checked(record(), record(**changed), record())

    assert [(reject.position, reject.issues) for reject in page.rejects] == [(1, (issue,))]
    assert len(page.users) == 2


def only_with_one_mail(member: Member) -> User | None:
    return to_user(member) if len(member.emails) == 1 else None


ONE_MAIL = [{"value": "ines@example.com"}]
FILTERING = replace(SCIM, to_user=only_with_one_mail)


def filtered(*records: Any) -> ValidatedPage:
    return validate(json.dumps({"Resources": records}).encode(), FILTERING, TODAY)


@pytest.mark.parametrize(
    ("beside", "faults"),
    [
        ({}, 0),
        ({"emails": []}, 0),
        ({"unknown": 1}, 0),
        ({"nicknames": ["\0"]}, 0),
        ({"id": "none"}, 1),
    ],
    ids=str,
)
def test_a_record_that_to_user_does_not_want_is_counted_and_nothing_else(beside, faults):
    page = filtered(record(), record(id=uid(2), emails=ONE_MAIL), record(**({"id": uid(3)} | beside)))

    assert (len(page.users), page.filtered, len(page.rejects)) == (1, 2 - faults, faults)
    assert page.fetched == 3
    assert page.uids_agree


@pytest.mark.parametrize(
    ("wanted", "left", "replaced", "gone"),
    [
        ("+-", 0, 1, True),
        ("-+", 1, 0, False),
        ("+-+", 1, 1, False),
        ("++-", 0, 2, True),
        ("-+-", 0, 1, True),
        ("-", 0, 0, True),
        ("++", 2, 0, False),  # which of them counts, cleaning decides
    ],
)
def test_the_last_record_of_a_uid_says_whether_its_person_is_wanted(wanted, left, replaced, gone):
    mails = {"+": {"emails": ONE_MAIL}, "-": {}}

    page = filtered(record(id=uid(9), emails=ONE_MAIL), *[record(**mails[sign]) for sign in wanted])

    assert [user.uid for user in page.users] == [UUID(uid(9))] + [UUID(uid(1))] * left
    assert (page.replaced, page.gone) == (replaced, {uid(1)} if gone else set())
    assert page.fetched == 1 + len(wanted)


def test_unknown_fields_of_a_lists_elements_are_counted_once_a_record():
    emails = [{"value": "a@b.cd", "display": "A", "primary": False}] * 2

    page = checked(record(emails=emails), record(emails=emails), record())

    assert (len(page.users), dict(page.unknown)) == (3, {"emails.display": 2})


def test_dropped_fields_of_a_lists_elements_are_not_in_a_reject():
    (reject,) = checked(record(nicknames=5)).rejects
    assert b"primary" not in reject.raw


def test_a_type_that_shows_its_values_is_refused():
    class Open(Struct):
        name: Text

    class Member(Personal):
        open: list[Open] | None

    with pytest.raises(ValueError, match="scim: Open must derive from Personal"):
        replace(SCIM, record_type=Member, dropped=())


class Row(Personal):
    value: Text


class Table(Personal):
    id: UUID
    rows: list[list[Row]]


def test_dropped_fields_of_lists_in_lists_are_not_in_a_reject():
    dialect = replace(SCIM, record_type=Table, dropped=("rows.secret",))
    raw = json.dumps({"id": uid(1), "rows": [[{"value": 5, "secret": "x"}]]}).encode()

    (reject,) = validate(b'{"Resources": [%s]}' % raw, dialect, TODAY).rejects

    assert b"secret" not in reject.raw


class Strange(Personal):
    id: UUID
    name: Annotated[str | None, Meta(description="What they are called.")] = None

    def __post_init__(self) -> None:
        if self.name == "nobody":
            raise ValueError


def test_an_annotated_field_may_be_null_however_its_record_is_read():
    dialect = replace(SCIM, record_type=Strange, to_user=lambda one: User(uid=one.id), dropped=("other",))
    plain, odd = ({"id": uid(number), "name": None, "other": text} for number, text in ((1, "x"), (2, "\0")))
    body = json.dumps({"Resources": [plain, odd]}).encode()

    assert len(validate(body, dialect, TODAY).users) == 2


def test_a_record_that_its_own_type_refuses_is_a_record_all_the_same():
    """So that the quarantine keeps it."""
    dialect = replace(SCIM, record_type=Strange, to_user=lambda one: User(uid=one.id))

    (reject,) = validate(
        json.dumps({"Resources": [{"id": uid(1), "name": "nobody"}]}).encode(), dialect, TODAY
    ).rejects

    assert (reject.issues, reject.is_record) == ((Issue("", "conversion"),), True)


def test_a_dropped_field_may_have_dots_in_its_name():
    page = checked(record(**{ENTERPRISE: {"department": "Cellar"}}), record(nicknames=5, **{ENTERPRISE: {}}))

    assert (len(page.users), dict(page.unknown)) == (1, {})
    assert b"enterprise" not in page.rejects[0].raw


class Enterprise(Personal):
    department: Text


class Employed(Personal):
    id: UUID
    work: Enterprise = field(name=ENTERPRISE)


def test_a_field_below_a_name_with_dots_can_be_dropped_and_the_uid_be_found_there():
    below = ENTERPRISE.replace(".", r"\.")
    dialect = replace(SCIM, record_type=Employed, dropped=(f"{below}.manager",), uid=f"{below}.id")
    raw = json.dumps({"id": uid(1), ENTERPRISE: {"manager": "x", "id": uid(2), "department": 5}}).encode()

    (reject,) = validate(b'{"Resources": [%s]}' % raw, dialect, TODAY).rejects

    assert reject.issues == (Issue(f"{ENTERPRISE}.department", "type"),)
    assert b"manager" not in reject.raw
    assert dialect.uid_of(reject.raw) == uid(2)
    with pytest.raises(ValueError, match="both declares and drops"):
        replace(dialect, dropped=(below,))


@pytest.mark.parametrize("body", [b'{"totalResults": 0}', b'{"title": "half of a pair: \\ud800"}'])
def test_a_page_without_the_list_is_empty_only_if_the_api_omits_it(body):
    assert validate(body, SCIM, TODAY).fetched == 0
    with pytest.raises(ValueError, match=r"Resources|no list"):
        validate(body, replace(SCIM, omits_empty=False), TODAY)
    with pytest.raises(ValueError, match=r"data|no list"):
        validate(body, replace(SCIM, envelope="data.Resources"), TODAY)


@pytest.mark.parametrize(
    ("made", "path"),
    [
        ({"uid": "EMP-25"}, "uid"),
        ({"uid": None}, "uid"),
        ({"first_name": 5}, "first_name"),
        ({"gender": True}, "gender"),
        ({"address": Address(city=["Oslo"])}, "address.city"),
        ({"email": "none"}, "email"),
        ({"date_of_birth": datetime(1990, 1, 1, tzinfo=UTC)}, "date_of_birth"),
        ({"address": Address(coordinates=Coordinates(lat=500))}, "address.coordinates.lat"),
        ({"last_name": "a" * 201}, "last_name"),
        ({"last_name": {1, 2}}, "last_name"),
    ],
    ids=str,
)
def test_what_a_dialect_makes_of_a_record_is_checked_too(made, path):
    dialect = replace(SCIM, to_user=lambda member: User(**{"uid": member.id} | made))

    (reject,) = validate(json.dumps({"Resources": [record()]}).encode(), dialect, TODAY).rejects

    assert reject.issues == (Issue(path, "conversion"),)


def test_what_only_looks_like_the_path_of_a_field_is_not_repeated():
    class Named(Personal):
        id: UUID
        name: Text

        def __post_init__(self) -> None:
            raise ValueError(f"no: {self.name}")

    dialect = replace(SCIM, record_type=Named, to_user=lambda one: User(uid=one.id), dropped=())
    page = {"Resources": [{"id": uid(1), "name": "at `$.jane.doe`"}]}

    (reject,) = validate(json.dumps(page).encode(), dialect, TODAY).rejects

    assert reject.issues == (Issue("", "conversion"),)


def test_a_uid_in_upper_case_is_the_same_uid():
    """As a text it would have another token, and an erased person would come back."""
    dialect = replace(SCIM, to_user=lambda member: User(uid=str(member.id).upper()))

    (user,) = validate(json.dumps({"Resources": [record()]}).encode(), dialect, TODAY).users

    assert user.uid == UUID(uid(1))


@pytest.mark.parametrize("born", [10**12, 10**17, 10**20])
def test_a_time_that_python_cannot_represent_is_a_fault(born):
    """ValueError, OSError or OverflowError, depending on its size."""
    (reject,) = checked(record(), record(born=born)).rejects

    assert [issue.rule for issue in reject.issues] == ["conversion"]


def test_a_future_date_of_birth_that_the_dialect_computes_is_a_fault():
    future = int(datetime(2096, 1, 1, tzinfo=UTC).timestamp())

    (reject,) = checked(record(born=future)).rejects

    assert reject.issues == (Issue("date_of_birth", "future"),)
    assert reject.is_record  # so it can be sealed


class PayingMember(Member):
    paid_until: date | None = None


@pytest.mark.parametrize("other", [{}, {"note": 1}, {"note": "\0"}])
def test_other_dates_may_be_in_the_future(other):
    dialect = replace(SCIM, record_type=PayingMember)

    for mail, issues in (("ines@example.com", None), ("none", (Issue("emails.value", "format"),))):
        page = {"Resources": [record(paid_until="2099-01-01", emails=[{"value": mail}], **other)]}
        valid = validate(json.dumps(page).encode(), dialect, TODAY)
        assert [reject.issues for reject in valid.rejects] == ([issues] if issues else [])


@pytest.mark.parametrize(
    "kind",
    [dict[str, str], list, tuple[Text, ...], set[str], Any, Raw, bytes, Mail | Text, list[Text] | Text],
)
@pytest.mark.parametrize("wrapped", [lambda kind: kind, lambda kind: kind | None, lambda kind: list[kind]])
def test_a_type_whose_values_cannot_be_checked_is_refused(kind, wrapped):
    inner = type("Inner", (Struct,), {"__annotations__": {"odd": wrapped(kind)}})
    record_type = type("Outer", (Struct,), {"__annotations__": {"uid": UUID, "inner": inner}})

    with pytest.raises(ValueError, match=r"scim: inner\.odd must be a single value"):
        replace(SCIM, record_type=record_type, dropped=())
