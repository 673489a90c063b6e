"""Lets competitors take turns, round after round, and records the time of each turn."""

import gc
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Protocol, TypeVar


class Competitor(Protocol):
    """Something that takes turns. Only ``work`` is timed; ``check`` raises if the work was not done."""

    def prepare(self) -> None: ...
    def work(self) -> None: ...
    def check(self) -> None: ...


@dataclass
class Turns:
    """The times of one competitor's turns, in seconds."""

    seconds: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return median(self.seconds)

    @property
    def spread(self) -> tuple[float, float]:
        return min(self.seconds), max(self.seconds)

    def ratio_to(self, other: "Turns") -> float:
        """The median of the rounds' ratios: within a round, the machine is equally busy for all."""
        return median(own / theirs for own, theirs in zip(self.seconds, other.seconds, strict=True))


Name = TypeVar("Name", bound=Hashable)
T = TypeVar("T", bound=Competitor)


def take_turns(
    competitors: Mapping[Name, T],
    rounds: int,
    measure: Callable[[T], float] = lambda one: seconds_of(one.work),
) -> dict[Name, Turns]:
    """Runs each competitor once per round, and reverses every other round, so that none is always first."""
    turns = {name: Turns() for name in competitors}
    for number in range(rounds):
        order = list(competitors)
        for name in order if number % 2 == 0 else reversed(order):
            turns[name].seconds.append(_turn(competitors[name], measure))
    return turns


def _turn(competitor: T, measure: Callable[[T], float]) -> float:
    """One turn. The garbage collector skips objects from before, such as other competitors' modules."""
    competitor.prepare()
    gc.collect()
    gc.freeze()
    seconds = measure(competitor)
    gc.unfreeze()
    competitor.check()
    return seconds


def seconds_of(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
