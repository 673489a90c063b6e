"""Runs the app's own schedules on a laptop, as EventBridge does on AWS. One invocation at a time."""

import argparse
import importlib
import signal
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from chalice.app import Chalice, ScheduledEventConfig, ScheduleExpression
from chalice.test import Client

from chalicelib.errors import DecantError, Stopped, Unforeseen
from local import expressions, signals
from local.errors import LocalError
from local.folders import ROOT

_MAX_SLEEP = timedelta(seconds=1)  # short sleeps: after a laptop was suspended, the clock has moved on


@dataclass(frozen=True)
class Job:
    name: str
    schedule: expressions.Schedule


class Clock:
    """The real clock; tests use their own."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, span: timedelta) -> None:
        time.sleep(span.total_seconds())


def jobs(app: Chalice, start: datetime) -> list[Job]:
    """The schedules that the app declares. Raises ScheduleUnreadable."""
    return [
        Job(source.name, expressions.parse(_text(source.schedule_expression), start))
        for source in app.event_sources
        if isinstance(source, ScheduledEventConfig)
    ]


def _text(expression: str | ScheduleExpression) -> str:
    return expression if isinstance(expression, str) else expression.to_string()


def serve(todo: Sequence[Job], invoke: Callable[[str], None], clock: Clock, *, at_once: bool = False) -> None:
    """Runs the jobs when they are due. Returns when no schedule will fire again, which for a rate is never.

    A job that falls due while another runs follows it at once; further missed firings are not made up for.
    With ``at_once``, each job also runs once at the start.
    """
    for job in todo if at_once else ():
        invoke(job.name)
    due = {job: when for job in todo if (when := job.schedule.next_after(clock.now()))}
    while due:
        job = min(due, key=lambda job: due[job])
        while (left := due[job] - clock.now()) > timedelta():
            clock.sleep(min(left, _MAX_SLEEP))
        invoke(job.name)
        following = job.schedule.next_after(max(clock.now(), due.pop(job)))
        if following:
            due[job] = following


def invoker(app: Chalice) -> Callable[[str], None]:
    client = Client(app, stage_name="local", project_dir=str(ROOT))

    def invoke(name: str) -> None:
        started = time.monotonic()
        try:
            client.lambda_.invoke(name, scheduled_event(client, name, datetime.now(UTC)))
        except DecantError as error:
            _say(f"{name} failed: {type(error).__name__}: {error}")
        except Exception as error:  # noqa: BLE001 - like the Lambda runtime, survives every exception
            _say(f"{name} failed: {Unforeseen(error)}")
        else:
            _say(f"{name} ended after {time.monotonic() - started:.2f} s")
        signals.check()

    return invoke


def scheduled_event(client: Client, name: str, now: datetime) -> dict[str, Any]:
    """The event as EventBridge sends it. Chalice's own has a fixed id and time."""
    rule = f"arn:aws:events:us-east-1:000000000000:rule/decant-local-{name}"
    event: dict[str, Any] = client.events.generate_cw_event(
        "aws.events", "Scheduled Event", {}, [rule], region="us-east-1"
    )
    return event | {
        "version": "0",
        "id": str(uuid.uuid4()),
        "account": "000000000000",
        "time": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.schedule")
    parser.add_argument("--at-once", action="store_true", help="also run each job once at the start")
    at_once = parser.parse_args().at_once
    signals.interrupt()
    try:
        app: Chalice = importlib.import_module("app").app
        clock = Clock()
        todo = jobs(app, clock.now())
        for job in todo:
            _say(f"{job.name} fires next at {job.schedule.next_after(clock.now())}")
        serve(todo, invoker(app), clock, at_once=at_once)
        _say("no schedule will fire again")
        signal.pause()
    except Stopped:
        return 0
    except (LocalError, DecantError) as error:
        _say(str(error))
        return 1
    return 0


def _say(text: str) -> None:
    print(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
