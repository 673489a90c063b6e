"""Loads: what is counted of them, and what they leave behind in their process."""

import sys
import threading
from contextlib import nullcontext
from dataclasses import replace

import pytest

from chalicelib.edges import Edges
from chalicelib.errors import StopRequested, StoreUnavailable
from chalicelib.ledger import RunRequest
from chalicelib.loading import Loads
from chalicelib.report import Report
from tests.fakes import FakeCache, FakeSource, FakeStore, page_load, person, uid


def loads_of(store, tokeniser, cache=None):
    """The loads of an open run, and its report."""
    report = Report(store.open_run(RunRequest("here", "manual", 1), "hash", 1).run_id, "running")
    return Loads(Edges(FakeSource(), store, cache or FakeCache(), tokeniser), report), report


def test_every_load_is_counted_although_nobody_waits_for_it(tokeniser):
    loads, report = loads_of(FakeStore(), tokeniser)

    with loads:
        for page in (1, 2, 3):
            loads.begin(page_load(report.run_id, person(page), page=page))

    assert (report.pages, report.inserted) == (3, 3)


def test_a_defect_in_the_cache_is_not_lost_behind_the_next_page(tokeniser):
    class Cache(FakeCache):
        def put_users(self, bodies):
            super().put_users(bodies)
            if len(self.held) == 1:
                raise KeyError("the first page")

    loads, report = loads_of(FakeStore(), tokeniser, Cache())

    def load():
        with loads:
            for page in (1, 2):
                loads.begin(page_load(report.run_id, person(page), page=page))

    with pytest.raises(KeyError):
        load()


@pytest.mark.parametrize("error", [None, StoreUnavailable("load_page")], ids=["loaded", "unknown"])
def test_people_whose_load_has_no_answer_are_forgotten_by_the_cache(tokeniser, error):
    """A try loaded them, and its answer got lost: what the cache holds of them may be old."""

    class Store(FakeStore):
        def load_page(self, load):
            super().load_page(load)
            if error:
                raise error

    cache = FakeCache()
    cache.held = dict.fromkeys([uid(1), uid(2), uid(3)], (b"{}", 7))
    loads, report = loads_of(Store(), tokeniser, cache)
    with pytest.raises(StoreUnavailable) if error else nullcontext(), loads:
        loads.begin(replace(page_load(report.run_id, person(1)), gone=[uid(2)]))

    assert (report.pages, report.fetched, [*cache.held]) == (0 if error else 1, 0, [uid(3)])


def test_people_whose_load_is_refused_stay_in_the_cache(tokeniser):
    cache = FakeCache()
    cache.held = {uid(1): (b"{}", 7)}
    loads, report = loads_of(FakeStore(failing={"load": StopRequested("load_page")}), tokeniser, cache)
    with pytest.raises(StopRequested), loads:
        loads.begin(page_load(report.run_id, person(1)))

    assert [*cache.held] == [uid(1)]


@pytest.mark.parametrize("failing", [{}, {"load": KeyError("load")}], ids=["loaded", "failed"])
def test_threads_are_ended_and_all_others_switch_as_seldom_as_before(tokeniser, failing):
    usual, before = sys.getswitchinterval(), {*threading.enumerate()}
    loads, report = loads_of(FakeStore(failing=failing), tokeniser)

    def load():
        with loads:
            assert sys.getswitchinterval() < usual
            loads.begin(page_load(report.run_id, person(1)))

    if failing:
        with pytest.raises(KeyError):
            load()
    else:
        load()

    assert sys.getswitchinterval() == usual
    assert {*threading.enumerate()} <= before
