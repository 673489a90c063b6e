"""The process executor in a running LocalStack: small functions are treated as in Lambda."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from local import postgres, settings
from local.localstack_keeper import ENDPOINT
from local.processes import free_port
from tests.e2e.in_localstack.cloud import ROOT, Cloud
from tests.waiting import gone, until

pytestmark = pytest.mark.timeout(500)

PROBE = """
import importlib, os, signal, subprocess, sys, time
calls = 0

def handler(event, context):
    global calls
    calls += 1
    do = event.get("do")
    if do == "environment":
        return dict(os.environ)
    if do == "sleep":
        time.sleep(event["seconds"])
    if do == "exit":
        sys.exit(event["status"])
    if do == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if do == "raise":
        raise ValueError("a reason")
    if do == "import":
        return importlib.import_module(event["name"]).__name__
    if do == "write":
        open("file", "w").close()
    if do == "temporary":
        import tempfile
        return tempfile.gettempdir()
    if do == "large":
        return "x" * event["size"]
    if do == "context":
        return [context.function_name, context.memory_limit_in_mb, context.get_remaining_time_in_millis(),
                context.aws_request_id, context.invoked_function_arn, context.log_stream_name]
    if do == "print":
        print("to stdout")
        print("to stderr", file=sys.stderr)
    if do == "child":
        child = subprocess.Popen(["sleep", "1000"]).pid
        print("child", child)
        time.sleep(100)
    return {"pid": os.getpid(), "calls": calls}
