"""Validation: what is valid, what is reported of an invalid record, and that nothing else is."""

import codecs
import json
import math
from dataclasses import FrozenInstanceError
from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.dialect import Dialect
from chalicelib.forms import Lookup
from chalicelib.paging import Paging
from chalicelib.sources import random_data_api
from chalicelib.users import Issue, User
from chalicelib.validation import Reject, ValidatedPage, validate
from tests.builders import APIS, MISSING, RANDOM_DATA_API, RANDOMUSER, Api, facts, leaves_of, paths_of

TODAY = date(2024, 2, 29)
RULES = {"required", "type", "length", "format", "uuid", "date", "future", "range", "encoding", "json"}
NO_RECORD = (5, 0.5, True, None, "text", [], [{}])

both = pytest.mark.parametrize("api", APIS, ids=str)


def each(*kinds: str) -> pytest.MarkDecorator:
    """Parametrises over every path of these kinds, in both dialects."""
    found = [(api, getattr(api, kind)) for api in APIS for kind in kinds]
    places = [(api, path) for api, held in found for path in ([held] if isinstance(held, str) else held)]
    return pytest.mark.parametrize(
        ("api", "path"), [pytest.param(api, path, id=f"{api}-{path}") for api, path in places]
    )


def checked(api: Api, *records: Any) -> ValidatedPage:
    return validate(api.page(*records), api.dialect, TODAY)


def issues(api: Api, record: Any) -> list[tuple[str, str]]:
    """All issues reported of a record; none if it is valid."""
    return [(issue.path, issue.rule) for reject in checked(api, record).rejects for issue in reject.issues]


def issues_with(api: Api, path: str, value: Any) -> list[tuple[str, str]]:
    return issues(api, api.record({path: value}))


# What is valid


@both
def test_every_record_of_the_samples_is_valid(api):
    page = checked(api, *api.samples())
    assert (len(page.users), page.rejects) == (4, [])


@both
def test_users_come_in_the_order_of_the_source(api):
    uids = [f"00000000-0000-4000-8000-00000000000{digit}" for digit in (7, 1, 4)]
    page = checked(api, *[api.record({api.uid: uid}) for uid in uids])
    assert [str(user.uid) for user in page.users] == uids


@each("optional_texts", "optional_objects")
@pytest.mark.parametrize("value", [MISSING, None], ids=["missing", "null"])
def test_an_optional_field_may_be_missing_or_null(api, path, value):
    assert issues_with(api, path, value) == []


@each("texts", "optional_texts")
def test_a_text_may_be_empty(api, path):
    assert issues_with(api, path, "") == []  # cleaning turns an empty text into a missing value


@each("texts", "optional_texts")
def test_a_text_may_have_200_characters_and_no_more(api, path):
    assert issues_with(api, path, "é" * 200) == []  # characters, not bytes: these are 400
    assert issues_with(api, path, "é" * 201) == [(path, "length")]


@both
@pytest.mark.parametrize(
    "uid",
    [
        "F80B9B0D-C04D-4A77-86B5-43981186A788",
        "f80b9b0dc04d4a7786b543981186a788",
        "00000000-0000-0000-0000-000000000000",
    ],
)
def test_a_uuid_may_be_written_in_capitals_or_without_hyphens(api, uid):
    assert issues_with(api, api.uid, uid) == []


@both
@pytest.mark.parametrize(
    "email",
    [
        "a@b.c",
        "first.last+tag@sub.domain.example",
        "jörg@müller.example",
        "a@192.0.2.1",
        " \ta@b.example\n",  # cleaning trims it later
        "a" * 64 + "@" + "b" * 250 + ".com",  # 319; RFC 5321: 64 + @ + 255 = 320
        "a" * 64 + "@" + "b" * 251 + ".com",
    ],
)
def test_an_email_is_a_name_and_a_domain_with_a_dot(api, email):
    assert issues_with(api, api.email, email) == []


@both
@pytest.mark.parametrize(
    "day",
    [
        "0001-01-01",  # the earliest possible date
        "2000-02-29",  # 400 divides the year
        "2024-02-28",
        "2024-02-29",  # born today
    ],
)
def test_a_date_of_birth_is_any_day_up_to_today(api, day):
    assert issues_with(api, api.born, api.born_on(day)) == []


