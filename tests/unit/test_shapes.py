"""Unknown fields are dropped and counted, and named only where the name must really be a field's."""

import logging
import re
from collections import Counter
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid5

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET, Struct, UnsetType

from chalicelib import pipeline, shapes
from chalicelib.report import Report
from chalicelib.users import Issue
from chalicelib.validation import ValidatedPage, validate
from tests.builders import APIS, MISSING, RANDOM_DATA_API, facts
from tests.unit.test_users import TODAY

both = pytest.mark.parametrize("api", APIS, ids=str)


def counted(api, *records: Any) -> dict[str, int]:
    return dict(validate(api.page(*records), api.dialect, TODAY).unknown)


@pytest.mark.parametrize("field", ["gender", "address", "employment.title"])
def test_a_field_cannot_be_both_declared_and_dropped(field):
    with pytest.raises(ValueError, match=f"both declares and drops {field}"):
        replace(RANDOM_DATA_API.dialect, dropped=(field,))


@both
def test_every_field_of_the_real_records_is_known(api):
    assert counted(api, *api.samples()) == {}


@both
def test_an_unknown_field_is_counted_by_its_path_and_affects_nothing_else(api):
    nested = api.lat.rpartition(".")[0]
    strange = api.record({"shoe_size": 44, f"{nested}.altitude": {"deep": 1}})
    page = validate(api.page(api.record(), strange, strange), api.dialect, TODAY)

    assert dict(page.unknown) == {"shoe_size": 2, f"{nested}.altitude": 2}
    assert facts(page.users) == facts(validate(api.page(*[api.record()] * 3), api.dialect, TODAY).users)


class _CamelCase(Struct, rename="camel"):
    shoe_size: int
    home_address: UnsetType | dict[str, str] = UNSET


def test_a_fields_name_is_the_one_in_json():
    assert shapes.known(_CamelCase, ["creditCard"]).names == {"shoeSize", "homeAddress", "creditCard"}


class _Home(Struct):
    post_code: str = msgspec.field(name="post-code")


class _WithHome(Struct, rename="camel"):
    home_address: _Home
    second_home: _Home | None = msgspec.field(default_factory=lambda: _Home("none"))


def test_names_in_json_need_not_be_names_in_python():
    decoder = msgspec.json.Decoder(shapes.strict(_WithHome, ["credit card", "homeAddress.class"]))

    record = decoder.decode(b'{"credit card": 5, "homeAddress": {"post-code": "W1", "class": {}}}')

    assert (record.home_address.post_code, record.second_home.post_code) == ("W1", "none")
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        decoder.decode(b'{"homeAddress": {"post-code": "W1"}, "class": 1}')


@pytest.mark.parametrize(
    ("envelope", "opened", "closed"),
    [
        ("result set", b'{"result set": ', b"}"),
        ("_embedded.users", b'{"page": 1, "_embedded": {"users": ', b"}}"),
    ],
)
@pytest.mark.parametrize("oddity", [1, "\ud800", b"[" * 5_000 + b"]" * 5_000, b'"\xff"'])
def test_an_envelope_may_have_any_name_and_depth(envelope, opened, closed, oddity):
    dialect = replace(RANDOM_DATA_API.dialect, envelope=envelope)
    records = [RANDOM_DATA_API.record(), RANDOM_DATA_API.record({"odd": oddity})]

    page = validate(opened + RANDOM_DATA_API.page(*records) + closed, dialect, TODAY)

    assert page.fetched == 2
    assert page.users
    with pytest.raises(msgspec.ValidationError):
        validate(b'{"_embedded": {"result set": []}}', dialect, TODAY)


@both
@pytest.mark.parametrize("bad", [{"email": "none"}, {"email": MISSING}, {"email": "\0@b.cd"}])
def test_unknown_fields_are_counted_in_rejects_and_in_valid_records(api, bad):
    records = [api.record({**bad, "shoe_size": 44}), api.record({"shoe_size": 44}), api.record()]

    page = validate(api.page(*records), api.dialect, TODAY)

    assert (len(page.rejects), dict(page.unknown)) == (1, {"shoe_size": 2})


