"""Of concurrent runs one does the work; the others are skipped, and say why."""

from tests.faults.child import Order
from tests.faults.trial import Trial
from tests.faults.wire import delayed

WHO_COME = ("schedule", "schedule", "manual", "backfill")


def test_two_schedulers_a_manual_run_and_a_backfill_at_once(trial: Trial):
    trial.begin_day()
    trial.wires["source"].begin(delayed(0.5))

    runs = [trial.start(Order(trigger)) for trigger in WHO_COME]

    assert sorted(run.wait().ended for run in runs) == ["skipped"] * 3 + ["succeeded"]
    assert trial.sql("SELECT DISTINCT error FROM runs WHERE status = 'skipped'") == [
        ("another run of this source is in progress, or died and its lease has not expired",)
    ]
    assert trial.problems() == []
