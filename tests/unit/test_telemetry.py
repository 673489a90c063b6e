"""Log lines and metrics: what they contain, and that they hold no personal value, whoever writes them."""

import errno
import json
import logging
import subprocess
import sys
import time
from types import SimpleNamespace
from unittest import mock

import pytest
import yaml

from chalicelib import telemetry
from chalicelib.errors import StopRequested
from chalicelib.ledger import OUTCOMES
from chalicelib.report import Report
from chalicelib.telemetry import NoValues
from local.folders import ROOT

APP = ROOT / "infra/app.yaml"


def line_of(capsys):
    (line,) = capsys.readouterr().out.splitlines()
    return json.loads(line)


def metrics_of(line):
    """Maps each metric's name to its unit, as CloudWatch extracts them."""
    (directive,) = line["_aws"]["CloudWatchMetrics"]
    return {metric["Name"]: metric["Unit"] for metric in directive["Metrics"]}


# The embedded metric format


@pytest.fixture
def request_line(capsys):
    telemetry.log_request("GET /users/{uid}", 200, 0.0, request_id="an-id", data_source="redis")
    return line_of(capsys)


def test_the_process_leaves_no_core_dump():
    """A core dump would hold everything in the process's memory."""
    alone = (
        "import resource; from chalicelib import telemetry; telemetry.start('INFO'); "
        "print(*resource.getrlimit(resource.RLIMIT_CORE))"
    )

    done = subprocess.run([sys.executable, "-c", alone], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) <= {"0", "1"}  # 1 byte: no file, and no dump to a program


def test_the_line_of_a_request_is_in_the_embedded_metric_format(request_line):
    (directive,) = request_line["_aws"]["CloudWatchMetrics"]

    assert isinstance(request_line["_aws"]["Timestamp"], int)
    assert directive["Namespace"] == "Decant"
    for dimensions in directive["Dimensions"]:
        assert all(isinstance(request_line[name], str) for name in dimensions)
    for metric in directive["Metrics"]:
        assert isinstance(request_line[metric["Name"]], int | float)


def test_the_line_of_a_request_counts_and_measures(request_line):
    assert metrics_of(request_line) == {"Latency": "Milliseconds", "Errors": "Count", "CacheHits": "Count"}
    assert (request_line["Errors"], request_line["CacheHits"]) == (0, 1)


def test_the_latency_is_the_time_since_the_start_in_milliseconds(capsys, monkeypatch):
    monkeypatch.setattr(telemetry, "time", SimpleNamespace(perf_counter=lambda: 12.5, time_ns=time.time_ns))
    telemetry.log_request("GET /", 200, 10.0)

    assert line_of(capsys)["Latency"] == 2_500


def test_the_line_of_a_request_has_the_fields_of_a_log_line(request_line):
    fields = {
        name: request_line[name] for name in ("route", "service", "status", "data_source", "request_id")
    }

    assert fields == {
        "route": "GET /users/{uid}",
        "service": "api",
        "status": 200,
        "data_source": "redis",
        "request_id": "an-id",
    }


def test_metrics_have_few_dimensions_since_each_combination_costs_money(request_line):
    (directive,) = request_line["_aws"]["CloudWatchMetrics"]

    assert [set(dimensions) for dimensions in directive["Dimensions"]] == [{"route", "service"}]


@pytest.mark.parametrize(("status", "errors"), [(200, 0), (304, 0), (404, 0), (499, 0), (500, 1), (503, 1)])
def test_only_a_failure_of_ours_counts_as_an_error(capsys, status, errors):
    telemetry.log_request("GET /", status, 0.0, request_id="an-id")

    assert line_of(capsys)["Errors"] == errors


def test_a_route_without_a_cache_counts_neither_hit_nor_miss(capsys):
    telemetry.log_request("GET /runs", 200, 0.0, request_id="an-id")

    line = line_of(capsys)
    assert "CacheHits" not in metrics_of(line)
    assert "data_source" not in line


