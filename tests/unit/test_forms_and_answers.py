"""What clients may send and how answers are written: Accept headers, CSV, parameter forms. No server."""

import csv
import io
import re
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urljoin

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib import answers, assets, forms, gate, table
from chalicelib.answers import CSV, HTML, JSON, NDJSON
from chalicelib.errors import RequestError
from chalicelib.views import Address, Coordinates, Employment, Subscription, UserList, UserView

OFFERED = (JSON, NDJSON, CSV)


def refusal_of(work):
    """The refusal that ``work`` raises, or None; any other error fails the test."""
    try:
        work()
    except RequestError as refused:
        return refused
    return None


# Accept headers


@pytest.mark.parametrize(
    ("accept", "given_"),
    [
        ("*/*", JSON),
        ("application/json", JSON),
        ("application/*", JSON),
        ("application/x-ndjson", NDJSON),
        ("text/*", CSV),
        ("TEXT/CSV", CSV),
        ("text/csv;header=present", CSV),
        ("text/csv , application/x-ndjson", NDJSON),  # equal quality: our order decides
        ("text/csv;q=0.5,application/x-ndjson;q=0.4", CSV),
        ("text/csv; q=0.4, application/x-ndjson; q=0.5", NDJSON),
        ("text/csv ; q=0.4 , application/x-ndjson\t;\tq=0.5", NDJSON),
        ("text/csv;q=0.001", CSV),
        ("image/png, text/csv;q=0.1", CSV),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", JSON),  # a browser's
        ("application/json;q=0, text/csv;q=0.1", CSV),
        ("text/csv;Q=1.0,*/*;q=0.1", CSV),
        ("text/csv;q=1,application/json;q=1.000", JSON),
    ],
)
def test_the_form_is_the_one_that_the_caller_prefers(accept, given_):
    assert answers._preferred_media(accept) == given_


@pytest.mark.parametrize(
    ("accept", "given_"),
    [
        ("application/json;q=0, */*", NDJSON),
        ("text/csv;q=0.1, text/*;q=0.5, application/json;q=0.2", JSON),
        ("*/*;q=0.9, application/json;q=0.1, text/csv;q=0.2", NDJSON),
        ("*/*, application/*;q=0", CSV),
    ],
)
def test_the_most_specific_range_decides(accept, given_):
    """RFC 9110, 12.5.1."""
    assert answers._preferred_media(accept) == given_


def test_an_empty_header_counts_as_missing():
    assert answers._preferred_media("") == JSON


@pytest.mark.parametrize(
    "accept",
    [
        "image/png",
        "application/json;q=0",
        "*/*;q=0",
        "*/*;q=0.000",
        "text/csv;q=nan",
        "text/csv;q=-1",
        "text/csv;q=high",
        "text/csv;q=",
        "nonsense",
        ";q=1",
        "json",
        "application/jsonx",
        "*/json",
        "text/csv/x",
    ],
)
def test_an_unavailable_form_is_refused_with_the_available_ones(accept):
    with pytest.raises(RequestError) as refused:
        answers._preferred_media(accept)

    assert refused.value.status == 406
    assert all(media in refused.value.detail for media in OFFERED)


@pytest.mark.parametrize("quality", ["2", "1.5", "inf", "1e9"])
def test_a_quality_above_one_counts_as_one(quality):
    assert answers._preferred_media(f"text/csv;q={quality}, application/json;q=1") == JSON


@given(st.text())
def test_any_accept_header_is_understood_or_refused(accept):
    refused = refusal_of(lambda: answers._preferred_media(accept))

    assert refused is None or refused.status == 406


# CSV

texts = st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00")))


def view(text):
    return UserView(
        *("uid", 1, "now", text, text, text, text, text, text, 1970, text),
        Employment(text, text),
        Subscription(text, text, text, text),
        Address(text, text, text, text, text, Coordinates(-0.1, 179.9)),
    )


def rows(people, custom_fields=()):
    return list(csv.reader(io.StringIO(table.as_csv(people, custom_fields), newline="")))


@given(st.lists(texts, max_size=5))
def test_everything_stored_survives_csv(stored):
    head, *lines = rows([view(text) for text in stored])

    assert len(lines) == len(stored)
    for text, row in zip(stored, lines, strict=True):
        cells = dict(zip(head, row, strict=True))
        assert cells["address.city"] == cells["first_name"] == cells["subscription.term"] == (text or "")
        assert (cells["birth_year"], cells["address.coordinates.lat"]) == ("1970", "-0.1")


@pytest.mark.parametrize("value", [True, False])
def test_a_truth_value_which_a_field_of_ones_own_may_have_is_written_as_in_json(value):
    head, row = rows([view(value)])

    assert dict(zip(head, row, strict=True))["gender"] == msgspec.json.encode(value).decode()


