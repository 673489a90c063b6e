"""A run whose connections are cut, truncated or slow continues by itself, and takes effect once."""

import pytest

from tests.faults.trial import Trial
from tests.faults.wire import at, cut, delayed, truncate

WIRES = pytest.mark.parametrize("wire", ["source", "Postgres", "Redis"])


@WIRES
def test_one_cut_connection_fails_no_run(trial: Trial, wire: str):
    """For every message, in either direction: half of it arrives, or nothing."""
    for nth in range(1, trial.messages[wire] + 1):
        trial.begin_day()
        trial.wires[wire].begin(at(nth, truncate if nth % 2 else cut))
        assert trial.start().wait().ended == "succeeded", nth
        assert trial.problems() == [], nth


@WIRES
def test_a_slow_connection_fails_no_run(trial: Trial, wire: str):
    trial.begin_day()
    trial.wires[wire].begin(delayed(0.03))

    assert trial.start().wait().ended == "succeeded"
    assert trial.problems() == []


def test_a_source_whose_every_answer_is_cut_off_fails_the_run(trial: Trial):
    trial.begin_day()
    trial.wires["source"].begin(lambda passing: None if passing.from_app else cut(passing))

    assert trial.start().wait().ended == "failed"
    assert trial.recover().ended == "succeeded"
    assert trial.problems() == []
