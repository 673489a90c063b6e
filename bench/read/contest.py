"""The handlers that take part in each read, and the results: microseconds and ratios to the bare stores."""

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from itertools import cycle
from statistics import median
from typing import Any

from bench import events, settings
from bench.ingest.decant import Decant
from bench.ingest.pages import pages_of, records_of
from bench.placement import PLACES, placed
from bench.read.bare import Bare
from bench.read.output import as_in_a_lambda
from bench.rounds import Turns, seconds_of, take_turns
from bench.servers import Servers

_PEOPLE, _LISTED = 2_000, 50
CALLS = 150  # per round; many short rounds cope better with a busy machine than a few long ones
_ONE = "SELECT * FROM users JOIN users_address USING (uid) WHERE uid = %s"
_LIST = "SELECT * FROM users JOIN users_address USING (uid) ORDER BY uid LIMIT %s"

# Each handler's module, name, and title in the tables.
HANDLERS = {
    "decant": ("app", "app", "**Decant**"),
    "chalice": ("bench.handlers.minimal_chalice", "handler", "a minimal Chalice app"),
    "powertools": ("bench.handlers.powertools", "handler", "Powertools' resolver"),
    "fastapi": ("bench.handlers.fastapi_mangum", "handler", "FastAPI + Mangum, `async def`"),
    "fastapi-def": ("bench.handlers.fastapi_mangum", "handler_of_functions", "FastAPI + Mangum, `def`"),
}

_TITLES = {
    "hot": "one person, in Redis",
    "miss": "one person, not in Redis",
    "list": f"a list of {_LISTED}",
}
NAMES = {name: title for name, (_, _, title) in HANDLERS.items()} | {
    "GET, held": "bare Redis GET, one held connection",
    "GET, pooled": "bare Redis GET, redis-py's pool",
    "SELECT": "bare SELECT in a transaction, psycopg2",
    "GET, SELECT, SET": "bare GET, SELECT of Decant's function, and SET, held connections",
    "authorizer": "Decant's authorizer, once a minute per key",
}


Handler = Callable[[Any, Any], Any]
Handlers = Mapping[str, Handler]


class WrongAnswer(Exception):
    """A handler's answer is wrong, so its time is meaningless."""


@dataclass
class Reader:
    """Asks repeatedly. ``before`` sets up each turn; ``check`` looks at the last answer."""

    ask: Callable[[], Any]
    calls: int
    before: Callable[[], None] = lambda: None
    good: Callable[[Any], bool] = bool
    answer: Any = None

    def prepare(self) -> None:
        for _ in range(20):
            self.ask()  # connects and warms up
        self.before()

    def work(self) -> None:
        self.answer = self.ask()

    def check(self) -> None:
        if not self.good(self.answer):
            raise WrongAnswer(f"{self.answer}")


def typical_call(reader: Reader) -> float:
    """The median time of a turn's calls, in seconds."""
    return median(seconds_of(reader.work) for _ in range(reader.calls))


@dataclass(frozen=True)
class Contest:
    """The times for the same read, by place and competitor; ``bare`` names the bare store's turns."""

    title: str
    bare: str
    turns: Mapping[str, Mapping[str, Turns]]

    def ratio(self, place: str, name: str, to: str = "") -> float:
        return self.turns[place][name].ratio_to(self.turns[place][to or self.bare])