def test_each_line_holds_only_its_own_request(capsys):
    telemetry.log_request("GET /users/{uid}", 200, 0.0, request_id="first", data_source="redis")
    telemetry.log_request("GET /runs", 404, 0.0, request_id="second")

    _, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (second["request_id"], second["route"]) == ("second", "GET /runs")
    assert "data_source" not in second


def test_the_line_of_a_run_holds_its_counts(capsys):
    telemetry.log_run(Report("an-id", "succeeded", 2, 100, 90, 4, 3, 1, 1, 1, seconds=1.5))

    line = line_of(capsys)
    counts = ("Fetched", "Inserted", "Updated", "Unchanged", "Duplicate", "Rejected", "Suppressed")
    assert [line[name] for name in counts] == [100, 90, 4, 3, 1, 1, 1]
    assert (line["Seconds"], line["Failed"]) == (1.5, 0)
    assert (line["run_id"], line["status"], line["service"]) == ("an-id", "succeeded", "ingest")
    assert metrics_of(line)["Seconds"] == "Seconds"


@pytest.mark.parametrize(
    ("status", "succeeded", "failed"),
    [("succeeded", 1, 0), ("skipped", 0, 0), ("partial", 0, 1), ("failed", 0, 1), ("lost", 0, 1)],
)
def test_a_run_that_did_not_complete_counts_as_failed(capsys, status, succeeded, failed):
    telemetry.log_run(Report("an-id", status))

    line = line_of(capsys)
    assert (line["Succeeded"], line["Failed"]) == (succeeded, failed)


def test_a_replay_says_nothing_about_the_source(capsys):
    telemetry.log_run(Report("an-id", "succeeded", is_replay=True))

    line = line_of(capsys)
    assert (line["status"], line["Succeeded"], line["Failed"]) == ("succeeded", 0, 0)


class Odd:
    def __str__(self):
        raise AttributeError("hush")


@pytest.mark.parametrize("arguments", [("%d", float("inf")), ("%c", -1), ("%s", Odd()), (Odd(),)])
def test_a_message_that_cannot_be_put_together_raises_nothing(arguments):
    entry = record(*arguments)

    assert NoValues().filter(entry)
    assert entry.msg in ("%d", "%c", "%s", "Odd")


def test_an_address_in_an_extra_field_is_removed_at_any_depth():
    entry = record("sent")
    entry.to = {"all": [['say "ann@secret.example"!']], "bob@secret.example": {OSError("eve@secret.example")}}

    line = telemetry.AsJson().format(entry)

    assert line.isascii()
    assert json.loads(line)["to"]["all"] == [['say "…"!']]
    assert "secret" not in line


@pytest.mark.parametrize("error", [BrokenPipeError, OSError(errno.ENOSPC, "No space left on device")])
def test_a_line_that_cannot_be_written_ends_nothing(error, monkeypatch):
    output = mock.Mock(write=mock.Mock(side_effect=error))
    monkeypatch.setattr(sys, "stdout", output)

    telemetry.log_request("GET /health", 200, 0.0)
    telemetry.log_run(Report("an-id", "succeeded"))

    assert output.write.call_count == 2


def test_a_run_that_somebody_stopped_has_not_failed(capsys):
    telemetry.log_run(Report("an-id", "failed", error=str(StopRequested("load_page"))))

    assert line_of(capsys)["Failed"] == 0


def watched(alarm):
    """The metrics that an alarm watches."""
    queries = alarm.get("Metrics", [{"MetricStat": {"Metric": alarm}}])
    return [query["MetricStat"]["Metric"] for query in queries if "MetricStat" in query]


RESOURCES = yaml.safe_load(APP.read_text(encoding="utf-8"))["Resources"]
ALARMS = {
    name: metric
    for name, resource in RESOURCES.items()
    if resource.get("Type") == "AWS::CloudWatch::Alarm"
    for metric in watched(resource["Properties"])
    if metric["Namespace"] == "Decant"
}