@both
@pytest.mark.parametrize(
    ("changes", "faults"), [({"a_new_field": "\0"}, []), ({"email": "name"}, [("email", "format")])]
)
def test_today_is_not_in_the_future_when_a_record_is_checked_individually(api, changes, faults):
    assert issues(api, api.record({api.born: api.born_on("2024-02-29"), **changes})) == faults


@both
@pytest.mark.parametrize("degrees", [90, -90, 90.0, 0, -0.0, 1e-300])
def test_a_latitude_ranges_from_pole_to_pole(api, degrees):
    assert issues_with(api, api.lat, degrees) == []


@both
@pytest.mark.parametrize("degrees", [180, -180, 90.0001, 179.99999])
def test_a_longitude_ranges_around_the_earth(api, degrees):
    assert issues_with(api, api.lng, degrees) == []


@both
@pytest.mark.parametrize(
    "value",
    [
        *NO_RECORD,
        {"a": {"b": []}},
        "\0",
        "\ud800",
        b'"\xff"',
        b"NaN",
        b"1e999",
        b"9" * 5_000,
        b"[" * 500 + b"]" * 500,
    ],
    ids=lambda value: repr(value)[:20],
)
def test_a_field_that_is_not_read_may_hold_anything(api, value):
    assert issues_with(api, api.unread, value) == []
    assert issues_with(api, "a_new_field", value) == []


@both
@pytest.mark.parametrize("text", ["\\u0000", "\\ud800", "😀", "\u2028", "\x7f", "a\tb"])
def test_a_text_that_only_looks_dangerous_is_kept_as_it_is(api, text):
    page = checked(api, api.record({api.texts[0]: text}))
    assert [user.first_name for user in page.users] == [text]


# What is reported of an invalid record


@each("texts", "uid", "email", "born", "lat", "lng", "objects")
@pytest.mark.parametrize("value", [MISSING, None], ids=["missing", "null"])
def test_a_missing_or_null_required_field_is_reported_as_required(api, path, value):
    assert issues_with(api, path, value) == [(path, "required")]


@each("texts", "optional_texts", "uid", "email", "born", "objects", "optional_objects")
@pytest.mark.parametrize("value", [True, [], ["x"], 0.5], ids=repr)
def test_a_value_of_another_type_is_reported_as_type(api, path, value):
    assert issues_with(api, path, value) == [(path, "type")]


@each("texts", "optional_texts", "uid", "email", "born", "lat", "lng")
def test_an_object_in_place_of_a_single_value_is_reported_as_type(api, path):
    assert issues_with(api, path, {}) == [(path, "type")]


@each("lat", "lng")
@pytest.mark.parametrize("value", [True, [], ["x"]], ids=repr)  # true is 1 to Python, not to us
def test_degrees_of_another_type_are_reported_as_type(api, path, value):
    assert issues_with(api, path, value) == [(path, "type")]


@pytest.mark.parametrize("degrees", ["58.5", "", "north"])
def test_the_random_data_api_writes_no_number_as_text(degrees):
    assert issues_with(RANDOM_DATA_API, "address.coordinates.lat", degrees) == [
        ("address.coordinates.lat", "type")
    ]


@both
@pytest.mark.parametrize(
    "uid",
    [
        "",
        "n/a",
        "5919",
        "f80b9b0d-c04d-4a77-86b5-43981186a78",  # one digit short
        "f80b9b0d-c04d-4a77-86b5-43981186a7888",  # one too many
        "f80b9b0d-c04d-4a77-86b5-43981186a78g",
        "f80b9b0dc04d-4a77-86b5-43981186a788",
        "{f80b9b0d-c04d-4a77-86b5-43981186a788}",  # Python's UUID accepts this and the next two
        "urn:uuid:f80b9b0d-c04d-4a77-86b5-43981186a788",
        " f80b9b0d-c04d-4a77-86b5-43981186a788",
    ],
)
def test_a_malformed_uuid_is_reported_as_uuid(api, uid):
    assert issues_with(api, api.uid, uid) == [(api.uid, "uuid")]


@both
@pytest.mark.parametrize(
    "email",
    [
        "",
        "n/a",
        "name",
        "name@host",  # a domain has a dot
        "@host.example",
        "name@",
        "name@.example",
        "name@host.",
        "name@host..example",
        "na me@host.example",
        "name@ho st.example",
        "a@b@host.example",
        "a@host.example\nb@host.example",  # one address, not two lines
    ],
)
def test_a_malformed_email_is_reported_as_format(api, email):
    assert issues_with(api, api.email, email) == [(api.email, "format")]


