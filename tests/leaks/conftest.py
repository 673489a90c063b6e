"""The system that is searched, and a scene: one test's use of the app within it."""

import contextlib
import functools
import inspect
import logging
import traceback
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from tenacity import wait_none

from chalicelib import aws, retries, runs
from chalicelib.cache import Cache
from chalicelib.errors import DecantError
from chalicelib.sources import client
from chalicelib.store import Store
from local.postgres import Postgres
from local.valkey import Valkey
from tests.builders import APIS, Api
from tests.leaks.canaries import Canaries
from tests.leaks.report import Report, Search
from tests.leaks.scene import Scene
from tests.leaks.source import Source
from tests.leaks.system import System

_ALWAYS_THERE = vars(logging.makeLogRecord({})).keys()  # attributes that every log record has
_report = Report()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--leak-report", action="store_true", help="report what was searched for leaks")


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    if config.getoption("--leak-report", default=False):
        terminalreporter.section("what was searched")
        for line in _report.lines():
            terminalreporter.line(line)


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A separate Postgres: its files are searched, and should not hold what other tests left there."""
    with Postgres(tmp_path_factory.mktemp("leaks-postgres") / "server", throwaway=True) as server:
        with contextlib.closing(Store(server.url)) as store:
            store.migrate()
        yield server


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    with Valkey(tmp_path_factory.mktemp("leaks-valkey") / "server") as server:
        yield server


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres, valkey: Valkey) -> Iterator[System]:
    with Source() as source:
        yield System(tmp_path_factory.mktemp("system"), postgres, valkey, source)


@pytest.fixture(scope="session")
def search_of_all() -> Search:
    """One search for the values of all scenes, so that a value which appears late is found as well."""
    return Search(Canaries(), _report)


@pytest.fixture(params=APIS, ids=str)
def api(request: pytest.FixtureRequest) -> Api:
    """Each dialect in turn."""
    chosen: Api = request.param
    return chosen


@pytest.fixture
def chosen() -> dict[str, str]:
    """Additional settings; a test may be run under several."""
    return {}


@pytest.fixture
def begin(
    chosen: dict[str, str],
    system: System,
    app_environment: Callable[..., None],
    redis_client: redis.Redis,
    unfiltered_log: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> Iterator[Callable[[Search], Scene]]:
    """Makes a scene whose values are searched for by the given search."""
    app_environment(**chosen)
    monkeypatch.setattr(client, "Limits", functools.partial(client.Limits, pause=0.01))
    monkeypatch.setattr(retries.retrying(), "wait", wait_none())
    monkeypatch.setattr(runs, "_queue_url", str)  # no queue exists
    monkeypatch.setattr(aws, "max_receive_count", lambda url: 1)
    for edge in (Store, client.Source, Cache):
        _note_errors(system, edge, monkeypatch)
    for name in (None, "decant"):
        caplog.set_level(logging.DEBUG, name)
    monkeypatch.setattr(logging.Logger, "handle", _noting(system, logging.Logger.handle))
    with system.watched():
        yield lambda search: Scene(system, search, app_environment, redis_client, capfd)


@pytest.fixture
def scene(begin: Callable[[Search], Scene], search_of_all: Search) -> Scene:
    return begin(search_of_all)


@pytest.fixture
def planted_scene(begin: Callable[[Search], Scene]) -> Scene:
    """A scene whose values are meant to be found; the search of all scenes ignores them."""
    return begin(Search(Canaries(), _report, planted=True))


def _note_errors(system: System, edge: type, monkeypatch: pytest.MonkeyPatch) -> None:
    """Notes every error that an edge raises, even if it is caught further up."""

    def noting(method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def noted(*arguments: Any, **named: Any) -> Any:
            try:
                return method(*arguments, **named)
            except DecantError as error:
                system.note_error(error)
                raise

        return noted

    for name, method in vars(edge).items():
        if inspect.isfunction(method) and not name.startswith("_"):
            monkeypatch.setattr(edge, name, noting(method))


def _noting(system: System, handle: Callable[..., None]) -> Callable[..., None]:
    """Notes log records with all their attributes, before a filter can clean them."""

    def note(logger: logging.Logger, record: logging.LogRecord) -> None:
        trace = traceback.format_exception(record.exc_info[1]) if record.exc_info else []
        extra = {name: value for name, value in vars(record).items() if name not in _ALWAYS_THERE}
        texts = [record.getMessage(), repr(record.args), repr(extra), *trace]
        system.note("log records", record.name, "\n".join(texts))
        handle(logger, record)

    return note
