"""The scheduler: when an expression fires, and what happens when it does."""

import signal
from datetime import UTC, datetime, timedelta

import pytest
from chalice import Chalice, Rate
from chalice.test import Client

from chalicelib.errors import Stopped, StoreUnavailable
from local import expressions, schedule, signals
from local.errors import ScheduleUnreadable

START = datetime(2024, 1, 31, 23, 58, 30, tzinfo=UTC)  # a Wednesday


def fires(expression, count=2, after=START):
    known = expressions.parse(expression, START)
    times = []
    for _ in range(count):
        after = known.next_after(after)
        times.append(f"{after:%Y-%m-%d %H:%M:%S}" if after else None)
        if after is None:
            break
    return times


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        ("rate(1 minute)", ["2024-01-31 23:59:30", "2024-02-01 00:00:30"]),
        ("rate(5 minutes)", ["2024-02-01 00:03:30", "2024-02-01 00:08:30"]),
        ("rate(12 hours)", ["2024-02-01 11:58:30", "2024-02-01 23:58:30"]),
        ("rate(1 day)", ["2024-02-01 23:58:30", "2024-02-02 23:58:30"]),
        ("  rate( 5 minutes ) ", ["2024-02-01 00:03:30", "2024-02-01 00:08:30"]),
    ],
)
def test_a_rate_fires_at_whole_periods_from_the_start(expression, times):
    assert fires(expression) == times


def test_a_rate_skips_the_periods_that_a_long_run_has_missed():
    after = START + timedelta(minutes=12, seconds=1)

    assert fires("rate(5 minutes)", 1, after) == ["2024-02-01 00:13:30"]


def test_a_rate_that_a_clock_takes_to_before_its_start_fires_as_if_from_the_start():
    assert fires("rate(5 minutes)", 1, START - timedelta(hours=1)) == ["2024-02-01 00:03:30"]


def test_a_rate_asked_at_the_moment_it_fires_gives_the_next_period():
    assert fires("rate(5 minutes)", 1, START + timedelta(minutes=5)) == ["2024-02-01 00:08:30"]


@pytest.mark.parametrize(
    ("expression", "times"),
    [
        ("cron(0/15 12 * * ? *)", ["2024-02-01 12:00:00", "2024-02-01 12:15:00"]),
        ("cron(59 23 * * ? *)", ["2024-01-31 23:59:00", "2024-02-01 23:59:00"]),
        ("cron(0 8 1 * ? *)", ["2024-02-01 08:00:00", "2024-03-01 08:00:00"]),
        ("cron(0 18 ? * MON-FRI *)", ["2024-02-01 18:00:00", "2024-02-02 18:00:00"]),
        ("cron(0 18 ? * mon-fri *)", ["2024-02-01 18:00:00", "2024-02-02 18:00:00"]),
        # Sunday is 1, so 2 is Monday and 7 Saturday
        ("cron(0 0 ? * 2 *)", ["2024-02-05 00:00:00", "2024-02-12 00:00:00"]),
        ("cron(0 0 ? * 1,7 *)", ["2024-02-03 00:00:00", "2024-02-04 00:00:00"]),
        ("cron(0 0 ? * 6-7 *)", ["2024-02-02 00:00:00", "2024-02-03 00:00:00"]),
        ("cron(0 0 ? * SAT,1 *)", ["2024-02-03 00:00:00", "2024-02-04 00:00:00"]),
        ("cron(0 0 ? * 2/2 *)", ["2024-02-02 00:00:00", "2024-02-05 00:00:00"]),
        ("cron(0/5 8-17 ? * 5 2030)", ["2030-01-03 08:00:00", "2030-01-03 08:05:00"]),
        # the last day of a month that has 29 this year
        ("cron(0 10 L * ? *)", ["2024-02-29 10:00:00", "2024-03-31 10:00:00"]),
        # the last day of the week is Saturday
        ("cron(0 10 ? * L *)", ["2024-02-03 10:00:00", "2024-02-10 10:00:00"]),
        ("cron(0 10 ? * 6L *)", ["2024-02-23 10:00:00", "2024-03-29 10:00:00"]),
        ("cron(0 10 ? * FRIL *)", ["2024-02-23 10:00:00", "2024-03-29 10:00:00"]),
        ("cron(0 10 ? * 3#2 *)", ["2024-02-13 10:00:00", "2024-03-12 10:00:00"]),
        ("cron(0 10 ? * TUE#2 *)", ["2024-02-13 10:00:00", "2024-03-12 10:00:00"]),
        # the weekday nearest to the 3rd, which is a Saturday in February and a Sunday in March
        ("cron(0 10 3W * ? *)", ["2024-02-02 10:00:00", "2024-03-04 10:00:00"]),
        ("cron(0 0 1 JAN,APR-JUN ? *)", ["2024-04-01 00:00:00", "2024-05-01 00:00:00"]),
        ("cron(0 0 29 2 ? *)", ["2024-02-29 00:00:00", "2028-02-29 00:00:00"]),
        ("cron(5,10-20/5 0 * * ? *)", ["2024-02-01 00:05:00", "2024-02-01 00:10:00"]),
    ],
)
def test_a_cron_expression_fires_as_eventbridge_documents_it(expression, times):
    assert fires(expression) == times


