"""Runs that suggest that the source has changed: nobody is known, or has a value in a column, any more."""

from dataclasses import replace

import pytest

from chalicelib import runs
from chalicelib.ledger import Counts, Ending, RunRequest
from tests.builders import RANDOM_DATA_API
from tests.fakes import KEY, page_load, person, token, uid

ENOUGH = 21  # people who should have a value
NO_PHONE = {"phone_number": None}


@pytest.fixture
def run(store):
    """Runs once: so many people who have all values, so many without some, a page for each."""

    def run(
        full, lacking=0, lacks=NO_PHONE, first=0, filtered=0, ending=None, contract="a hash", **request
    ) -> Counts:
        request = RunRequest(**{"source": "here", "trigger": "manual", "pages": 2} | request)
        run_id = store.open_run(request, contract, 1).run_id
        start = first + full
        store.load_page(page_load(run_id, *map(person, range(first, start))))
        people = [person(number, **lacks) for number in range(start, start + lacking)]
        store.load_page(replace(page_load(run_id, *people, page=2), filtered=filtered))
        ended = store.finish_run(run_id, ending or Ending("succeeded"))
        assert ended == store.finish_run(run_id, ending or Ending("succeeded"))  # a second try
        return ended

    return run


def test_a_run_in_which_nobody_has_a_value_any_more_is_partial_and_names_the_columns(run):
    run(ENOUGH)
    emptied = run(0, ENOUGH, {"phone_number": None, "city": None, "lat": None})

    why = "nobody has a value for city, lat, phone_number, but many had in the run before"
    assert (emptied.status, emptied.error) == ("partial", why)
    assert run(0, ENOUGH, {"phone_number": None, "city": None, "lat": None}).status == "succeeded"  # once


@pytest.mark.parametrize("left", [1, ENOUGH])
def test_a_run_in_which_somebody_has_one_has_succeeded(run, left):
    run(ENOUGH + 1)
    assert run(left, ENOUGH).status == "succeeded"


@pytest.mark.parametrize(
    ("before", "people", "status"),
    [
        ((ENOUGH, 0), ENOUGH - 1, "succeeded"),
        ((ENOUGH - 1, 0), ENOUGH, "partial"),
        ((10, 10), 2 * ENOUGH - 2, "succeeded"),
        ((10, 10), 2 * ENOUGH, "partial"),
        ((0, 10), 100, "succeeded"),
        ((0, 0), 100, "succeeded"),
    ],
)
def test_only_if_more_than_twenty_people_should_have_a_value_is_it_missed(run, before, people, status):
    run(*before)
    assert run(0, people).status == status


def test_an_error_of_the_run_comes_first(run):
    run(ENOUGH)
    ended = run(0, ENOUGH, ending=Ending("partial", "page 3: status 500"))

    missing = "nobody has a value for phone_number, but many had in the run before"
    assert (ended.status, ended.error) == ("partial", f"page 3: status 500; {missing}")


def test_a_run_that_missed_people_as_well_is_ended_by_a_second_try_too(run):
    run(ENOUGH)
    ended = run(0, ENOUGH, ending=Ending("partial", "1 pages had fewer records", missed=True))

    missing = "nobody has a value for phone_number, but many had in the run before"
    assert ended.error == f"1 pages had fewer records; {missing}"


@pytest.mark.parametrize(
    "between",
    [
        {"ending": Ending("failed", "page 3: 61 of 100 records are invalid")},
        {"source": "elsewhere"},
        {"contract": "another hash"},
        {"trigger": "replay"},
    ],
    ids=lambda between: next(iter(between)),
)
def test_runs_are_compared_with_the_last_that_says_anything(run, between):
    run(ENOUGH)
    assert run(0, ENOUGH, **between).status in ("succeeded", "failed")
    run(0)  # an empty source

    assert run(0, ENOUGH).status == "partial"


ALL_FILTERED = "all records were filtered or rejected, but not in the run before"


@pytest.mark.parametrize(
    ("before", "people", "filtered", "error"),
    [(ENOUGH, 0, 1, ALL_FILTERED), (ENOUGH, 1, 99, None), (ENOUGH - 1, 0, 99, None), (ENOUGH, 0, 0, None)],
)
def test_a_run_in_which_everybody_is_filtered_is_partial_and_says_so(run, before, people, filtered, error):
    run(before)
    for _ in range(2):
        ended = run(people, filtered=filtered)

        assert (ended.status, ended.error) == ("partial" if error else "succeeded", error)
        assert (ended.filtered, ended.fetched) == (filtered, people + filtered)


def test_whether_a_replay_or_a_run_over_changes_filters_everybody_says_nothing(run):
    run(ENOUGH, reads_to_end=True, incremental=True)

    assert run(0, filtered=9, trigger="replay").status == "succeeded"
    assert run(0, filtered=9, reads_to_end=True, incremental=True).status == "succeeded"
    assert run(0, filtered=9).error == ALL_FILTERED


