"""A run is killed at any point: the next one finds it lost, and all is as if nothing had happened."""

import signal

import pytest

from tests.faults.child import Order
from tests.faults.faults import kill
from tests.faults.trial import Trial
from tests.faults.wire import at

pytestmark = pytest.mark.timeout(600)  # a loop over all steps, with processes at each

STEPS = {
    "open_run", "reconcile_keys", "fetch", "validate", "clean", "protect", "load_page", "put_users",
    "finish_run",
}  # fmt: skip


def test_killed_before_and_after_every_step(trial: Trial):
    trial.begin_day()
    undisturbed = trial.recover()
    assert {step.partition(" ")[2] for step in undisturbed.steps} >= STEPS

    opened, ended = (undisturbed.steps.index(f"after {name}") + 1 for name in ("open_run", "finish_run"))
    for die_at, step in enumerate(undisturbed.steps, 1):
        trial.begin_day()
        assert trial.start(Order(step=die_at)).wait() is None, step
        assert trial.recover().ended == "succeeded", step
        assert trial.problems() == [], step
        expected = "lost" if opened <= die_at < ended else "succeeded"
        assert trial.statuses(2) == [expected, "succeeded"], step


def test_killed_after_reporting_its_outcome_it_has_ended(trial: Trial):
    for _ in range(5):
        trial.begin_day()
        run = trial.start()
        assert run.has_reported(20)
        run.kill()
        assert run.wait().ended == "succeeded"
        assert trial.problems() == []


@pytest.mark.parametrize("wire", ["source", "Postgres", "Redis"])
def test_killed_while_a_message_passes(trial: Trial, wire: str):
    """The run dies before the server gets the request, or after the server acted but before the run knows."""
    for nth in range(1, trial.messages[wire] + 1):
        trial.begin_day()
        run = trial.start()
        trial.wires[wire].begin(at(nth, kill(run)))
        run.wait()
        assert trial.recover().ended == "succeeded", nth
        assert trial.problems() == [], nth


def test_stopped_before_every_step_and_overtaken(trial: Trial):
    """A process that was only frozen, and resumes after its lease has expired, changes nothing any more."""
    steps = trial.recover().steps

    for stop_at in range(steps.index("after open_run") + 1, steps.index("before finish_run") + 2):
        if steps[stop_at - 1].startswith("after"):
            continue  # nothing happens in between
        trial.begin_day()
        sleeper = trial.start(Order(step=stop_at, sends=signal.SIGSTOP))
        sleeper.wait_until_stopped()
        assert trial.recover().ended == "succeeded", steps[stop_at - 1]
        sleeper.resume()
        assert sleeper.wait().ended == "lost", steps[stop_at - 1]
        assert trial.statuses(2) == ["lost", "succeeded"], steps[stop_at - 1]
        assert trial.problems() == [], steps[stop_at - 1]
