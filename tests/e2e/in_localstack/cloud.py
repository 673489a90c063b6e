"""The app in a LocalStack for the tests, started as by `make localstack`, and what tests do with it."""

import contextlib
import io
import json
import os
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import boto3
import psutil
from botocore.config import Config

from local import settings
from local.deployment import DUMMY_CREDENTIALS
from local.folders import ROOT
from local.localstack_keeper import ENDPOINT
from tests.waiting import until

START_SECONDS, STOP_SECONDS = 390, 90
STACK = "decant-localstack"


def command(folder, *argv, seconds=START_SECONDS, **chosen):
    """Runs one of the checkout's commands to its end, with its own `.local`."""
    ours = settings.NAMES | {"PORT"}
    outside = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run(
        [sys.executable, "-m", *argv],
        cwd=ROOT, env={**outside, **chosen, "DECANT_LOCAL_DIR": str(folder)},
        capture_output=True, text=True, check=False, timeout=seconds,
    )  # fmt: skip


@dataclass(frozen=True)
class Cloud:
    """A running LocalStack. `url` is the API's, without a trailing slash."""

    folder: Path
    endpoint: str
    url: str = ""

    @cache  # noqa: B019  one for the whole session
    def client(self, service):
        client = boto3.client(
            service,
            endpoint_url=self.endpoint,
            region_name=DUMMY_CREDENTIALS["AWS_DEFAULT_REGION"],
            aws_access_key_id=DUMMY_CREDENTIALS["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=DUMMY_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
            config=Config(read_timeout=90, retries={"total_max_attempts": 1}, max_pool_connections=20),
        )
        client.meta.events.register("before-send", _on_a_connection_of_its_own)
        return client

    def ask(self, method, path, key=None, body=None):
        """Status, headers and body as text, whatever the status."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        sent = None if body is None else json.dumps(body).encode()
        if sent:
            headers["Content-Type"] = "application/json"
        request = urllib.request.Request(self.url + path, sent, headers, method=method)  # noqa: S310
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:  # noqa: S310
                return answer.status, answer.headers, answer.read().decode()
        except urllib.error.HTTPError as refused:
            with refused:
                return refused.code, refused.headers, refused.read().decode()

    def get_json(self, path, key):
        status, _, body = self.ask("GET", path, key)
        assert status == 200, body
        return json.loads(body)

    def start_run(self, key, **wanted):
        """Starts a run and returns its id; waits first for any other run, such as a scheduled one, to end."""

        def started():
            status, _, body = self.ask("POST", "/runs", key, wanted)
            assert status == 202, body
            run = json.loads(body)
            return run["run_id"] if run["status"] == "running" else None

        return until(started)

    def finished(self, run_id, key):
        """Waits until the run has ended; returns it."""
        return until(lambda: self._ended(run_id, key))

    def _ended(self, run_id, key):
        run = self.get_json(f"/runs/{run_id}", key)
        return run if run["status"] != "running" else None

    def invoke(self, function, event=None):
        """The answer, and the kind of error or None."""
        said = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event or {}))
        return json.load(said["Payload"]), said.get("FunctionError")

    def logged(self, function):
        """All log lines of a function so far."""
        logs, group = self.client("logs"), f"/aws/lambda/{function}"
        with contextlib.suppress(logs.exceptions.ResourceNotFoundException):
            pages = logs.get_paginator("filter_log_events").paginate(logGroupName=group)
            return [event["message"] for page in pages for event in page["events"]]
        return []

    def processes(self, function):
        """The processes of the function's execution environments."""
        return [one for one in self.lambdas() if _variable(one, "AWS_LAMBDA_FUNCTION_NAME") == function]

    def kill(self, function):
        """Kills the function's execution environments; returns their number."""
        processes = self.processes(function)
        for process in processes:
            process.kill()
        return len(processes)

    def lambdas(self):
        """All processes that run from this LocalStack's folder of Lambdas."""
        return [
            one for one in psutil.process_iter() if str(self.folder) in _variable(one, "LAMBDA_TASK_ROOT")
        ]

    def create(self, name, code, runtime=f"python3.{sys.version_info.minor}", **settings):
        """Creates a function of one file, app.py, whose handler is `handler`."""
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as packed:
            packed.writestr(zipfile.ZipInfo("app.py"), code)  # a fixed time, so that the bytes are the same
        self.client("lambda").create_function(
            FunctionName=name, Runtime=runtime, Role="arn:aws:iam::000000000000:role/any",
            Handler="app.handler", Code={"ZipFile": archive.getvalue()}, **settings,
        )  # fmt: skip
        return name


def _on_a_connection_of_its_own(request, **_):
    """Nothing is tried twice, and LocalStack closes what was idle for a minute, even as a request comes."""
    request.headers["Connection"] = "close"


def _variable(process, name):
    try:
        return process.environ().get(name, "")
    except psutil.Error:
        return ""


@contextlib.contextmanager
def localstack(folder, **chosen):
    """Starts it as `make localstack` does, and ends it as `make localstack-down` does; nothing is left."""
    up = command(folder, "local.localstack", "up", **chosen)
    try:
        assert up.returncode == 0, up.stderr + up.stdout + _logs(folder)
        published = settings.published(folder / "localstack")
        url = up.stdout.strip().splitlines()[-1].removeprefix("Decant is running at ").rstrip("/")
        cloud = Cloud(folder, published[ENDPOINT], url)
        yield cloud
    finally:
        down = command(folder, "local.localstack", "down", seconds=STOP_SECONDS)
    assert down.returncode == 0, down.stderr
    assert not cloud.lambdas()
    assert not (folder / "localstack").exists()


def _logs(folder):
    logs = (folder / "localstack" / "logs").glob("*.log")
    return "".join(f"\n--- {log.name}\n{log.read_text(errors='replace')[-2_000:]}" for log in logs)