NEW_IDS = "nobody was known, but many were in the run before"


def test_a_run_in_which_nobody_is_known_any_more_is_partial_and_says_so(run):
    run(ENOUGH)
    assert run(ENOUGH).unchanged == ENOUGH
    renumbered = run(ENOUGH, first=100)

    assert (renumbered.status, renumbered.error) == ("partial", NEW_IDS)
    assert run(ENOUGH, first=100).status == run(ENOUGH, first=100).status == "succeeded"


def test_both_may_be_so_at_once(run):
    run(ENOUGH)
    run(ENOUGH)

    why = f"{NEW_IDS}; nobody has a value for phone_number, but many had in the run before"
    assert run(0, ENOUGH, first=100).error == why


@pytest.mark.parametrize(
    ("known", "new", "status"), [(0, 20, "succeeded"), (1, 100, "succeeded"), (0, 21, "partial")]
)
def test_new_people_are_no_reason_for_doubt(run, known, new, status):
    run(ENOUGH)
    run(ENOUGH)

    assert run(known + new, first=ENOUGH - known).status == status


def test_a_source_that_invents_people_at_each_call_is_never_doubted(run):
    assert {run(ENOUGH, first=100 * number).status for number in range(4)} == {"succeeded"}


def test_people_who_have_all_changed_are_known(run):
    run(ENOUGH)
    run(ENOUGH)
    changed = run(0, ENOUGH, {"city": "Aarhus"})

    assert (changed.status, changed.updated) == ("succeeded", ENOUGH)
    assert run(ENOUGH, first=100).error == NEW_IDS


def test_people_who_were_erased_are_known(run, store):
    run(ENOUGH)
    run(ENOUGH)
    run_id = store.open_run(RunRequest("here", "manual", 1), "a hash", 1).run_id
    for number in range(ENOUGH):
        store.erase(uid(number), [token(letter(number))], KEY)
    erased = [[token(letter(number))] for number in range(ENOUGH)]
    store.load_page(page_load(run_id, *map(person, range(ENOUGH)), erasure_tokens=erased))

    assert store.finish_run(run_id, Ending("succeeded")).status == "succeeded"
    assert run(ENOUGH, first=100).error == NEW_IDS


def letter(number):
    return chr(ord("a") + number)


def test_runs_over_changes_are_not_compared(run, sql):
    run(ENOUGH)
    sql("UPDATE runs SET reads_to_end = true")
    request = {"incremental": True, "reads_to_end": True}
    assert run(0, ENOUGH, **request).status == "succeeded"
    assert sql("SELECT since IS NOT NULL FROM runs ORDER BY started_at DESC LIMIT 1") == [(True,)]

    assert run(0, ENOUGH).status == "partial"


def test_a_run_in_parts_is_judged_by_its_first_part(run):
    parts = {"trigger": "schedule", "page_size": 100, "pages": 3}
    for _ in range(2):
        assert (
            run(ENOUGH, ending=Ending("partial", "out of time", next_page=3), **parts).error == "out of time"
        )
        assert run(0, ENOUGH, **parts).status == "succeeded"

    emptied = run(0, ENOUGH, ending=Ending("partial", "out of time", next_page=3), **parts)
    why = "nobody has a value for phone_number, but many had in the run before"
    assert emptied.error == f"out of time; {why}"


def test_a_queued_run_is_judged_too(run, store):
    run(ENOUGH)
    run_id = store.open_run(RunRequest("here", "manual", 1, queued=True), "a hash", 1).run_id
    store.load_page(page_load(run_id, *(person(number, **NO_PHONE) for number in range(ENOUGH))))

    assert store.finish_page(run_id, {}).status == "partial"
    why = "nobody has a value for phone_number, but many had in the run before"
    assert store.get_run(run_id).error == why


def test_a_field_that_the_source_renames_is_reported(app_environment, user_api, caplog):
    app_environment(SOURCE_URL=user_api.url("random-data-api"), SOURCE_PAGE_SIZE=str(ENOUGH))
    records = [RANDOM_DATA_API.record({"uid": uid(number)}) for number in range(ENOUGH)]
    user_api.script(RANDOM_DATA_API.page(*records))
    assert runs.run_ingest("manual").status == "succeeded"

    for record in records:
        record["mobile"] = record.pop("phone_number")
    user_api.script(RANDOM_DATA_API.page(*records))
    report = runs.run_ingest("manual")

    why = "nobody has a value for phone_number, but many had in the run before"
    assert (report.status, report.error, report.updated) == ("partial", why, ENOUGH)
    assert f"run {report.run_id}: {why}" in caplog.text