"""


@pytest.fixture(scope="module")
def probe(cloud):
    return cloud.create(
        "probe", PROBE, Timeout=10, MemorySize=192, Environment={"Variables": {"MINE": "yes"}}
    )


@pytest.fixture(scope="module")
def hasty(cloud):
    """A function with a timeout of one second."""
    return cloud.create("hasty", PROBE, Timeout=1)


def report(cloud, function, nth):
    """The nth REPORT line; -1 is the last."""
    return [line for line in cloud.logged(function) if line.startswith("REPORT")][nth]


def test_the_first_invocation_is_cold_and_the_second_warm(cloud, probe):
    first, _ = cloud.invoke(probe)
    second, _ = cloud.invoke(probe)

    assert first["calls"] == 1
    assert second == {"pid": first["pid"], "calls": 2}
    until(lambda: len([line for line in cloud.logged(probe) if line.startswith("REPORT")]) >= 2)
    assert "Init Duration: " in report(cloud, probe, 0)
    assert "Init Duration: " not in report(cloud, probe, 1)


def test_the_environment_is_the_functions_own(cloud, probe):
    seen, _ = cloud.invoke(probe, {"do": "environment"})

    assert seen["MINE"] == "yes"
    assert seen["AWS_LAMBDA_FUNCTION_NAME"] == "probe"
    assert seen["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "192"
    assert seen["AWS_LAMBDA_FUNCTION_VERSION"] == "$LATEST"
    assert seen["AWS_LAMBDA_LOG_GROUP_NAME"] == "/aws/lambda/probe"
    assert seen["AWS_EXECUTION_ENV"] == f"AWS_Lambda_python3.{sys.version_info.minor}"
    assert seen["AWS_REGION"] == "us-east-1"
    assert seen["AWS_ENDPOINT_URL"] == cloud.endpoint
    assert seen["_HANDLER"] == "app.handler"
    assert seen["AWS_SESSION_TOKEN"]


def test_nothing_of_localstacks_environment_leaks_in(cloud, probe):
    seen, _ = cloud.invoke(probe, {"do": "environment"})

    foreign = {
        "DATABASE_URL",
        "PII_KEYS",
        "GATEWAY_LISTEN",
        "FILESYSTEM_ROOT",
        "XDG_CACHE_HOME",
        "VIRTUAL_ENV",
    }
    assert not foreign & set(seen)
    assert "/.venv/" not in seen["PATH"]
    assert seen["HOME"] != os.environ.get("HOME")


def test_the_context_has_lambdas_fields(cloud, probe):
    name, memory, remaining, request_id, arn, stream = cloud.invoke(probe, {"do": "context"})[0]

    assert (name, memory) == ("probe", "192")
    assert 8_000 < remaining <= 10_000
    assert arn == "arn:aws:lambda:us-east-1:000000000000:function:probe"
    assert until(lambda: any(request_id in line for line in cloud.logged(probe)))
    assert "[$LATEST]" in stream


@pytest.mark.parametrize("name", ["boto3", "awslambdaric"])
def test_the_libraries_of_lambdas_runtime_can_be_imported(cloud, probe, name):
    assert cloud.invoke(probe, {"do": "import", "name": name}) == (name, None)


@pytest.mark.parametrize(
    "name", ["localstack", "moto", "werkzeug", "requests", "process_executor", "sandbox"]
)
def test_no_other_library_of_localstack_can_be_imported(cloud, probe, name):
    said, error = cloud.invoke(probe, {"do": "import", "name": name})

    assert error == "Unhandled"
    assert said["errorType"] == "ModuleNotFoundError"


def test_the_code_cannot_be_written_to(cloud, probe):
    assert cloud.invoke(probe, {"do": "write"})[0]["errorType"] == "PermissionError"


def test_each_environment_has_its_own_temporary_files(cloud, probe):
    assert str(cloud.folder) in cloud.invoke(probe, {"do": "temporary"})[0]


def test_concurrent_invocations_run_in_separate_environments(cloud, probe):
    with ThreadPoolExecutor(3) as threads:
        answers = list(threads.map(lambda _: cloud.invoke(probe, {"do": "sleep", "seconds": 1})[0], range(3)))

    assert len({answer["pid"] for answer in answers}) == 3
    assert len(cloud.processes(probe)) >= 3


def test_an_error_is_reported_with_type_message_and_trace(cloud, probe):
    said, error = cloud.invoke(probe, {"do": "raise"})

    assert error == "Unhandled"
    assert (said["errorType"], said["errorMessage"]) == ("ValueError", "a reason")
    assert "in handler" in said["stackTrace"][-1]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        ({"do": "exit", "status": 3}, "with error: exit status 3"),
        ({"do": "exit", "status": 0}, "without providing a reason"),
        ({"do": "kill"}, "with error: signal: killed"),
    ],
)
def test_a_process_that_ends_is_an_exit_error_and_the_next_invocation_works(cloud, probe, event, reason):
    said, error = cloud.invoke(probe, event)

    assert error == "Unhandled"
    assert said["errorType"] == "Runtime.ExitError"
    assert said["errorMessage"].startswith("RequestId: ")
    assert said["errorMessage"].endswith(f" Error: Runtime exited {reason}")
    assert "pid" in cloud.invoke(probe)[0]


def test_an_environment_killed_between_invocations_is_replaced(cloud, probe):
    cloud.invoke(probe)
    for process in cloud.processes(probe):
        process.kill()
        process.wait(5)

    assert cloud.invoke(probe) == ({"pid": cloud.processes(probe)[0].pid, "calls": 1}, None)


def test_a_timeout_ends_the_process_and_the_next_invocation_works(cloud, hasty):
    pid = cloud.invoke(hasty)[0]["pid"]
    began = time.monotonic()

    said, error = cloud.invoke(hasty, {"do": "sleep", "seconds": 60})

    assert 1 <= time.monotonic() - began < 5
    assert error == "Unhandled"
    assert said["errorType"] == "Sandbox.Timedout"
    assert said["errorMessage"].endswith(" Error: Task timed out after 1.00 seconds")
    assert gone(pid)
    assert cloud.invoke(hasty)[0]["pid"] != pid
    until(lambda: "Status: timeout" in "".join(cloud.logged(hasty)))


def test_child_processes_end_with_their_function(cloud, hasty):
    cloud.invoke(hasty, {"do": "child"})

    lines = until(lambda: [line for line in cloud.logged(hasty) if line.startswith("child ")])
    assert gone(int(lines[-1].split()[1]))


def test_the_log_has_lambdas_own_lines_around_the_functions(cloud, probe):
    cloud.invoke(probe, {"do": "print"})

    def of_that_invocation():
        lines = [line.strip() for line in cloud.logged(probe)]
        return lines[lines.index("to stdout") - 1 :][:5] if "to stdout" in lines else []

    start, out, err, end, said = until(of_that_invocation)
    request_id = start.removeprefix("START RequestId: ").split()[0]
    assert start == f"START RequestId: {request_id} Version: $LATEST"
    assert (out, err) == ("to stdout", "to stderr")
    assert end == f"END RequestId: {request_id}"
    assert said.startswith(f"REPORT RequestId: {request_id}\tDuration: ")
    assert "Memory Size: 192 MB\tMax Memory Used: " in said


def test_an_answer_that_is_too_large_is_an_error(cloud, probe):
    said, error = cloud.invoke(probe, {"do": "large", "size": 6_300_000})

    assert error == "Unhandled"
    assert said["errorType"] == "Function.ResponseSizeTooLarge"
    assert len(cloud.invoke(probe, {"do": "large", "size": 6_000_000})[0]) == 6_000_000


BROKEN = {
    "import": ("import nowhere", "Runtime.ImportModuleError"),
    "syntax": ("def handler(:", "Runtime.UserCodeSyntaxError"),
    "missing": ("other = 1", "Runtime.HandlerNotFound"),
    "raise": ("raise KeyError('while loading')", "KeyError"),
    "exit": ("import sys; sys.exit(4)", "Runtime.ExitError"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_function_that_cannot_be_loaded_says_why_each_time(cloud, how):
    code, kind = BROKEN[how]
    name = cloud.create(f"broken-{how}", code)

    for _ in range(2):
        said, error = cloud.invoke(name)
        assert (error, said["errorType"]) == ("Unhandled", kind)
    until(lambda: f"Error Type: {kind}" in "".join(cloud.logged(name)))


def test_a_function_for_another_python_is_refused_with_a_reason(cloud):
    cloud.create("older", PROBE, runtime="python3.9")

    state = cloud.client("lambda").get_function_configuration(FunctionName="older")
    assert state["State"] == "Failed"
    assert "not python3.9" in state["StateReason"]


def test_functions_with_the_same_zip_share_its_code(cloud, probe, hasty):
    folders = {cloud.invoke(name, {"do": "environment"})[0]["LAMBDA_TASK_ROOT"] for name in (probe, hasty)}

    assert len(folders) == 1


def test_deleting_a_function_ends_its_processes(cloud):
    pid = cloud.invoke(cloud.create("brief", PROBE))[0]["pid"]

    cloud.client("lambda").delete_function(FunctionName="brief")

    until(lambda: gone(pid), seconds=15)


def test_functions_end_when_localstack_is_killed(tmp_path, cloud):
    """And so does everything else that was started."""
    outside = {name: value for name, value in os.environ.items() if name not in settings.NAMES}
    keeper = subprocess.Popen(
        [sys.executable, "-m", "local.localstack_keeper", "--port", str(free_port())],
        cwd=ROOT, env={**outside, "DECANT_LOCAL_DIR": str(tmp_path)}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        published = until(lambda: settings.published(tmp_path / "localstack"), seconds=60)
        other = Cloud(tmp_path, published[ENDPOINT])
        pid = other.invoke(other.create("orphan", PROBE))[0]["pid"]
        family = psutil.Process(keeper.pid).children(recursive=True)
        localstack = next(one for one in family if "localstack.runtime.main" in one.cmdline())

        localstack.send_signal(signal.SIGKILL)

        until(lambda: gone(pid), seconds=5)
        assert "LocalStack ended unexpectedly (ended by SIGKILL)" in keeper.communicate(timeout=60)[1]
        assert all(gone(one.pid) for one in family)
    finally:
        if keeper.poll() is None:
            keeper.terminate()
            keeper.communicate(timeout=60)
        postgres.remove(tmp_path / "localstack" / "postgres")  # for root it may be below /var/tmp


def test_a_payload_reaches_the_function_unchanged(cloud):
    echo = cloud.create("echo", "def handler(event, context):\n    return event")
    sent = {"text": "ä\u2028\U0001f600", "number": 1.5, "nested": [None, True, {"a": "b" * 100_000}]}

    assert cloud.invoke(echo, sent) == (json.loads(json.dumps(sent)), None)
