"""A short soak: each fault of a server, once; and a check that the soak detects problems."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest

from tests.faults.faults import FAULTS
from tests.faults.soak import Line, simulate_day
from tests.faults.trial import Trial

# Faults of wires and processes have their own tests, which try every point.
OF_SERVERS = [
    name for name in FAULTS if ": " in name and not name.endswith(("cut", "truncated", "delayed", "of these"))
]
DICE = Random(6)  # noqa: S311  no secret


@pytest.mark.parametrize("name", OF_SERVERS)
def test_after_any_fault_of_a_server_at_most_one_further_run_recovers(trial: Trial, name: str):
    line = Line()

    assert simulate_day(trial, FAULTS[name], DICE, line) == []
    assert line.is_good
    assert line.times or "session" in name  # there may have been no session


SOMEBODY = "WHERE uid = (SELECT uid FROM users WHERE version = 2 LIMIT 1)"


def lose(trial: Trial) -> None:
    trial.sql(f"DELETE FROM users {SOMEBODY}")


def lose_a_change(trial: Trial) -> None:
    trial.sql(f"UPDATE users SET gender = 'another' {SOMEBODY}")


def double(trial: Trial) -> None:
    trial.sql(f"UPDATE users SET version = version + 1 {SOMEBODY}")


def count_twice(trial: Trial) -> None:
    trial.sql("UPDATE runs SET inserted = inserted + 1, fetched = fetched + 1 WHERE inserted > 0")


def keep(trial: Trial) -> None:
    trial.redis.persist(next(trial.redis.scan_iter("user:*")))


def cache_the_past(trial: Trial) -> None:
    for key in trial.redis.scan_iter("user:*"):
        trial.redis.set(key, b'{"version":0}', ex=60)


PLANTED: dict[Callable[[Trial], None], tuple[int, int, int]] = {
    lose: (1, 0, 3),  # the counts of inserted and updated people are wrong too
    lose_a_change: (1, 0, 1),  # the cached body differs too
    double: (0, 1, 2),
    count_twice: (0, 0, 1),
    keep: (0, 0, 1),
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_problems_are_reported(trial: Trial, plant: Callable[[Trial], None]):
    @contextmanager
    def fault(*_: object) -> Iterator[int]:
        yield 1
        plant(trial)

    line = Line()

    assert simulate_day(trial, fault, DICE, line) != []
    assert (line.lost, line.double, line.other) == PLANTED[plant]
    assert not line.is_good


def test_an_outdated_cached_body_is_reported(trial: Trial):
    trial.begin_day()
    trial.recover()
    cache_the_past(trial)

    assert any("is outdated" in problem.text for problem in trial.problems())
