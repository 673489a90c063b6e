"""One test's use of the app in the searched system, and the search afterwards."""

import json
import os
import sys
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import pytest
import redis

from chalicelib import runs, wiring
from chalicelib.errors import DecantError
from chalicelib.ledger import RunRequest
from chalicelib.opening import open_run
from chalicelib.report import Report
from local import settings
from tests.builders import Api
from tests.integration import api_support
from tests.leaks.report import Leak, Search
from tests.leaks.revealing_requests import Request
from tests.leaks.sinks import SINKS
from tests.leaks.source import Answer, answer
from tests.leaks.system import Process, System

# A setting that causes more to be stored gets a line here, and is tried wherever records are rejected.
SETTINGS: dict[str, dict[str, str]] = {
    "as by default": {},
    "with a quarantine": {"QUARANTINE_KEY": b64encode(bytes(range(32))).decode()},
}
under_all_settings = pytest.mark.parametrize("chosen", SETTINGS.values(), ids=SETTINGS)


class Scene:
    """Ends with a search, which should be the last thing that a test does with it."""

    def __init__(
        self,
        system: System,
        search: Search,
        change: Callable[..., None],
        redis_client: redis.Redis,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        self.system, self.canaries, self.change = system, search.canaries, change
        self._search, self._redis, self._capfd = search, redis_client, capfd
        self.note_redis_commands()

    def note_redis_commands(self) -> None:
        """Makes Redis record all commands from now on; must be repeated after a restart of the server."""
        self._redis.config_set("slowlog-max-len", 100_000)
        self._redis.config_set("slowlog-log-slower-than", 0)

    def use_dialect(self, api: Api) -> None:
        """Makes the source use this dialect from now on."""
        self.change(SOURCE_DIALECT=str(api), SOURCE_URL=self.system.source.url(str(api)))

    def ingest(self, *answers: Answer) -> str:
        """Does one run in this process over these answers; returns its status, or the name of its error."""
        self.system.source.script(*answers)
        return self._outcome_of(lambda: runs.ingest({}))

    def ingest_queued(self, *answers: Answer) -> str:
        """The same for a queued run of one page, as if its message were delivered for the last time."""
        self.system.source.script(*answers)
        source, store, tokeniser = wiring.source(), wiring.store(), wiring.tokeniser()
        opened = open_run(store, tokeniser, RunRequest(source.name, "manual", 1, queued=True), {})
        message = {"run_id": opened.run_id, "page": 1}
        return self._outcome_of(lambda: runs.ingest_page(message, sys.maxsize))

    def replay(self, run_id: str) -> str:
        """The same for a run that replays the sealed rejects of another."""
        return self._outcome_of(lambda: runs.replay(run_id))

    def _outcome_of(self, run: Callable[[], Report]) -> str:
        try:
            summary = run().summary()
        except DecantError as error:
            self.system.note_error(error)
            return type(error).__name__
        self.system.note("results of Lambdas", str(summary["run_id"]), json.dumps(summary))
        return str(summary["status"])

    def ingest_page(self, api: Api, *records: Mapping[str, Any]) -> str:
        return self.ingest(Answer(answer(api.page(*records))))

    def ask(self, sent: Request) -> tuple[int, bytes]:
        """Sends a request to the API in this process; returns status and body."""
        client = api_support.Api()
        answered = client(sent.method, sent.target, key=None, body=sent.body, **sent.all_headers)
        head = f"{answered.status}\n" + "".join(
            f"{name}: {text}\n" for name, text in answered.headers.items()
        )
        self.system.note_answer(f"{sent.method} answered", head, answered.body)
        return answered.status, answered.body

    def start(self, program: str, *arguments: str) -> Process:
        """Starts one of `child.py`'s programs with the settings of this process."""
        return self.system.start(program, ["-m", "tests.leaks.child", program, *arguments], self.environment)

    @property
    def environment(self) -> dict[str, str]:
        chosen = {name: os.environ[name] for name in settings.NAMES if name in os.environ}
        return {**chosen, "LOG_LEVEL": "DEBUG"}

    def leaks(self, only: Iterable[str] = SINKS) -> list[Leak]:
        """Finds the values of all scenes so far in what the system stores or reveals."""
        output = self._capfd.readouterr()
        self.system.note("stdout", "this process", output.out)
        self.system.note("stderr", "this process", output.err)
        return self._search.leaks(self.system, only)
