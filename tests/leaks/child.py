"""Programs that need a separate process, for their output or the way they end: `python -m tests.leaks.child`.

The app is started as Lambda's runtime would, everything logs at DEBUG, and Python prints uncaught errors.
"""

import argparse
import faulthandler
import functools
import json
import logging
import os
import resource
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any

from chalice.local import LambdaContext
from chalice.test import Client

from chalicelib.errors import DecantError
from chalicelib.sources import client

_RUN_SECONDS = 30


def ingest(times: int) -> None:
    """Does this number of scheduled runs; prints the result of each, or the traceback of its error."""
    for _ in range(times):
        try:
            sys.stdout.write(json.dumps(_invoke_ingest()) + "\n")
        except DecantError:
            traceback.print_exc()


def fail(_: int) -> None:
    """A defect in cleaning, with values in its text: first in the thread of a run that was started over HTTP
    on a laptop, and then where nothing catches it."""
    from chalicelib import runs

    _plant_in_clean(_raise)
    runs.start_run(1, 20, None)
    for thread in threading.enumerate():
        if thread.name == "run":
            thread.join(_RUN_SECONDS)
    _invoke_ingest()


def crash(_: int) -> None:
    """The process dies in the middle of cleaning, and faulthandler reports where."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core dump would hold all of the process's memory
    faulthandler.enable()
    _plant_in_clean(lambda users, custom: os.abort())
    _invoke_ingest()


def _invoke_ingest() -> Any:
    import app

    event = Client(app.app).events.generate_cw_event("aws.events", "Scheduled Event", {}, ["arn"])
    return app.ingest(event, LambdaContext("ingest", 128, max_runtime_ms=900_000))


def _plant_in_clean(defect: Callable[[Any, Any], Any]) -> None:
    from chalicelib import prepare

    prepare.clean = defect


def _raise(users: Any, custom: Any) -> None:
    shown = f"{users[0].email} {users[0].last_name}"
    raise RuntimeError(shown) from KeyError(shown)


PROGRAMS = {"ingest": ingest, "fail": fail, "crash": crash}

if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument("--times", type=int, default=1)
    chosen = parser.parse_args()
    logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
    logging.getLogger("a.library").debug("whatever is logged is seen")
    client.Limits = functools.partial(client.Limits, pause=0.01)  # type: ignore[misc,assignment]
    PROGRAMS[chosen.program](chosen.times)