@both
def test_an_email_over_320_characters_is_reported_as_length(api):
    assert issues_with(api, api.email, "a" * 65 + "@" + "b" * 251 + ".com") == [(api.email, "length")]


@both
@pytest.mark.parametrize(
    "day",
    [
        "2001-02-30",
        "1900-02-29",  # 100 divides the year, but 400 does not
        "2001-13-01",
        "2001-00-10",
        "2001-04-31",
        "0000-01-01",
        "2001-2-3",
        "14/10/2001",
        "n/a",
        "",
    ],
)
def test_a_day_that_does_not_exist_is_reported_as_date(api, day):
    assert issues_with(api, api.born, api.born_on(day)) == [(api.born, "date")]


@both
def test_a_date_of_birth_is_text_and_not_a_number_of_seconds(api):
    assert issues_with(api, api.born, 1_000_000_000) == [(api.born, "type")]


@both
@pytest.mark.parametrize("day", ["2024-03-01", "2025-01-01", "9999-12-31"])
def test_a_day_after_today_is_reported_as_future(api, day):
    assert issues_with(api, api.born, api.born_on(day)) == [(api.born, "future")]


@both
def test_a_future_day_is_reported_along_with_other_faults(api):
    record = api.record({api.born: api.born_on("2024-03-01"), api.email: "name"})
    assert issues(api, record) == sorted([(api.born, "future"), (api.email, "format")])


@both
@pytest.mark.parametrize(
    "degrees",
    [
        90.00001,
        -90.00001,
        91,
        10**30,
        b"1e999",  # beyond a double: infinite
        b"NaN",  # not valid JSON, but Python writes it
        b"Infinity",
        b"-Infinity",
        b"9" * 400,  # an integer too large for a double
        b"9" * 5_000,  # too many digits for Python's int()
    ],
    ids=lambda degrees: str(degrees)[:12],
)
def test_a_latitude_beyond_the_poles_is_reported_as_range(api, degrees):
    assert issues_with(api, api.lat, degrees) == [(api.lat, "range")]


@both
@pytest.mark.parametrize("degrees", [180.00001, -180.00001, b"NaN"])
def test_a_longitude_beyond_180_is_reported_as_range(api, degrees):
    assert issues_with(api, api.lng, degrees) == [(api.lng, "range")]


@each("texts", "optional_texts", "uid", "email", "born")
@pytest.mark.parametrize(
    "text",
    [
        "a\0b",  # Postgres cannot store NUL
        "\ud800",  # half a surrogate pair: not Unicode text
        "a\udfff",
        b'"\xff"',  # not UTF-8
        b'"\xed\xa0\x80"',  # half a surrogate pair, encoded as bytes
        b'"\xc0\x80"',  # overlong encoding of NUL, as Java writes it
    ],
    ids=ascii,
)
def test_text_that_postgres_cannot_store_is_reported_as_encoding(api, path, text):
    assert issues_with(api, path, text) == [(path, "encoding")]


@both
@pytest.mark.parametrize("record", NO_RECORD, ids=repr)
def test_a_record_that_is_not_an_object_is_reported_as_type(api, record):
    assert issues(api, record) == [("", "type")]


@both
@pytest.mark.parametrize("number", [b"1" * 25, b"1" * 5_000, b"1e999", b"NaN"], ids=lambda n: str(n[:4]))
def test_a_number_of_any_size_is_not_text(api, number):
    assert issues_with(api, api.texts[0], number) == [(api.texts[0], "type")]


@both
@pytest.mark.parametrize("opened", [b"[", b'{"a":'], ids=["lists", "objects"])
def test_deep_nesting_in_place_of_text_is_reported_as_type(api, opened):
    closed = b"]" if opened == b"[" else b"}"
    assert issues_with(api, api.texts[0], opened * 500 + b"1" + closed * 500) == [(api.texts[0], "type")]


@both
def test_the_last_of_a_repeated_field_counts(api):
    good = json.dumps(api.record()).encode()
    email, born = f'"{api.email}": 5, '.encode(), good[1:]
    assert issues(api, b"{" + email + born) == []
    assert issues(api, good[:-1] + f', "{api.email}": "name"}}'.encode()) == [(api.email, "format")]