@both
@pytest.mark.parametrize(
    "value", ["\ud800", "\0", 10**400, b"NaN", b"1e999", b"[" * 500 + b"]" * 500, b'"\xff"']
)
def test_an_unknown_field_is_counted_whatever_its_value_and_affects_no_other_record(api, value):
    page = validate(api.page(api.record({"shoe_size": value}), api.record()), api.dialect, TODAY)

    assert (len(page.users), dict(page.unknown)) == (2, {"shoe_size": 1})


@both
def test_dropped_fields_may_hold_anything_or_be_missing(api):
    for path in api.dialect.dropped:
        for value in (None, 5, "text", [1], {"a": {"b": "c"}}, MISSING):
            assert counted(api, api.record({path: value})) == {}, (path, value)


@both
@given(name=st.text(max_size=8))
def test_no_field_name_causes_a_reject(api, name):
    record = api.record()
    if name not in record:
        page = validate(api.page(record | {name: 1}), api.dialect, TODAY)
        assert (len(page.users), sum(page.unknown.values())) == (1, 1)


@both
@pytest.mark.parametrize("raw", [b"5", b"[]", b"null", b"{", b"\xff", b"[" * 100_000])
def test_a_value_that_is_not_a_record_has_no_unknown_fields_and_no_uid(api, raw):
    assert api.dialect.unknown(raw) == set()
    assert api.dialect.uid_of(raw) is None


@both
@pytest.mark.parametrize(
    ("value", "uid"),
    [
        ("F80B9B0D-C04D-4A77-86B5-43981186A788", "f80b9b0d-c04d-4a77-86b5-43981186a788"),
        ("f80b9b0dc04d4a7786b543981186a788", "f80b9b0d-c04d-4a77-86b5-43981186a788"),
        ("nobody", None),
        (5, None),
        (None, None),
        (MISSING, None),
    ],
)
def test_the_uid_of_a_record_is_found_even_if_the_rest_is_wrong(api, value, uid):
    (raw,) = api.dialect.split(api.page(api.record({api.uid: value, api.email: MISSING})))

    assert api.dialect.uid_of(raw) == uid


def test_ids_that_are_not_uuids_are_converted_by_the_dialect():
    dialect = replace(RANDOM_DATA_API.dialect, make_uid=lambda number: UUID(int=number))
    page = RANDOM_DATA_API.page(RANDOM_DATA_API.record({"uid": 5}), RANDOM_DATA_API.record({"uid": "x"}))

    assert [dialect.uid_of(raw) for raw in dialect.split(page)] == [str(UUID(int=5)), None]


def test_a_null_is_no_uid_whatever_the_dialect_makes_of_it():
    dialect = replace(RANDOM_DATA_API.dialect, make_uid=lambda value: uuid5(UUID(int=0), str(value)))
    (raw,) = dialect.split(RANDOM_DATA_API.page(RANDOM_DATA_API.record({"uid": None})))

    assert dialect.uid_of(raw) is None


def test_a_record_that_the_dialect_cannot_convert_is_a_reject_that_can_be_sealed():
    def split_the_name(user):
        user.first_name, user.last_name = user.first_name.split(" ")
        return user

    dialect = replace(RANDOM_DATA_API.dialect, to_user=split_the_name)
    (reject,) = validate(RANDOM_DATA_API.page(RANDOM_DATA_API.record()), dialect, TODAY).rejects

    place = f"test_shapes.py:{split_the_name.__code__.co_firstlineno + 1}"
    assert reject.issues == (Issue(place, "conversion"),)
    assert reject.is_record


# What the log says


