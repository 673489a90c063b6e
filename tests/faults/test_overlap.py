"""Of those who come at once one works; the others are skipped, and say why."""

import pytest

from tests.faults.child import Order
from tests.faults.trial import Trial
from tests.faults.wire import delayed

WHO_COME = ("schedule", "schedule", "manual", "backfill")


@pytest.mark.parametrize("first", range(len(WHO_COME)), ids=lambda first: f"{WHO_COME[first]} {first}")
def test_two_schedulers_a_manual_run_and_a_backfill_at_once(trial: Trial, first: int):
    trial.begin_day()
    trial.wires["source"].begin(delayed(0.5))

    runs = [trial.start(Order(trigger)) for trigger in (*WHO_COME[first:], *WHO_COME[:first])]

    assert sorted(run.wait().ended for run in runs) == ["skipped"] * 3 + ["succeeded"]
    assert trial.sql("SELECT DISTINCT error FROM runs WHERE status = 'skipped'") == [
        ("another run of this source is under way",)
    ]
    assert trial.problems() == []