@both
def test_the_last_of_a_repeated_field_counts_in_a_page_with_faults_too(api):
    good = json.dumps(api.record({api.email: "last@host.example"})).encode()
    twice = b"{" + f'"{api.email}": "first@host.example", '.encode() + good[1:]
    page = checked(api, twice, b'"\xff"')
    assert [user.email for user in page.users] == ["last@host.example"]


@both
def test_all_faults_of_a_record_are_reported_in_the_order_of_their_paths(api):
    faults = {
        api.uid: ("5919", "uuid"),
        api.email: (MISSING, "required"),
        api.born: (api.born_on("2001-02-30"), "date"),
        api.lat: (-91, "range"),
        api.lng: (None, "required"),
        api.texts[0]: ("a\0b", "encoding"),
        api.texts[1]: ("x" * 201, "length"),
        api.optional_texts[0]: (True, "type"),
    }
    record = api.record({path: value for path, (value, _) in faults.items()})
    assert issues(api, record) == sorted((path, rule) for path, (_, rule) in faults.items())


@both
def test_an_empty_record_lacks_only_the_required_fields_of_the_top_level(api):
    top = {path.partition(".")[0] for path in (*api.texts, api.uid, api.email, api.born, *api.objects)}
    assert issues(api, {}) == sorted((path, "required") for path in top)


@both
def test_a_record_that_only_the_decoder_refuses_is_rejected_as_a_whole(api):
    record = api.record({"\ud800": 1})  # an unknown field whose name is not Unicode text
    assert issues(api, record) == [("", "conversion")]


class Cut(Dialect[User]):
    """A dialect that splits pages incorrectly."""

    def split(self, body: bytes) -> list[bytes]:
        return [b'{"uid": ', *super().split(body)]


def test_a_record_that_is_not_valid_json_is_reported_as_json():
    page = validate(
        RANDOM_DATA_API.page(5),
        Cut("cut", User, lambda user: user, Paging(random_data_api.query), uid="uid"),
        TODAY,
    )
    assert [reject.issues for reject in page.rejects] == [(Issue("", "json"),), (Issue("", "type"),)]
    assert page.rejects[0].raw == b'{"uid": '


# The page as a whole


@both
def test_a_reject_has_its_position_in_the_page_counted_from_0(api):
    page = checked(api, 5, api.record(), api.record({api.email: "name"}), api.record(), None)
    assert [reject.position for reject in page.rejects] == [0, 2, 4]
    assert (len(page.users), page.fetched) == (2, 5)


@both
@pytest.mark.parametrize("neighbour", [5, "\ud800"], ids=ascii)
def test_a_rejects_bytes_do_not_depend_on_how_its_record_and_page_were_written(api, neighbour):
    written = (b'{"email":"n\xc3\xa4me","b":[1,2]}', b'{ "b": [1, 2],\t"email": "n\\u00e4me" }')
    raw = [checked(api, record, neighbour).rejects[0].raw for record in written]
    assert raw == [b'{"b": [1, 2], "email": "n\\u00e4me"}'] * 2


@both
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a": 1}', b'{"a": 2}'),
        (b'{"a": 1}', b'{"a": 1.0}'),
        (b'{"a": "1"}', b'{"a": 1}'),
        (b'{"a": [1, 2]}', b'{"a": [2, 1]}'),
        (b"{}", b"[]"),
        (b'{"a": null}', b"{}"),
    ],
)
def test_different_rejects_have_different_bytes(api, one, other):
    raw = [reject.raw for reject in checked(api, one, other).rejects]
    assert raw[0] != raw[1]


@both
def test_a_byte_order_mark_is_ignored(api):
    pages = (api.page(api.record()), api.page(api.record({api.email: "none"}), api.record()))

    for page in pages:
        marked, plain = (validate(bom + page, api.dialect, TODAY) for bom in (codecs.BOM_UTF8, b""))
        assert (facts(marked.users), marked.rejects) == (facts(plain.users), plain.rejects)


@both
def test_an_empty_page_is_valid(api):
    page = checked(api)
    assert (page.users, page.rejects, page.fetched) == ([], [], 0)