def warnings(caplog, fetched: int, **unknown: int) -> list[str]:
    named = Counter({name.replace("__", "."): count for name, count in unknown.items()})
    (user,) = validate(RANDOM_DATA_API.page(RANDOM_DATA_API.record()), RANDOM_DATA_API.dialect, TODAY).users
    names = ValidatedPage([user] * fetched, [], named, named).unknown_names()
    report = Report("run", "succeeded", unknown_fields=named.total(), unknown_names=names)
    with caplog.at_level(logging.WARNING):
        pipeline._log_findings(report)
    return caplog.messages


def test_fields_that_most_records_have_are_named(caplog):
    assert warnings(caplog, 100, shoe_size=98, address__floor2=51, isIn2Sv=60) == [
        "run run dropped 209 fields that are not in the dialect: address.floor2, isIn2Sv, shoe_size"
    ]


@pytest.mark.parametrize(
    "name",
    [
        "zoe@example.com",
        "Zoë",
        "555-4711",
        "5554711",
        "zoe91",
        "z1o2e",
        "z11oe",
        "a b",
        "",
        "Zoe\nquix",
        "a" * 100,
    ],
)
def test_a_name_that_may_be_a_value_is_counted_and_not_shown(caplog, name):
    assert warnings(caplog, 100, **{name: 98}) == ["run run dropped 98 fields that are not in the dialect"]


@pytest.mark.parametrize(("fetched", "count"), [(1, 1), (2, 2), (9, 9), (100, 50), (100, 2)])
def test_a_name_that_few_records_have_is_not_shown(caplog, fetched, count):
    assert "Zoe" not in warnings(caplog, fetched, Zoe=count)[0]


def test_a_name_that_one_person_has_in_many_records_is_not_shown():
    record = RANDOM_DATA_API.record({"Zoe_Quix": 1})
    bad = [RANDOM_DATA_API.record({"uid": f"5ca1ab1e-0000-4000-8000-{n:012}", "email": 5}) for n in range(3)]

    page = validate(RANDOM_DATA_API.page(*[record] * 20, *bad), RANDOM_DATA_API.dialect, TODAY)

    assert page.unknown == {"Zoe_Quix": 20}
    assert page.unknown_names() == set()


def test_a_name_that_most_people_have_is_shown():
    records = [
        RANDOM_DATA_API.record({"uid": f"5ca1ab1e-0000-4000-8000-{n:012}", "shoe_size": 41})
        for n in range(20)
    ]

    page = validate(RANDOM_DATA_API.page(*records), RANDOM_DATA_API.dialect, TODAY)

    assert page.unknown_names() == {"shoe_size"}


def test_a_name_with_a_dot_is_not_shown():
    """It could otherwise pass for two names."""
    records = [
        RANDOM_DATA_API.record({"uid": f"5ca1ab1e-0000-4000-8000-{n:012}"}) | {"Dr.Quix": 1}
        for n in range(20)
    ]

    page = validate(RANDOM_DATA_API.page(*records), RANDOM_DATA_API.dialect, TODAY)

    assert page.unknown == {r"Dr\.Quix": 20}
    assert page.unknown_names() == set()


def test_a_report_contains_no_name_that_the_source_made_up():
    report = Report("run", "succeeded", unknown_fields=98, unknown_names={"Zoe"})

    assert "zoe" not in str(report.summary()).lower()
    assert "zoe" not in repr(report).lower()


def test_the_repr_of_a_page_shows_no_record_and_no_name_that_the_source_made_up():
    bad = RANDOM_DATA_API.record({"email": "hush", "Zoe_Quix": 1})

    page = validate(RANDOM_DATA_API.page(bad), RANDOM_DATA_API.dialect, TODAY)

    assert page.unknown == {"Zoe_Quix": 1}
    assert not re.search("hush|Zoe", repr(page))


def test_a_log_line_names_at_most_a_hundred_fields(caplog):
    names = {f"{'abcdefghij'[n % 10]}{'abcdefghijkl'[n // 10]}": 99 for n in range(120)}
    assert warnings(caplog, 100, **names)[0].count(",") == 99


def test_known_fields_are_not_logged(caplog):
    assert warnings(caplog, 5) == []
    assert RANDOM_DATA_API.dialect.unknown(b"{}") == set()