def test_a_name_of_a_column_is_the_path_in_the_json():
    (head,) = rows([])

    def paths(value, prefix=""):
        for name, inner in value.items():
            yield from paths(inner, f"{prefix}{name}.") if isinstance(inner, dict) else [f"{prefix}{name}"]

    assert head == list(paths(msgspec.to_builtins(view("x"))))


def test_custom_fields_have_columns_whether_people_have_them_or_not():
    some, none = view("x"), view("y")
    some.custom = {"active": False, "age": 3, "roles": ["dev", 'a "b"'], "old": "of an earlier dialect"}

    head, *lines = rows([some, none], ["active", "language", "age", "roles"])

    assert head[-4:] == ["custom.active", "custom.language", "custom.age", "custom.roles"]
    assert [row[-4:] for row in lines] == [["false", "", "3", '["dev","a \\"b\\""]'], ["", "", "", ""]]
    assert head[:-4] == rows([])[0]


def test_lines_end_as_rfc_4180_requires():
    assert table.as_csv([view("x")], ()).count("\r\n") == 2


@given(st.lists(texts, max_size=5))
def test_each_line_of_ndjson_is_one_person(stored):
    written = answers._serialised(UserList([view(text) for text in stored], None), NDJSON, tuple)

    lines = written.encode().split(b"\n")
    assert lines.pop() == b""
    assert [msgspec.json.decode(line, type=UserView).first_name for line in lines] == stored


# Values


def query(form, **sent):
    class Sent(dict):
        def getlist(self, name):
            return [self[name]]

    return gate._query(form, Sent(sent))


@pytest.mark.parametrize("limit", ["1", "50", "1000", "0001"])
def test_a_limit_is_a_whole_number_from_one_to_a_thousand(limit):
    assert query(forms.Runs, limit=limit).limit == int(limit)


@pytest.mark.parametrize(
    "limit",
    [
        *("0", "1001", "-1", "9" * 9, "9" * 4_301),
        *("", " ", "1.0", "1e1", " 1", "1\n", "+5", "0x10", "1_0", "NaN", "１", "٣"),
    ],
)
def test_any_other_limit_is_refused(limit):
    with pytest.raises(RequestError) as refused:
        query(forms.Runs, limit=limit)

    assert refused.value.status == 400
    assert refused.value.detail.startswith("limit: ")
    assert "`" not in refused.value.detail  # which would be a name of Python's


@given(st.text() | st.sampled_from(forms.Users.__struct_fields__), st.text())
def test_any_value_is_accepted_or_refused_and_never_repeated(name, value):
    """The value is marked, as a part of it may occur in a refusal by chance."""
    refused = refusal_of(lambda: query(forms.Users, **{name: f"{value}hush"}))

    assert refused is None or refused.status == 400
    assert refused is None or "hush" not in refused.detail


@given(st.binary(max_size=200))
def test_any_body_is_understood_or_refused(sent):
    class Request:
        headers = {"content-type": "application/json"}  # noqa: RUF012
        raw_body = sent

    refused = refusal_of(lambda: gate._body(forms.Lookup, Request))

    assert refused is None or refused.status == 400


@pytest.mark.parametrize(
    ("declared", "wrong"), [("city", "\x00"), ("cursor", "a b"), ("updated_since", "now"), ("limit", "x")]
)
def test_a_refusal_names_the_parameter(declared, wrong):
    with pytest.raises(RequestError) as refused:
        query(forms.Users, **{declared: wrong})

    assert refused.value.detail.startswith(f"{declared}: ")


def test_the_pages_look_up_takes_the_longest_value_that_the_api_takes():
    script = (Path(assets.__file__).parent / "web/lookup.js").read_text(encoding="utf-8")
    properties = msgspec.json.schema_components([forms.Lookup])[1]["Lookup"]["properties"].values()

    (longest,) = re.findall(r"maxlength: (\d+)", script)
    assert int(longest) == max(declared.get("maxLength", 0) for declared in properties)


def test_the_repr_of_a_look_up_does_not_show_its_value():
    assert "hush" not in repr(forms.Lookup(email="hush"))


def test_the_page_is_html():
    assert answers.html("<p>").headers["Content-Type"].startswith(HTML)


@pytest.mark.parametrize("path", ["/runs", "/runs/", "/api/runs", "/_aws/x/api/runs", "/api/runs/"])
def test_the_location_of_a_started_run_is_below_the_requested_path(path):
    """It is relative, because a gateway may pass on only a part of the path that the client requested."""
    answer = answers.started(SimpleNamespace(context={"path": path}), "the-id", "running")

    place = urljoin(f"https://decant.example{path}", answer.headers["Location"])
    assert place == f"https://decant.example{path.rstrip('/')}/the-id"