@pytest.mark.parametrize(
    ("api", "body"),
    [
        *(
            (api, body)
            for api in APIS
            for body in (b"", b"null", b"5", b'"text"', b"\xff", b"<html>", b"{}", b"NaN")
        ),
        *((api, api.page(api.record())[:-1]) for api in APIS),
        *((api, api.page(api.record()) + b"]") for api in APIS),
        *((api, api.page(api.record()).replace(b": ", b"= ", 1)) for api in APIS),
        *((api, api.page(b'"a\tb"')) for api in APIS),  # a raw control character is invalid in JSON
        *((api, api.page(b'"\\ud8zz"', b'"\\ud8"')) for api in APIS),  # and so is an incomplete escape
        (RANDOM_DATA_API, RANDOMUSER.page(RANDOMUSER.record())),
        (RANDOM_DATA_API, b'{"error": "\xff"}'),
        (RANDOMUSER, RANDOM_DATA_API.page(RANDOM_DATA_API.record())),
        (RANDOMUSER, b'["\\ud800"]'),
        (RANDOMUSER, b'{"results": [{}], "info": "\\ud8zz"}'),
        (RANDOMUSER, b'{"error": "Uh oh, something has gone wrong."}'),
        (RANDOMUSER, b'{"error": "\xff"}'),
        (RANDOMUSER, b'{"\\ud800": 1, "results": 5}'),
        (RANDOMUSER, b'{"results": null}'),
        (RANDOMUSER, b'{"results": {"0": {}}}'),
        (RANDOMUSER, b'{"results": {"0": "\xff"}}'),
    ],
    ids=lambda value: ascii(value)[:40] if isinstance(value, bytes) else str(value),
)
def test_a_body_without_a_list_of_records_is_an_error(api, body):
    with pytest.raises(ValueError):  # noqa: PT011  from any of the libraries
        validate(body, api.dialect, TODAY)


def deeper_than_any_parser_goes(start: bytes = b"[", end: bytes = b"]") -> bytes:
    return start * 150_000 + b"1" + end * 150_000  # from Python 3.14 on, only the stack's size is a limit


DEEP = {
    "lists": deeper_than_any_parser_goes(),
    "objects": deeper_than_any_parser_goes(b'{"a":', b"}"),
    "brackets in text": deeper_than_any_parser_goes(b'["]}\\"]",', b"]"),
}


@both
@pytest.mark.parametrize("deep", DEEP.values(), ids=DEEP)
def test_a_record_nested_too_deeply_for_any_parser_is_reported_as_json_and_affects_no_other(api, deep):
    good, bad = api.record(), api.record({api.email: "nobody"})

    page = checked(api, good, deep, api.record({api.unread: deep}), bad, api.record({api.email: deep}))

    no_json, no_email = (Issue("", "json"),), (Issue(api.email, "format"),)
    assert [(reject.position, reject.issues) for reject in page.rejects] == [
        (1, no_json),
        (2, no_json),
        (3, no_email),
        (4, no_json),
    ]
    assert facts(page.users) == facts([api.user()])
    assert page.rejects[0].raw == deep


@pytest.mark.parametrize("depth", [9, 900, 1_500, 9_000])
def test_a_reject_that_may_be_sealed_has_no_dropped_field_however_deep_its_record(depth):
    nested = b"[" * depth + b"]" * depth

    (reject,) = checked(RANDOMUSER, RANDOMUSER.record({"dob": nested, "login.password": "hunter2"})).rejects

    assert not reject.is_record or b"hunter2" not in reject.raw


def test_an_unterminated_text_is_scanned_only_once():
    """A scan that starts again at each quotation mark would take days."""
    body = b"[" + DEEP["lists"] + b',"' + b'\\"' * 500_000

    with pytest.raises(ValueError, match="Unterminated"):
        validate(body, RANDOM_DATA_API.dialect, date(2026, 1, 31))


@both
def test_only_some_of_very_many_unknown_fields_are_named(api):
    raw = json.dumps({f"field_{number}": 1 for number in range(5_000)}).encode()

    assert len(api.dialect.unknown(raw)) == 1_000


@both
def test_a_page_may_hold_both_too_deep_nesting_and_half_a_surrogate_pair(api):
    deep = DEEP["lists"]

    page = checked(api, api.record({api.email: b'"\\ud800"'}), deep, api.record())

    assert [reject.issues for reject in page.rejects] == [
        (Issue(api.email, "encoding"),),
        (Issue("", "json"),),
    ]
    assert page.rejects[1].raw == deep
    assert facts(page.users) == facts([api.user()])