@pytest.mark.parametrize("alarm", ["NoRunSucceeded", "RunFailed"])
def test_an_alarm_about_runs_watches_a_metric_of_their_lines(capsys, alarm):
    telemetry.log_run(Report("an-id", "failed"))
    line = line_of(capsys)
    (directive,) = line["_aws"]["CloudWatchMetrics"]

    assert ALARMS[alarm]["MetricName"] in metrics_of(line)
    assert directive["Namespace"] == "Decant"
    assert {one["Name"]: one["Value"] for one in ALARMS[alarm]["Dimensions"]} == {
        name: line[name] for name in directive["Dimensions"][0]
    }


def test_no_other_alarm_is_about_our_own_metrics():
    assert set(ALARMS) == {"NoRunSucceeded", "RunFailed"}


def test_the_dashboard_shows_every_outcome_of_a_record():
    body = RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    outcomes, *_ = [widget["properties"] for widget in json.loads(body)["widgets"]]

    assert [metric for _, metric, *_ in outcomes["metrics"]] == [name.capitalize() for name in OUTCOMES]


# The filter


def record(message, *arguments, error=None, stack=None):
    exc_info = (type(error), error, error.__traceback__) if error else None
    return logging.LogRecord("anyone", logging.ERROR, "a.py", 1, message, arguments, exc_info, sinfo=stack)


def filtered(*message, **more):
    """The line that a handler would write."""
    entry = record(*message, **more)
    assert NoValues().filter(entry)
    return logging.Formatter().format(entry)


def raised(error):
    try:
        raise error
    except type(error) as caught:
        return caught


def test_a_harmless_line_is_not_changed():
    assert filtered("run %s: %d pages", "an-id", 3) == "run an-id: 3 pages"


@pytest.mark.parametrize(
    "address",
    [
        "hush@example.com",
        "hush.hush+hush@mail.example.co.uk",
        "HUSH@EXAMPLE.COM",
        "hüsh@exämple.com",
        "hush@[127.0.0.1].hush.com",
        "o'hush@example.com",
        "hush@hush.xn--p1ai",
    ],
)
def test_nothing_of_an_email_address_is_left(address):
    for message in (
        (f"to {address}.",),
        ("to %s.", address),
        ("to <%s>, 'and' more", address),
        ("%r", {"to": address}),
    ):
        assert "hush" not in filtered(*message).lower().replace("hüsh", "hush")


def test_several_addresses_are_removed_and_the_rest_stays():
    assert filtered("a@b.cd and %s at 5 %%", "c@d.ef").count("@") == 0
    assert "and" in filtered("a@b.cd and %s at 5 %%", "c@d.ef")


@pytest.mark.timeout(5)
def test_a_long_word_is_searched_in_no_time():
    word = "a" * 200_000

    assert filtered(f"{word} {word}@example.com") == f"{word} …"


def test_only_the_type_and_place_of_an_exception_are_left():
    line = filtered("it broke", error=raised(ValueError("hush, +45 555 4711")))

    assert line.startswith("it broke (ValueError at test_telemetry.py:")
    assert "hush" not in line
    assert "Traceback" not in line


def test_nothing_of_chained_exceptions_is_left():
    error = raised(ValueError("hush"))
    error.__cause__ = raised(KeyError("hush"))
    error.add_note("hush")

    assert "hush" not in filtered("it broke", error=error)


def test_nothing_of_an_already_formatted_exception_is_left():
    entry = record("it broke", error=raised(ValueError("hush")))
    entry.exc_text = "Traceback: hush"

    NoValues().filter(entry)

    assert "hush" not in logging.Formatter().format(entry)


def test_nothing_of_a_stack_is_left():
    assert "hush" not in filtered("where", stack="Stack: hush")