def test_a_cron_expression_in_the_past_never_fires():
    assert fires("cron(0 0 1 1 ? 2023)") == [None]


def test_a_cron_expression_stops_after_its_last_year():
    assert fires("cron(0 0 1 2 ? 2024)") == ["2024-02-01 00:00:00", None]


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "5 minutes",
        "rate(5 minutes",
        "at(2024-01-01T00:00:00)",
        "rate()",
        "rate(0 minutes)",
        "rate(-1 minutes)",
        "rate(1.5 hours)",
        "rate(5 seconds)",
        "rate(1 minutes)",  # EventBridge refuses this and the next one, so a deployment would fail
        "rate(5 minute)",
        "rate(٥ minutes)",
        "cron(* * * * *)",
        "cron(0 0 * * ? * *)",
        "cron(0 0 * * * *)",
        "cron(0 0 ? * ? *)",
        "cron(0 0 1 * 2 *)",
        "cron(60 0 * * ? *)",
        "cron(0 24 * * ? *)",
        "cron(0 0 32 * ? *)",
        "cron(0 0 * 13 ? *)",
        "cron(0 0 ? * 0 *)",
        "cron(0 0 ? * 8 *)",
        "cron(0 0 ? * 2#6 *)",
        "cron(0 0 ? * MONDAY *)",
        "cron(0 0 * * ? 1066)",
        "cron(*/0 * * * ? *)",
        "cron(H * * * ? *)",  # croniter accepts H as "some minute"
        "cron(R * * * ? *)",
        "cron(@daily * * * ? *)",
        "cron(1--2 * * * ? *)",
        "cron(, * * * ? *)",
        "cron(- * * * ? *)",
        "cron(/ * * * ? *)",
        "cron(0 0 ? * , *)",
        "cron(0 0 ? * SUNMON *)",
        "cron(0 0 ? * - *)",
    ],
)
def test_what_eventbridge_refuses_is_refused_and_not_shown(expression):
    with pytest.raises(ScheduleUnreadable) as refused:
        expressions.parse(expression, START)

    assert str(refused.value).startswith("INGEST_SCHEDULE cannot be read: ")
    assert not expression or expression not in str(refused.value)


class FakeClock:
    """Sleeping takes no real time; raises TimeoutError once ``seconds`` have passed."""

    def __init__(self, seconds):
        self.time = START
        self.over = START + timedelta(seconds=seconds)

    def now(self):
        return self.time

    def sleep(self, span):
        assert timedelta() < span <= timedelta(seconds=1)  # the machine may be suspended meanwhile
        self.time += span
        if self.time > self.over:
            raise TimeoutError


def job(name, expression):
    return schedule.Job(name, expressions.parse(expression, START))


def served(jobs, seconds, run_seconds=0, **how):
    """What was invoked when, in seconds from the start, if each run takes ``run_seconds``."""
    clock, calls = FakeClock(seconds), []

    def invoke(name):
        calls.append((name, round((clock.now() - START).total_seconds())))
        clock.time += timedelta(seconds=run_seconds)

    with pytest.raises(TimeoutError):
        schedule.serve(jobs, invoke, clock, **how)
    return calls


def test_each_job_runs_when_it_is_due():
    jobs = [job("often", "rate(1 minute)"), job("seldom", "rate(3 minutes)")]

    assert sorted(served(jobs, 200)) == [("often", 60), ("often", 120), ("often", 180), ("seldom", 180)]