surrogates = st.sampled_from(["\ud800", "\udfff", "\U0001f600", "ud800", "\\", "\0", '"', "é"])


@both
@given(records=st.lists(st.lists(surrogates, min_size=1).map("".join), min_size=1), escaped=st.booleans())
def test_a_page_with_surrogates_is_split_into_its_records(api, records, escaped):
    texts = [json.dumps({"text": text}, ensure_ascii=escaped) for text in records]
    bodies = [text.encode("utf-8", "backslashreplace") for text in texts]

    found = api.dialect.split(api.page(*bodies))

    assert list(map(json.loads, found)) == list(map(json.loads, bodies))


@both
def test_a_record_with_half_a_surrogate_pair_keeps_its_bytes(api):
    bodies = [rb'{"a":"\ud800","b":1.50}', rb'{"a":"\\ud800\ud83d\ude00","b":1E2}', b'{"b":3}']
    assert api.dialect.split(api.page(*bodies)) == bodies


@both
def test_text_that_looks_like_our_masking_is_not_unmasked(api):
    bodies = [rb'{"a":"\u0000ud800"}', rb'{"a":"\ud800"}']
    assert list(map(json.loads, api.dialect.split(api.page(*bodies)))) == list(map(json.loads, bodies))


@both
def test_a_page_with_unclosed_brackets_is_an_error(api):
    with pytest.raises((ValueError, RecursionError)):
        validate(b"[" * 200_000 + api.page(api.record()), api.dialect, TODAY)


# Arbitrary input

surrogates_too = st.text(st.characters(exclude_categories=()), max_size=12)
hostile = st.sampled_from(
    [
        "\0",
        "\ud800",
        "of length",  # part of the decoder's own messages
        "matching regex",
        "Invalid UUID",
        "2001-02-30",
        "9999-12-31",
        "9999-12-31T00:00:00Z",
        "name@host",
        "nan",
        "x" * 201,
        10**30,
        -(10**30),
        b'"\xff"',
        b"9" * 5_000,
        b"1e999",
        b"[" * 500 + b"]" * 500,
        MISSING,
    ]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | surrogates_too
anything = hostile | st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(surrogates_too, inner, max_size=3),
    max_leaves=6,
)
text = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=200)


def changed(api: Api) -> st.SearchStrategy[Any]:
    """A record with anything in any of its fields, or any value in place of a record."""
    paths = sorted(paths_of(api.record()) - {""})
    return st.dictionaries(st.sampled_from(paths), anything, max_size=4).map(api.record) | anything.filter(
        lambda value: value is not MISSING
    )


def valid(api: Api) -> st.SearchStrategy[dict[str, Any]]:
    """A valid record, with anything that a valid one may hold."""
    degrees = st.floats(-90, 90) | st.integers(-90, 90)
    born = st.dates(max_value=TODAY).map(lambda day: api.born_on(day.isoformat()))
    email = st.from_regex(r"\s?[a-zé.]{1,9}@[a-z]{1,9}\.[a-z]{2,3}\s?", fullmatch=True)
    required = {api.uid: st.uuids().map(str), api.email: email, api.born: born}
    required |= {api.lat: degrees, api.lng: degrees} | dict.fromkeys(api.texts, text)
    optional = dict.fromkeys(api.optional_texts, text | st.just(None) | st.just(MISSING))
    unread = {api.unread: anything, "a_new_field": anything}
    return st.fixed_dictionaries(required, optional=optional | unread).map(api.record)


@both
@given(data=st.data())
def test_any_record_is_a_user_or_a_reject(api, data):
    records = data.draw(st.lists(changed(api), max_size=4))
    page = checked(api, *records)
    positions = [reject.position for reject in page.rejects]
    assert len(page.users) + len(page.rejects) == page.fetched == len(records)
    assert positions == sorted(set(positions) & set(range(len(records))))


@both
@given(data=st.data())
def test_every_issue_of_any_record_is_a_path_of_the_contract_and_a_rule(api, data):
    known = paths_of(api.record())
    for reject in checked(api, *data.draw(st.lists(changed(api), max_size=4))).rejects:
        assert reject.issues
        assert list(reject.issues) == sorted(set(reject.issues))
        assert {issue.path for issue in reject.issues} <= known
        assert {issue.rule for issue in reject.issues} <= RULES


