"""A dialect whose records hold lists, as those of SCIM do (RFC 7643)."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from msgspec import Meta, Raw, Struct

from chalicelib.dialect import Dialect
from chalicelib.users import Email, Issue, Personal, Text, User
from chalicelib.validation import ValidPage, validate
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


SCIM = Dialect("scim", Member, to_user, uid="id", dropped=("emails.primary",), envelope="Resources")


def record(**changed: Any) -> dict[str, Any]:
    emails = [{"value": "ines@example.com", "primary": True}, {"value": "i@example.org", "type": "work"}]
    return {"id": uid(1), "emails": emails} | changed


def checked(*records: Any) -> ValidPage:
    return validate(json.dumps({"Resources": records}).encode(), SCIM, TODAY)


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
        ({"emails": []}, Issue("", "conversion")),  # to_user takes the first
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


def test_unknown_fields_of_a_lists_elements_are_counted_once_a_record():
    emails = [{"value": "a@b.cd", "display": "A", "primary": False}] * 2

    page = checked(record(emails=emails), record(emails=emails), record())

    assert (len(page.users), dict(page.unknown)) == (3, {"emails.display": 2})


def test_dropped_fields_of_a_lists_elements_are_not_in_a_reject():
    (reject,) = checked(record(nicknames=5)).rejects
    assert b"primary" not in reject.raw


def test_a_future_date_of_birth_that_the_dialect_computes_is_a_fault():
    future = int(datetime(2096, 1, 1, tzinfo=UTC).timestamp())

    (reject,) = checked(record(born=future)).rejects

    assert reject.issues == (Issue("", "future"),)
    assert reject.is_record  # so it can be sealed


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
