"""Which failures of Postgres are followed by another try, after which pause, and when it is given up."""

import time

import pytest

from chalicelib import retries
from chalicelib.errors import Stopped, StoreError, StoreUnavailable

AWAY = StoreUnavailable("connect")
DISK_FULL = StoreUnavailable("load_page", "53100")
REFUSED = StoreError("load_page", "22003")
LOST_RACES = {
    "serialization": StoreError("load_page", "40001"),
    "deadlock": StoreError("load_page", "40P01"),
    "same person": StoreError("load_page", "23505", "users_pkey"),
}
lost_race = pytest.mark.parametrize("error", LOST_RACES.values(), ids=LOST_RACES)


@pytest.fixture
def pauses(monkeypatch):
    """The pauses between tries, which take no time."""
    made = []
    monkeypatch.setattr(time, "sleep", made.append)
    return made


class Work:
    """Fails with each of the errors in turn; then it is done."""

    def __init__(self, *errors):
        self.errors, self.tries = list(errors), 0

    def __call__(self):
        self.tries += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def tries_of(retry, *errors):
    """How often it tries a work that ends with the last of these errors."""
    work = Work(*errors)
    with pytest.raises(StoreError) as failed:
        retry(work)
    assert failed.value is errors[-1]
    assert not work.errors
    return work.tries


def test_the_work_of_a_run_waits_longer_and_longer_for_postgres(pauses):
    assert retries.retrying()(Work(*[AWAY] * 4)) == "done"

    assert [0.5 * 2**n <= pause <= 0.5 * 2**n + 0.5 for n, pause in enumerate(pauses)] == [True] * 4


@lost_race
def test_a_lost_race_is_run_again_without_a_pause(pauses, error):
    assert retries.retrying()(Work(error, error)) == "done"
    assert pauses == [0, 0]


def test_the_work_of_a_run_is_given_up_after_five_tries_or_when_it_takes_too_long(pauses, monkeypatch):
    assert tries_of(retries.retrying(), *[AWAY] * 5) == 5

    clock = iter(range(0, 1000, 8))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    assert tries_of(retries.retrying(), AWAY, AWAY) == 2


@pytest.mark.parametrize("error", [DISK_FULL, REFUSED], ids=str)
def test_what_another_try_cannot_mend_is_tried_once(pauses, error):
    assert tries_of(retries.retrying(), error) == 1
    assert tries_of(retries.retry_once, error) == 1
    assert pauses == []


@lost_race
def test_a_query_that_somebody_waits_for_is_repeated_once_and_at_once(pauses, error):
    assert retries.retry_once(Work(error)) == "done"
    assert retries.retry_once(Work(AWAY)) == "done"
    assert tries_of(retries.retry_once, AWAY, error) == 2
    assert pauses == []


def test_a_query_that_somebody_waits_for_is_not_repeated_after_a_slow_failure(monkeypatch):
    clock = iter([0.0, retries._QUICK_FAILURE_SECONDS + 0.1])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))

    assert tries_of(retries.retry_once, AWAY) == 1


@pytest.mark.parametrize("sqlstate", ["40P01", "55P03"])
def test_a_migration_waits_for_locks_but_not_for_ever(pauses, sqlstate):
    locked = StoreError("migrate", sqlstate)

    assert retries.retry_while_locked(Work(locked, locked), 60) == "done"
    assert pauses == [1, 1]
    assert tries_of(lambda work: retries.retry_while_locked(work, 0), locked) == 1
    assert tries_of(lambda work: retries.retry_while_locked(work, 60), AWAY) == 1


@pytest.mark.parametrize("sqlstate", [None, "53300", "57P03"])
def test_a_deployment_waits_for_postgres_but_not_for_ever(pauses, sqlstate):
    away = StoreUnavailable("connect", sqlstate)

    assert retries.retry_while_away(Work(away, away), 60) == "done"
    assert pauses == [1, 1]
    assert tries_of(lambda work: retries.retry_while_away(work, 0), away) == 1


@pytest.mark.parametrize("error", [DISK_FULL, REFUSED, StoreUnavailable("connect", "28P01")], ids=str)
def test_a_deployment_does_not_wait_for_what_waiting_cannot_mend(error):
    assert tries_of(lambda work: retries.retry_while_away(work, 60), error) == 1


@pytest.mark.parametrize(
    "retry",
    [
        lambda work: retries.retrying()(work),
        retries.retry_once,
        lambda work: retries.retry_while_locked(work, 60),
        lambda work: retries.retry_while_away(work, 60),
    ],
)
@pytest.mark.parametrize("error", [Stopped("SIGTERM"), KeyError("a defect")], ids=repr)
def test_what_does_not_come_from_postgres_is_raised_as_it_is(retry, error):
    work = Work(error)

    with pytest.raises(type(error)) as failed:
        retry(work)

    assert (failed.value, work.tries) == (error, 1)
