"""The soak in short: each thing that may happen to a server, once; and that it tells what it must."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random

import pytest

from tests.faults.faults import FAULTS
from tests.faults.soak import Line, live
from tests.faults.trial import Trial

# What happens to lines and processes has tests of its own, at every place.
OF_SERVERS = [
    name for name in FAULTS if ": " in name and not name.endswith(("cut", "truncated", "delayed", "of these"))
]
DICE = Random(6)  # noqa: S311  no secret


@pytest.mark.parametrize("name", OF_SERVERS)
def test_whatever_happens_to_a_server_the_next_run_at_the_latest_puts_it_right(trial: Trial, name: str):
    line = Line()

    assert live(trial, FAULTS[name], DICE, line) == []
    assert line.is_good
    assert line.times or "session" in name  # there may have been none


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
    lose: (1, 0, 3),  # and neither the inserted nor the updated are all there
    lose_a_change: (1, 0, 1),  # and it is not what is cached
    double: (0, 1, 2),
    count_twice: (0, 0, 1),
    keep: (0, 0, 1),
}


@pytest.mark.parametrize("plant", PLANTED, ids=lambda plant: plant.__name__)
def test_what_is_wrong_is_told(trial: Trial, plant: Callable[[Trial], None]):
    @contextmanager
    def fault(*_: object) -> Iterator[int]:
        yield 1
        plant(trial)

    line = Line()

    assert live(trial, fault, DICE, line) != []
    assert (line.lost, line.double, line.other) == PLANTED[plant]
    assert not line.is_good


def test_a_cached_body_that_is_not_of_today_is_told(trial: Trial):
    trial.begin_day()
    trial.recover()
    cache_the_past(trial)

    assert any("is too old" in problem for problem in trial.problems())