def contests(
    servers: Servers,
    rounds: int,
    calls: int = CALLS,
    names: Sequence[str] = tuple(HANDLERS),
    titles: Sequence[str] = tuple(_TITLES),
) -> list[Contest]:
    """The reads in ``titles`` (of hot, miss and list), each by all handlers in ``names``."""
    os.environ.update(settings.of(servers))
    pages = pages_of(_PEOPLE, 1_000)
    uids = list({record["uid"] for body in pages.bodies for record in records_of(body)})
    decant = Decant(servers, pages)
    decant.prepare()
    decant.work()
    handlers = {name: _handler(*HANDLERS[name]) for name in names}  # importing the app turns its logging on
    with contextlib.closing(Bare(servers)) as bare, as_in_a_lambda():
        reads = {
            ("hot", "GET, pooled"): _hot(bare, handlers, uids, calls),
            ("miss", "SELECT"): _miss(bare, handlers, uids, calls),
            ("list", "SELECT"): _list(bare, handlers, calls // 2),
        }
        found = [
            Contest(title, alone, _placed_turns(servers, each, rounds))
            for (title, alone), each in reads.items()
            if title in titles
        ]
    decant.close()
    return found


def _placed_turns(
    servers: Servers, readers: Mapping[str, Reader], rounds: int
) -> dict[str, dict[str, Turns]]:
    turns = {}
    for place in PLACES:
        with placed(servers, place):
            turns[place] = take_turns(readers, rounds, typical_call)
    return turns


def _handler(module: str, name: str, _: str) -> Handler:
    found: Handler = getattr(import_module(module), name)
    return found


def _hot(bare: Bare, handlers: Handlers, uids: Sequence[str], calls: int) -> dict[str, Reader]:
    held, pooled = bare.held_get(uids), bare.pooled_get(uids)
    readers = {"GET, held": Reader(held, calls), "GET, pooled": Reader(pooled, calls)}
    for name, ask in _callers(handlers, [events.get_user(uid) for uid in uids]):
        good = _from_redis if name == "decant" else _is_ok
        readers[name] = Reader(ask, calls, good=good)
    readers["authorizer"] = Reader(_authorizer(), calls, good=_allows_users)
    return readers


def _miss(bare: Bare, handlers: Handlers, uids: Sequence[str], calls: int) -> dict[str, Reader]:
    """No person is asked for twice in a turn."""
    readers = {
        "SELECT": Reader(bare.select(_ONE, uids), calls),
        "GET, SELECT, SET": Reader(bare.miss(uids), calls, bare.forget_all),
    }
    for name, ask in _callers(handlers, [events.get_user(uid) for uid in uids]):
        good = _from_postgres if name == "decant" else _is_ok
        readers[name] = Reader(ask, calls, bare.forget_all, good)
    return readers


def _list(bare: Bare, handlers: Handlers, calls: int) -> dict[str, Reader]:
    readers = {"SELECT": Reader(bare.select(_LIST, [_LISTED]), calls, good=lambda rows: len(rows) == _LISTED)}
    for name, ask in _callers(handlers, [events.list_users({"limit": str(_LISTED)})]):
        readers[name] = Reader(ask, calls, good=_is_list)
    return readers


def _callers(handlers: Handlers, sent: Sequence[dict[str, Any]]) -> Iterator[tuple[str, Callable[[], Any]]]:
    for name, handler in handlers.items():
        yield name, _caller(handler, sent)


def _caller(handler: Handler, sent: Sequence[dict[str, Any]]) -> Callable[[], Any]:
    event, context = cycle(sent), events.Context()
    return lambda: handler(next(event), context)


def _authorizer() -> Callable[[], Any]:
    authorize = import_module("app").authorize
    return lambda: authorize(events.authorize(settings.API_KEY), events.Context())


def _allows_users(answer: Any) -> bool:
    return any(one.endswith("/GET/users/*") for one in answer["policyDocument"]["Statement"][0]["Resource"])


def _is_ok(answer: Any) -> bool:
    return bool(answer["statusCode"] == 200 and json.loads(answer["body"])["uid"])


def _from_redis(answer: Any) -> bool:
    return _is_ok(answer) and answer["headers"]["X-Data-Source"] == "redis" and "ETag" in answer["headers"]


def _from_postgres(answer: Any) -> bool:
    return _is_ok(answer) and answer["headers"]["X-Data-Source"] == "postgres"


def _is_list(answer: Any) -> bool:
    return bool(answer["statusCode"] == 200 and len(json.loads(answer["body"])["items"]) == _LISTED)


def markdown(contest: Contest) -> str:
    """A Markdown table."""
    heads = [f"{place}, µs | fastest – slowest | of the bare call" for place in PLACES]
    lines = [f"| {_TITLES[contest.title]} | {' | '.join(heads)} |", "|---|" + "---:|---:|---:|" * len(PLACES)]
    for name in contest.turns[PLACES[0]]:
        figures = [_figures(contest, place, name) for place in PLACES]
        lines.append(f"| {NAMES.get(name, name)} | {' | '.join(figures)} |")
    return "\n".join(lines)


def _figures(contest: Contest, place: str, name: str) -> str:
    turns = contest.turns[place][name]
    fastest, slowest = turns.spread
    spread = f"{fastest * 1e6:,.0f} – {slowest * 1e6:,.0f}"
    return f"{turns.median * 1e6:,.0f} | {spread} | {contest.ratio(place, name):.2f}"
