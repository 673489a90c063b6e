"""What a run and the store exchange: a report adds up, and no repr shows a column."""

import json

from hypothesis import given
from hypothesis import strategies as st

from chalicelib.ledger import OUTCOMES, Loaded, PageLoad, RejectRow
from chalicelib.report import Reading, Report
from chalicelib.users import Issue
from tests.fakes import key, page_load, person

counts = st.integers(0, 1_000)


def loaded(inserted: int, updated: int, unchanged: int, suppressed: int, rejected: int) -> Loaded:
    return Loaded(inserted, updated, unchanged, suppressed, rejected, 0, "2024-02-29T12:00:00Z", {})


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
        "filtered": 0,
        "error": None,
        "seconds": 0.0,
        "timings": {},
        "rejects_by_rule": [],
        "unknown_fields": 0,
        "withheld": {},
        "departed": 0,
        "total": None,
        "first_page": 1,
        "next_page": None,
        "queued": False,
        "since": None,
        "is_replay": False,
        "source_ended": False,
        "short_pages": 0,
    }


def test_a_page_is_added_to_every_count():
    report = Report("run", "running")
    counts = loaded(inserted=1, updated=2, unchanged=4, suppressed=8, rejected=16)
    report.add(counts, fetched=127, duplicate=32, filtered=64)
    assert (report.pages, report.fetched) == (1, 127)
    assert (report.inserted, report.updated, report.unchanged) == (1, 2, 4)
    assert (report.suppressed, report.rejected, report.duplicate, report.filtered) == (8, 16, 32, 64)


@given(pages=st.lists(st.tuples(*[counts] * len(OUTCOMES))))
def test_if_every_page_adds_up_the_report_adds_up(pages):
    report = Report("run", "running")
    for *kinds, duplicate, filtered in pages:
        report.add(loaded(*kinds), sum(kinds) + duplicate + filtered, duplicate, filtered)
    assert report.fetched == sum(getattr(report, outcome) for outcome in OUTCOMES) == sum(map(sum, pages))
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


def test_a_page_had_its_people_its_duplicates_and_its_rejects():
    rejects = [RejectRow(position, (Issue("email", "format"),), "v1_fingerprint") for position in range(3)]
    assert page_load("run", person(1), person(2), rejects=rejects, duplicates=5).fetched == 10


def test_the_repr_of_a_load_shows_no_row():
    row = RejectRow(3, (Issue("email", "format"),), "v1_fingerprint")
    load = PageLoad(
        run_id="run",
        page=1,
        columns={"city": '["a-city"]'},
        drafts={"a-uid": b"a-draft"},
        filled={"city": 1},
        rejects=[row],
        duplicate=0,
        key=key(1),
    )
    assert "a-city" not in f"{load!r} {load}"
    assert "a-draft" not in f"{load!r} {load}"
    done = Loaded(1, 0, 0, 0, 1, 0, "2024-02-29T12:00:00Z", {"a-uid": 1})
    assert "a-uid" not in f"{done!r} {done}"


def test_the_repr_of_a_reading_shows_no_cursor():
    reading = Reading(cursor={"after": "a-cursor"}, cursor_in_hand={"after": "a-cursor"})
    assert "a-cursor" not in repr(reading)
