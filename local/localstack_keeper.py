"""Keeps LocalStack and the servers beside it running in the background, until it receives SIGTERM.

`make localstack` starts it. It holds the folder's lock, by which `make localstack-down` finds it.
"""

import argparse
import contextlib
import json
import os
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from chalicelib import telemetry
from chalicelib.errors import Stopped
from local import lock, processes, settings, signals
from local.errors import LocalError, ServerFailed
from local.folders import ROOT, localstack_folder, make_private, remove_tree
from local.processes import Child
from local.stack import Stack, record_file, running_stack
from local.watch import watch

COMMAND = "make localstack"
PYTHON = ROOT / "localstack" / ".venv" / "bin" / "python"
ENDPOINT = "AWS_ENDPOINT_URL"  # published with the settings
SET_BY_DEPLOYMENT = {"SECRET_ID", "QUEUE_URL", "QUEUE_NAME", "INGEST_SCHEDULE"}

_START_SECONDS = 180.0  # the first start compiles its modules
_STOP_SECONDS = 1.0  # it persists nothing, and its functions end with it


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    port = parser.parse_args().port
    telemetry.disable_core_dumps()
    signals.defer()
    try:
        folder = localstack_folder()
        with lock.hold(folder, COMMAND), contextlib.suppress(Stopped):
            _run(folder, port)
    except (LocalError, OSError) as error:
        print(f"{error}.", file=sys.stderr)
        return 1
    return 0


def _run(folder: Path, port: int) -> None:
    _remove_leftovers(folder)
    chosen = {name: value for name, value in settings.chosen().items() if name not in SET_BY_DEPLOYMENT}
    with (
        running_stack(folder, chosen) as stack,
        _localstack(stack, port) as endpoint,
        settings.publish(folder, {**stack.settings, ENDPOINT: endpoint}),
    ):
        watch(stack, not_restarted="LocalStack")  # a restarted LocalStack would not have the app


def _remove_leftovers(folder: Path) -> None:
    """Removes what the last LocalStack left: a new one knows nothing of its deployment."""
    processes.end_recorded(record_file(folder))  # before its files are removed
    for stale in (folder / "home", folder / "project" / ".chalice" / "deployed"):
        if stale.exists():
            remove_tree(stale)


@contextlib.contextmanager
def _localstack(stack: Stack, port: int) -> Iterator[str]:
    """Yields the URL once LocalStack is ready, with the resources that the init hook creates."""
    endpoint = f"http://127.0.0.1:{port}"
    child = Child(
        "LocalStack",
        [str(PYTHON), "-P", "-m", "localstack.runtime.main"],
        env=_environment(stack, port),
        cwd=stack.folder,
        log=stack.logs / "localstack.log",
    )
    stack.servers.append(child)
    try:
        processes.record(record_file(stack.folder), child)
        child.wait_until(lambda: _is_ready(endpoint, child), _START_SECONDS)
        yield endpoint
    finally:
        child.stop(_STOP_SECONDS)


def _environment(stack: Stack, port: int) -> dict[str, str]:
    """Takes only PATH from the caller: LocalStack reads many variables, and files in the home directory."""
    home = make_private(stack.folder / "home")
    hooks = home / "etc" / "localstack" / "init"
    hooks.parent.mkdir(parents=True, exist_ok=True)
    hooks.unlink(missing_ok=True)
    hooks.symlink_to(ROOT / "localstack" / "init")
    address = f"127.0.0.1:{port}"
    return {
        **stack.settings,  # for the init hook
        "PATH": os.environ.get("PATH", os.defpath),
        "HOME": str(home),
        "FILESYSTEM_ROOT": str(home),
        "TMPDIR": str(make_private(home / "tmp")),
        "XDG_CACHE_HOME": str(home / f"cache-{port}"),
        "OVERRIDE_IN_DOCKER": "0",  # a container around it is not LocalStack's own image
        "GATEWAY_LISTEN": address,
        "LOCALSTACK_HOST": address,
        "LAMBDA_RUNTIME_EXECUTOR": "process",
        "LAMBDA_SYNCHRONOUS_CREATE": "1",  # else each deployment waits for the next poll, 5 s later
        "LAMBDA_EVENT_SOURCE_MAPPING_POLL_INTERVAL_SEC": "0.05",  # else one page a second, however fast
        "LAMBDA_EVENT_SOURCE_MAPPING_MAX_BACKOFF_ON_EMPTY_POLL_SEC": "1",
        "SQS_ENDPOINT_STRATEGY": "path",
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",
        "DNS_ADDRESS": "0",
        "PYTHONUNBUFFERED": "1",
    }


def _is_ready(endpoint: str, child: Child) -> bool:
    """Raises ServerFailed if the init hook has failed."""
    try:
        with urllib.request.urlopen(f"{endpoint}/_localstack/init/ready", timeout=5) as answer:  # noqa: S310
            stage = json.load(answer)
    except OSError:
        return False
    if any(script["state"] == "ERROR" for script in stage["scripts"]):
        raise ServerFailed(child.name, "could not create the app's resources", child.log)
    return bool(stage["completed"] and stage["scripts"])


if __name__ == "__main__":
    sys.exit(main())