def test_a_line_with_wrong_arguments_does_no_harm(capsys):
    logger = logging.Logger("alone")
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(NoValues())
    logger.addHandler(handler)

    logger.warning("%d people", "hush")
    logger.warning("%s and %s", "hush")

    assert "hush" not in capsys.readouterr().out


# In a fresh process. Standard output and error together, as CloudWatch receives them.


START = """
import logging
from chalicelib import telemetry
telemetry.start('DEBUG')
log = logging.getLogger('decant')
"""


def said(program, before="", start=START, **environment):
    done = subprocess.run(
        [sys.executable, "-c", f"{before}\n{start}{program}"],
        cwd=ROOT, env={"PATH": "", **environment}, capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


BREAK = """
try:
    raise ValueError('hush: ann@example.com, +45 555 4711')
except ValueError:
    logging.getLogger({name!r}).exception('it broke for ann@example.com')
"""
# What Lambda's runtime does before any of our code runs.
ROOT_HANDLER = "import logging, sys; logging.getLogger().addHandler(logging.StreamHandler(sys.stderr))"


@pytest.mark.parametrize("before", ["", ROOT_HANDLER], ids=["as on a laptop", "as in Lambda"])
@pytest.mark.parametrize("name", ["decant", "decant.store", "decant.any.child", "urllib3", "chalice", None])
def test_no_logger_of_the_process_lets_a_value_through(before, name):
    text = said(BREAK.format(name=name), before)

    assert "it broke for" in text
    assert "hush" not in text
    assert "555 4711" not in text
    assert "ann@" not in text


WARN = """
import warnings
from dateutil import parser
for name in ('HUSH', 'HUSHX'):
    parser.parse(f'23 Nov 1987 10:00 {name}')
    warnings.warn(f'no such year: {name}')
"""


def test_of_a_warning_only_the_type_and_place_are_shown_and_only_once():
    text = said(WARN)

    assert "hush" not in text.lower()
    assert text.count("UnknownTimezoneWarning at _parser.py:") == 1
    assert text.count("UserWarning at <string>:") == 1


LOG_AND_FAIL = """
import logging, sys
import {program} as program
from chalicelib import errors, wiring

def log_and_fail():
    logging.getLogger('urllib3').error('it broke for ann@example.com')
    raise errors.StoreError('migrate')

wiring.store = program._servers = log_and_fail
sys.argv = ['program']
program.main()
"""


@pytest.mark.parametrize("program", ["local.ingest", "local.migrate"])
def test_a_program_that_does_not_import_the_app_lets_no_value_through_either(program):
    text = said(LOG_AND_FAIL.format(program=program), start="")

    assert "it broke for …" in text
    assert "query migrate failed" in text


def test_our_own_line_is_json_with_level_place_and_type_of_the_error():
    (line,) = said(BREAK.format(name="decant.store")).splitlines()

    entry = json.loads(line)
    assert (entry["level"], entry["service"]) == ("ERROR", "decant")
    assert entry["message"].startswith("it broke for … (ValueError at ")


def test_our_own_line_is_written_once_although_the_runtime_has_a_handler_too():
    assert said("log.warning('one line')", ROOT_HANDLER).count("one line") == 1


def test_the_line_of_an_error_has_the_request_id():
    (line,) = said("log.error('it broke', extra={'request_id': 'an-id'})").splitlines()

    assert json.loads(line)["request_id"] == "an-id"


def test_values_that_json_cannot_hold_are_logged_as_text():
    (line,) = said(r"log.error('half \ud800', extra={'who': {1, 1}, 'half': '\udfff'})").splitlines()

    assert json.loads(line)["message"].startswith("half ")
    assert json.loads(line)["who"] == "{1}"


def test_extra_fields_of_a_record_hold_no_address_either():
    assert "hush" not in said("log.error('it broke', extra={'who': 'hush@example.com'})")


def test_the_level_is_the_requested_one():
    text = said("log.info('quiet'); log.warning('loud')", start=START.replace("DEBUG", "WARNING"))

    assert "loud" in text
    assert "quiet" not in text