def test_at_once_adds_a_run_at_the_start_and_changes_nothing_after():
    assert served([job("often", "rate(1 minute)")], 130, at_once=True) == [("often", s) for s in (0, 60, 120)]


def test_a_run_longer_than_its_period_delays_the_next_instead_of_overlapping():
    assert served([job("slow", "rate(1 minute)")], 290, run_seconds=90) == [("slow", 60), ("slow", 180)]


def test_a_job_that_came_due_during_another_run_follows_immediately():
    jobs = [job("slow", "rate(1 hour)"), job("daily", "cron(59 0 * * ? *)")]  # due 60.0 and 60.5 minutes on

    assert served(jobs, 3700, run_seconds=90)[:2] == [("slow", 3600), ("daily", 3690)]


def test_a_clock_that_is_set_back_during_a_run_repeats_no_firing():
    assert served([job("often", "rate(1 minute)")], 130, run_seconds=-30) == [("often", 60), ("often", 120)]


def test_serving_ends_when_nothing_will_fire_again():
    schedule.serve([job("past", "cron(0 0 1 1 ? 2023)")], pytest.fail, FakeClock(0))


@pytest.fixture
def app():
    app = Chalice(app_name="fake")
    app.events = []

    @app.schedule("rate(5 minutes)")
    def ingest(event):
        app.events.append(event.to_dict())

    @app.schedule(Rate(1, unit=Rate.HOURS))
    def unreachable(event):
        raise StoreUnavailable("open_run")

    @app.schedule("cron(0 0 * * ? *)")
    def broken(event):
        raise ValueError("jane@example.org")

    @app.on_sqs_message(queue="pages")
    def not_scheduled(event):
        pass

    return app


def test_the_jobs_are_the_apps_own_schedules(app):
    found = {job.name: job.schedule for job in schedule.jobs(app, START)}

    assert list(found) == ["ingest", "unreachable", "broken"]
    assert found["ingest"] == expressions.parse("rate(5 minutes)", START)
    assert found["unreachable"] == expressions.parse("rate(1 hour)", START)


def test_a_handler_gets_the_event_that_eventbridge_sends(app):
    event = schedule.scheduled_event(Client(app), "ingest", START)

    assert event["source"] == "aws.events"
    assert event["detail-type"] == "Scheduled Event"
    assert event["time"] == "2024-01-31T23:58:30Z"
    assert event["resources"] == ["arn:aws:events:us-east-1:000000000000:rule/decant-local-ingest"]


def test_invoking_runs_the_handler_with_an_id_of_its_own(app, capsys):
    invoke = schedule.invoker(app)
    invoke("ingest")
    invoke("ingest")

    assert len({event["id"] for event in app.events}) == 2
    assert capsys.readouterr().out.count("ingest ended after ") == 2


def test_a_failing_job_is_reported_and_does_not_end_the_scheduler(app, capsys):
    schedule.invoker(app)("unreachable")

    assert "unreachable failed: StoreUnavailable: query open_run failed" in capsys.readouterr().out


def test_an_unexpected_error_is_reported_without_its_text(app, capsys):
    schedule.invoker(app)("broken")

    output = capsys.readouterr().out
    assert "broken failed: ValueError at test_schedule.py" in output
    assert "jane" not in output


def test_a_stop_that_a_library_has_swallowed_ends_the_scheduler_after_its_job(app, monkeypatch):
    monkeypatch.setattr(signals, "_received", [signal.SIGTERM])

    with pytest.raises(Stopped):
        schedule.invoker(app)("ingest")


def test_a_scheduler_with_nothing_left_to_do_waits_to_be_stopped(monkeypatch, capsys):
    """Otherwise it would be restarted until it is given up, and everything with it."""
    waited = []

    def stop():
        waited.append(True)
        raise Stopped("SIGTERM")

    monkeypatch.setattr("sys.argv", ["schedule"])
    monkeypatch.setattr(schedule.signals, "interrupt", lambda: None)
    monkeypatch.setattr(schedule, "jobs", lambda app, start: [])
    monkeypatch.setattr(schedule.signal, "pause", stop)

    assert (schedule.main(), waited) == (0, [True])
    assert "no schedule will fire again" in capsys.readouterr().out
