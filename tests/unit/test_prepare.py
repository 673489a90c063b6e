"""The columns of a load, as they are written for Postgres."""

import json
import re
from operator import itemgetter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.prepare import columns_json
from tests.fakes import page_load, person


def written(columns: dict[str, list[Any]], erasure_tokens: list[list[str]]) -> dict[str, str]:
    drafts = {uid: b"a draft of " + uid.encode() for uid in columns["uid"]}
    return columns_json(columns, drafts, erasure_tokens)


def hashes(*changes: dict[str, Any]) -> list[str]:
    """The content hashes of loads of one person each."""
    loads = [page_load("run", person(1, **change)) for change in changes]
    return [json.loads(load.columns["content_hash"])[0] for load in loads]


values = st.none() | st.text() | st.integers(0, 9_999) | st.floats(-180, 180)


@given(rows=st.lists(st.tuples(st.uuids().map(str), values), unique_by=itemgetter(0)))
def test_columns_are_written_as_json_that_reads_back_the_same(rows):
    uids, cities = ([row[place] for row in rows] for place in range(2))
    columns = written({"uid": uids, "city": cities}, [[]] * len(rows))
    assert set(columns) == {"uid", "city", "content_hash", "erasure_tokens"}
    assert (json.loads(columns["uid"]), json.loads(columns["city"])) == (uids, cities)


def test_erasure_tokens_are_written_as_postgres_arrays():
    columns = written({"uid": ["a", "b"]}, [["v2_a-_", "v1_b"], []])
    assert json.loads(columns["erasure_tokens"]) == ["{v2_a-_,v1_b}", "{}"]


def test_a_content_hash_is_written_as_16_bytes_in_postgres_hex():
    assert re.fullmatch(r"\\x[0-9a-f]{32}", hashes({})[0])


def test_equal_people_have_equal_hashes_at_any_position():
    first, again = person(1), person(1)
    loads = [page_load("run", first, person(2)), page_load("run", person(2), again, page=7)]
    one, other = (json.loads(load.columns["content_hash"]) for load in loads)
    assert one == other[::-1]
    assert one[0] != one[1]


@pytest.mark.parametrize("column", [name for name in person(1) if name != "uid"])
def test_any_change_of_a_person_changes_the_hash(column):
    same, other = hashes({}, {column: None})
    assert same != other


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"city": "xy", "state": ""}, {"city": "x", "state": "y"}),
        ({"city": "1"}, {"city": 1}),
        ({"city": "null"}, {"city": None}),
        ({"lat": 1.5}, {"lat": 1.6}),
    ],
)
def test_similar_but_different_content_has_another_hash(one, other):
    assert len(set(hashes(one, other))) == 2


def test_a_hash_depends_on_the_content_alone_and_not_on_the_known_keys():
    one, other = (written({"uid": ["a"]}, [tokens]) for tokens in (["v1_token"], ["v2_token", "v1_token"]))
    assert one["content_hash"] == other["content_hash"]


@pytest.mark.parametrize(
    ("columns", "erasure_tokens"),
    [({"uid": ["a", "b"], "city": ["x"]}, [[], []]), ({"uid": ["a", "b"]}, [["v1_token"]])],
)
def test_columns_of_different_lengths_are_an_error(columns, erasure_tokens):
    with pytest.raises(ValueError, match="different lengths"):
        written(columns, erasure_tokens)


def test_a_person_cannot_be_loaded_twice_in_a_page():
    with pytest.raises(ValueError, match="different lengths"):
        page_load("run", person(1), person(1))
