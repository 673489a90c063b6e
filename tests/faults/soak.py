"""`make soak`: each simulated day, a fault hits the day's run. Reports the results.

Fails if anything is lost or duplicated, an invariant is violated, a raw value is found anywhere, a reader
gets a wrong answer, or the next scheduled run does not recover.
"""

import argparse
import contextlib
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from local.postgres import Postgres
from local.valkey import Valkey
from tests.faults.faults import FAULTS, Fault
from tests.faults.invariants import Problem
from tests.faults.readers import Readers
from tests.faults.trial import Trial, make_databases

_MOST_RUNS = 5  # limit on the runs that one recovery may take
_HEAD = f"{'fault':32} {'times':>6} {'lost':>6} {'double':>6} {'other':>6} {'worst recovery':>15}"


@dataclass
class Line:
    """The results of one kind of fault. ``runs`` is the largest number of runs that a recovery took."""

    times: int = 0
    lost: int = 0
    double: int = 0
    other: int = 0
    runs: int = 0

    def __str__(self) -> str:
        runs = f"{self.runs} run{'s' if self.runs != 1 else ''}"
        return f"{self.times:6} {self.lost:6} {self.double:6} {self.other:6} {runs:>15}"

    @property
    def is_good(self) -> bool:
        return not (self.lost or self.double or self.other) and self.runs <= 1

    def note(self, problems: list[Problem]) -> None:
        kinds = Counter(problem.kind for problem in problems)
        self.lost, self.double = self.lost + kinds["lost"], self.double + kinds["double"]
        self.other += kinds["other"]


def simulate_day(trial: Trial, fault: Fault, dice: Random, line: Line) -> list[Problem]:
    """One day: its run, the fault, and the runs until recovery. Returns the problems left after that."""
    trial.begin_day()
    run = trial.start()
    with fault(trial, run, dice) as times:
        outcome = run.wait()
    ended = [outcome.ended] if outcome else []
    line.times += times + sum(wire.happened for wire in trial.wires.values())
    recovery = 0
    while (outcome is None or outcome.ended != "succeeded") and recovery < _MOST_RUNS:
        outcome, recovery = trial.recover(), recovery + 1
        ended += [outcome.ended] if outcome else []
    line.runs = max(line.runs, recovery)
    problems = trial.problems()
    if "Unforeseen" in ended:
        problems.append(Problem("other", "a run failed with an unexpected error: a defect"))
    line.note(problems)
    return problems


@contextlib.contextmanager
def trial_in(folder: Path) -> Iterator[Trial]:
    with Postgres(folder / "postgres", throwaway=True) as postgres, Valkey(folder / "valkey") as valkey:
        make_databases(postgres)
        with Trial(postgres, valkey, folder / "log").running() as trial:
            yield trial


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    options = parser.parse_args()
    logging.disable()  # the readers' cache logs every outage
    print(f"{options.minutes:g} minutes, --seed {options.seed}", flush=True)
    dice = Random(options.seed)  # noqa: S311  no secret
    lines = {name: Line() for name in FAULTS}
    until = time.monotonic() + options.minutes * 60
    with tempfile.TemporaryDirectory(prefix="soak-") as folder, trial_in(Path(folder)) as trial:
        trial.is_read = True
        with Readers(trial.postgres, trial.valkey, trial.url, dice) as readers:
            while time.monotonic() < until:
                name = dice.choice(list(FAULTS))
                if problems := simulate_day(trial, FAULTS[name], dice, lines[name]):
                    print(f"day {trial.source.day}, {name}: {'; '.join(map(str, problems[:5]))}", flush=True)
                    break  # the next day would start with these problems
                readers.know(trial.versions())
        days = trial.source.day
    print(_HEAD, *(f"{name:32} {line}" for name, line in lines.items()), sep="\n")
    print(f"{days} days, {sum(line.times for line in lines.values())} faults; {readers}")
    return 0 if all(line.is_good for line in lines.values()) and readers.are_satisfied else 1


if __name__ == "__main__":
    sys.exit(main())