@both
@given(data=st.data())
def test_no_record_affects_the_others(api, data):
    good = [api.record({api.uid: f"00000000-0000-4000-8000-{digit:012}"}) for digit in range(3)]
    bad = data.draw(changed(api))
    beside = checked(api, good[0], bad, good[1], bad, good[2])
    alone = checked(api, bad)
    expected = facts(checked(api, *good).users)
    assert [user for user in facts(beside.users) if user in expected] == expected
    assert len(beside.users) == 3 + 2 * len(alone.users)


@both
@given(data=st.data())
def test_a_valid_record_is_the_same_user_whatever_its_neighbours(api, data):
    records = data.draw(st.lists(valid(api), min_size=1, max_size=4))
    together = checked(api, *records)  # decoded in one call
    assert len(together.users) == len(records)
    for bad in (5, "\ud800", "\0"):  # forces decoding one by one, then by the lenient parser
        assert facts(checked(api, *records, bad).users) == facts(together.users)


@both
@given(body=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_a_page_or_a_value_error(api, body):
    try:
        page = validate(body, api.dialect, TODAY)
    except ValueError:
        return
    assert page.fetched >= 0


@both
@given(data=st.data())
def test_a_page_that_is_damaged_anywhere_is_a_page_or_a_value_error(api, data):
    body = bytearray(api.page(api.record(), api.record()))
    for position in data.draw(st.lists(st.integers(0, len(body) - 1), min_size=1, max_size=3)):
        body[position] = data.draw(st.integers(0, 255))
    try:
        page = validate(bytes(body), api.dialect, TODAY)
    except ValueError:
        return
    assert page.fetched <= 2


@both
@given(days=st.integers(-1_000, 1_000))
def test_no_user_is_born_after_today(api, days):
    born = TODAY + timedelta(days=days)
    page = checked(api, api.record({api.born: api.born_on(born.isoformat())}))
    assert len(page.users) == (born <= TODAY)


@both
@given(degrees=st.floats(allow_nan=True, allow_infinity=True))
def test_no_user_has_impossible_coordinates(api, degrees):
    for user in checked(api, api.record({api.lat: degrees, api.lng: degrees})).users:
        assert math.isfinite(user.address.coordinates.lat)
        assert abs(user.address.coordinates.lat) <= 90


# What a repr shows


@both
def test_no_repr_shows_a_records_values(api):
    record = api.record()
    raw = msgspec.json.decode(
        json.dumps(record), type=api.dialect.record_type, dec_hook=lambda kind, v: kind(v)
    )
    user = api.user()
    parts = [raw, user, user.address, user.address.coordinates, user.employment, user.subscription]
    parts += [getattr(raw, name) for name in raw.__struct_fields__ if name not in (api.email, "gender")]
    shown = [repr(part) for part in parts if isinstance(part, msgspec.Struct)]
    shown += [str(user), f"{user}", repr([user]), repr({"user": user}), repr(checked(api, record))]
    values = [str(leaf) for leaf in leaves_of(record) if leaf not in (None, "")]
    assert [value for value in values if any(value in text for text in shown)] == []


@both
def test_no_repr_of_a_reject_shows_a_records_values(api):
    record = api.record({api.email: "not-an-email", api.uid: "not-a-uuid"})
    page = checked(api, record)
    values = [str(leaf) for leaf in leaves_of(record) if leaf not in (None, "")]
    for text in (repr(page), str(page), repr(page.rejects[0]), str(page.rejects)):
        assert [value for value in values if value in text] == []


def test_a_repr_names_the_type():
    assert repr(RANDOMUSER.user()) == "<User>"
    assert repr(RANDOMUSER.user().address) == "<Address>"


def test_a_page_and_its_rejects_are_immutable():
    page = checked(RANDOM_DATA_API, 5)
    for part, name in ((page, "rejects"), (page.rejects[0], "issues")):
        with pytest.raises(FrozenInstanceError):
            setattr(part, name, ())


def test_the_repr_of_a_reject_shows_its_position_and_issues():
    reject = Reject(3, (Issue("email", "format"),), b"{}")
    assert repr(reject) == "Reject(position=3, issues=(Issue(path='email', rule='format'),))"


def test_rich_shows_no_field_either():
    """Rich's tracebacks do not call repr() on a type that has its own way to describe itself."""
    assert RANDOM_DATA_API.user().__rich_repr__() == []
    assert Lookup(email="hush@example.com").__rich_repr__() == []
