"""`make localstack` and `make localstack-down`: the app in LocalStack, without Docker, in the background.

Exit status 0, 1 with one sentence if something failed, or 130 if interrupted.
"""

import argparse
import contextlib
import os
import signal
import sys
import time
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path

from chalicelib import telemetry
from chalicelib.errors import Stopped
from local import clean, deployment, keys, lock, ports, processes, settings, signals
from local.errors import LocalError, ServerFailed
from local.folders import ROOT, localstack_folder, make_private
from local.localstack_keeper import COMMAND, ENDPOINT, PYTHON
from local.processes import Child

_USUAL_PORT = 4566
_START_SECONDS = 240.0
_STOP_SECONDS = 60.0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m local.localstack")
    parser.add_argument("what", choices=["up", "down"])
    up = parser.parse_args().what == "up"
    telemetry.disable_core_dumps()
    signals.defer()
    try:
        _up(localstack_folder()) if up else _down(localstack_folder())
    except Stopped:
        return 130
    except (LocalError, OSError) as error:
        print(f"{COMMAND if up else 'make localstack-down'}: {error}.", file=sys.stderr)
        return 1
    return 0


def _up(folder: Path) -> None:
    """Starts LocalStack unless it is already running, and deploys the app as it is now."""
    refuse_unsuitable()
    with lock.hold(make_private(folder / "project"), COMMAND), contextlib.ExitStack() as undo:
        if not lock.is_held(folder):
            print("Starting Postgres, Valkey, the user API's stand-in and LocalStack …", flush=True)
            _start_keeper(folder, undo)
        published = settings.published(folder)
        if ENDPOINT not in published:
            raise LocalError("it is starting, stopping or broken; run `make localstack-down`, then try again")
        endpoint = published[ENDPOINT]
        print("Deploying (chalice deploy --stage localstack) …", flush=True)
        url = deployment.deploy(folder, endpoint, folder / "logs" / "chalice.log")
        deployment.migrate(endpoint)
        _wait_for(url)
        undo.pop_all()
        _announce(folder, published, url)


def refuse_unsuitable() -> None:
    """Raises LocalError if LocalStack's Lambdas cannot run here."""
    if sys.version_info < (3, 12):
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise LocalError(f"this needs Python 3.12 or newer, not {here}: `{COMMAND} PYTHON=python3.13`")
    if sys.platform != "linux":
        raise LocalError("the Lambdas' package is for Linux; elsewhere LocalStack needs Docker")
    if not PYTHON.exists():
        raise LocalError(f"LocalStack is not installed; `{COMMAND}` installs it")


def _start_keeper(folder: Path, undo: contextlib.ExitStack) -> None:
    """Starts the keeper, which outlives this command unless ``undo`` is executed."""
    port = ports.requested() or (processes.free_port() if processes.listening(_USUAL_PORT) else _USUAL_PORT)
    ports.refuse_taken(port, COMMAND)
    settings.withdraw(folder)
    keeper = Child(
        "LocalStack's keeper",
        [sys.executable, "-m", "local.localstack_keeper", "--port", str(port)],
        env=settings.for_child({}),
        cwd=ROOT,
        log=make_private(folder / "logs") / "keeper.log",
    )
    undo.callback(keeper.stop, _STOP_SECONDS)
    keeper.wait_until(lambda: ENDPOINT in settings.published(folder), _START_SECONDS)


def _wait_for(url: str) -> None:
    """Waits for the first answer, which includes a cold start of the function. Raises LocalError."""
    with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=30) as answer:  # noqa: S310
        if answer.status == HTTPStatus.OK:
            return
    raise LocalError(f"{url}/health does not answer 200; see LocalStack's log")


def _announce(folder: Path, published: Mapping[str, str], url: str) -> None:
    if published.get("API_KEYS") == keys.api_keys(folder):
        print(f"API key: {keys.api_key(folder)} (in {keys.api_key_file(folder)})")
    print(f"Logs: {folder / 'logs'}. AWS: {published[ENDPOINT]}. `make localstack-down` removes everything.")
    print(f"Decant is running at {url}/", flush=True)


def _down(folder: Path) -> None:
    if keeper := lock.holder(folder):
        os.kill(keeper, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while lock.is_held(folder):
        signals.check()
        if time.monotonic() > deadline:
            raise ServerFailed("LocalStack's keeper", f"(process {keeper}) does not end")
        time.sleep(0.05)
    with lock.hold(folder, "make localstack-down"):
        clean.remove(folder)


if __name__ == "__main__":
    sys.exit(main())
