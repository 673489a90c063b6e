"""What a run and the store exchange: a report adds up, and no repr shows a column."""

import json
import re
from operator import itemgetter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chalicelib.ledger import Erased, Loaded, OpenedRun, PageLoad, RejectRow, Report
from chalicelib.prepare import columns_json
from chalicelib.users import Issue
from tests.fakes import key, page_load, person

counts = st.integers(0, 1_000)


def loaded(inserted: int, updated: int, unchanged: int, suppressed: int, rejected: int) -> Loaded:
    return Loaded(inserted, updated, unchanged, suppressed, rejected, "2024-02-29T12:00:00Z", {})


def test_a_new_report_counts_nothing():
    report = Report("run", "running")
    assert report.summary() == {
        "run_id": "run",
        "status": "running",
        "pages": 0,
        "fetched": 0,
        "inserted": 0,
        "updated": 0,
        "unchanged": 0,
        "duplicate": 0,
        "rejected": 0,
        "suppressed": 0,
        "error": None,
        "seconds": 0.0,
        "timings": {},
        "rejects_by_rule": [],
        "unknown_fields": 0,
        "withheld": {},
        "total": None,
        "first_page": 1,
        "next_page": None,
        "source_ended": False,
        "short_pages": 0,
    }


def test_a_page_is_added_to_every_count():
    report = Report("run", "running")
    report.add(
        loaded(inserted=1, updated=2, unchanged=4, suppressed=8, rejected=16), fetched=63, duplicate=32
    )
    assert (report.pages, report.fetched) == (1, 63)
    assert (report.inserted, report.updated, report.unchanged) == (1, 2, 4)
    assert (report.suppressed, report.rejected, report.duplicate) == (8, 16, 32)


@given(pages=st.lists(st.tuples(counts, counts, counts, counts, counts, counts)))
def test_if_every_page_adds_up_the_report_adds_up(pages):
    report = Report("run", "running")
    for *kinds, duplicate in pages:
        report.add(loaded(*kinds), sum(kinds) + duplicate, duplicate)
    kinds = (report.inserted, report.updated, report.unchanged, report.suppressed, report.rejected)
    assert report.fetched == sum(kinds) + report.duplicate == sum(map(sum, pages))
    assert report.pages == len(pages)


def test_a_summary_lists_the_most_common_rejects_first():
    report = Report("run", "failed")
    report.rejects_by_rule.update([("email", "format"), ("uid", "uuid"), ("email", "format")])
    assert report.summary()["rejects_by_rule"] == [
        {"path": "email", "rule": "format", "count": 2},
        {"path": "uid", "rule": "uuid", "count": 1},
    ]


def test_a_summary_is_json_and_a_copy():
    report = Report("run", "failed", error="page 1: no records", timings={"fetch": 1.5})
    report.rejects_by_rule["email", "format"] += 1
    summary = report.summary()
    assert json.loads(json.dumps(summary)) == summary
    summary["timings"]["fetch"] = 0
    assert report.timings == {"fetch": 1.5}


def test_reports_share_no_state():
    one, other = Report("one", "running"), Report("other", "running")
    one.timings["fetch"] = 1.0
    one.rejects_by_rule["email", "format"] += 1
    assert (other.timings, other.rejects_by_rule) == ({}, {})


def test_the_repr_of_a_load_shows_no_row():
    row = RejectRow(3, (Issue("email", "format"),), "v1_fingerprint")
    load = PageLoad(
        run_id="run",
        page=1,
        columns={"city": '["a-city"]'},
        drafts={"a-uid": b"a-draft"},
        rejects=[row],
        duplicate=0,
        key=key(1),
    )
    assert "a-city" not in f"{load!r} {load}"
    assert "a-draft" not in f"{load!r} {load}"
    done = Loaded(1, 0, 0, 0, 1, "2024-02-29T12:00:00Z", {"a-uid": 1})
    assert "a-uid" not in f"{done!r} {done}"


# The columns of a load


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


@pytest.mark.parametrize(
    "passed",
    [
        OpenedRun("run", "running"),
        RejectRow(0, (), "v1_fingerprint"),
        PageLoad(run_id="run", page=1, columns={}, drafts={}, rejects=[], duplicate=0, key=key(1)),
        loaded(0, 0, 0, 0, 0),
        Erased("2024-02-29T12:00:00Z", 1, 1, 0, []),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_passed_between_rooms_are_immutable(passed):
    with pytest.raises(AttributeError):
        setattr(passed, next(iter(vars(passed))), "changed")
