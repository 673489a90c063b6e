"""The search finds a value planted in any place that it searches, or finding none would prove nothing."""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import redis
from msgspec import structs

from chalicelib import answers, manual, people, runs, telemetry
from chalicelib.errors import SourceInvalid
from chalicelib.report import Report
from chalicelib.sources import exchange
from chalicelib.store import Store
from tests.builders import RANDOM_DATA_API
from tests.fakes import person, reject, uid
from tests.integration import api_support
from tests.leaks.revealing_requests import Request
from tests.leaks.scene import Scene
from tests.leaks.sinks import SINKS

_log = logging.getLogger("decant.planted")


class Ground:
    """Where leaks are planted: a scene with one stored and one rejected person, and a text to leak."""

    def __init__(self, scene: Scene, sql: Any, client: redis.Redis, folder: Path, patch: pytest.MonkeyPatch):
        self.scene, self.sql, self.redis, self.folder, self.patch = scene, sql, client, folder, patch
        self.text = scene.canaries.text("planted")
        self.opened = contextlib.ExitStack()

    def start(self, code: str) -> None:
        assert self.scene.system.start("a planted one", ["-c", code], {}).wait() == 0


@pytest.fixture
def ground(
    planted_scene: Scene,
    store: Store,
    sql,
    redis_client: redis.Redis,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Ground]:
    made = Ground(planted_scene, sql, redis_client, tmp_path, monkeypatch)
    api_support.load(store, person(1), rejects=[reject(1)])
    with made.opened:
        yield made
    sql("DROP SCHEMA IF EXISTS attic CASCADE; COMMENT ON TABLE runs IS NULL")


Plant = Callable[[Ground], object]
PLANTS: dict[tuple[str, str], Plant] = {}


def planted(sink: str, how: str) -> Callable[[Plant], Plant]:
    return lambda plant: PLANTS.setdefault((sink, how), plant)


SQL = {
    ("Postgres: dump", "a kept column"): "UPDATE users SET gender = %s",
    ("Postgres: dump", "an address"): "UPDATE users_address SET city = %s",
    ("Postgres: dump", "bytes"): "UPDATE users SET content_hash = convert_to(%s, 'UTF8')",
    ("Postgres: dump", "a comment"): "COMMENT ON TABLE runs IS %s",
    ("Postgres: dump", "a forgotten schema"): "CREATE SCHEMA attic CREATE VIEW seen AS SELECT %s AS text",
    ("Postgres: ledger, rejects, erasures", "an error"): "UPDATE runs SET error = %s",
    ("Postgres: ledger, rejects, erasures", "an issue"): "UPDATE rejects SET issues = to_jsonb(%s::text)",
    (
        "Postgres: ledger, rejects, erasures",
        "an erasure",
    ): "INSERT INTO erasures VALUES ('v1_' || rpad(%s, 24))",
    ("Postgres: files", "a row that is gone"): (
        "INSERT INTO erasures VALUES ('v1_' || rpad(%s, 24)); DELETE FROM erasures"
    ),
}
for where, statement in SQL.items():
    planted(*where)(lambda ground, statement=statement: ground.sql(statement, ground.text))

REDIS = {
    ("Redis: keys", "a key"): lambda redis, text: redis.set(f"user:{text}", ""),
    ("Redis: keys", "a value"): lambda redis, text: redis.set("user:x", text),
    ("Redis: keys", "a hash"): lambda redis, text: redis.hset("user:x", "email", text),
    ("Redis: keys", "a list"): lambda redis, text: redis.rpush("user:x", text),
    ("Redis: keys", "a set"): lambda redis, text: redis.sadd("user:x", text),
    ("Redis: keys", "an ordered set"): lambda redis, text: redis.zadd("user:x", {text: 1}),
    ("Redis: keys", "a stream"): lambda redis, text: redis.xadd("user:x", {"email": text}),
    ("Redis: commands", "a key that is gone"): lambda redis, text: redis.delete(text),
    ("server logs", "of Redis"): lambda redis, text: redis.eval(
        "redis.log(redis.LOG_WARNING, ARGV[1])", 0, text
    ),
}
for where, command in REDIS.items():
    planted(*where)(lambda ground, command=command: command(ground.redis, ground.text))


@planted("Postgres: ledger, rejects, erasures", "what is kept")
def kept(ground):
    person = ground.scene.canaries.person(RANDOM_DATA_API, "planted")
    ground.sql("UPDATE runs SET error = %s", person["address"]["city"])


@planted("Postgres: activity", "a statement")
def activity(ground):
    url = ground.scene.system.postgres.url
    session = ground.opened.enter_context(contextlib.closing(psycopg2.connect(url)))
    session.cursor().execute("SELECT %s", (ground.text,))


@planted("server logs", "of Postgres")
def refused(ground):
    with contextlib.suppress(psycopg2.DataError):
        ground.sql("SELECT %s::integer", ground.text)


@planted("Redis: keys", "another database")
def other_database(ground):
    with redis.Redis.from_url(ground.scene.system.valkey.url, db=3) as other:
        other.set("user:x", ground.text)


@planted("stdout", "of this process")
def printed(ground):
    sys.stdout.write(ground.text)


@planted("stdout", "of another process")
def printed_elsewhere(ground):
    ground.start(f"print({ground.text!r})")


@planted("stderr", "of this process")
def complained(ground):
    sys.stderr.write(ground.text)


@planted("stderr", "of another process")
def warned_elsewhere(ground):
    ground.start(f"import warnings; warnings.warn({ground.text!r})")


@planted("log records", "a message")
def logged(ground):
    _log.debug("user %s", ground.text)


@planted("log records", "an extra")
def logged_beside(ground):
    _log.info("user", extra={"user": ground.text})


@planted("log records", "an error's text")
def logged_error(ground):
    _log.info("user", exc_info=KeyError(ground.text))


@planted("metrics", "a status")
def metric(ground):
    telemetry.log_run(Report("", ground.text))


def raise_from_run(ground, error):
    def fail(*_):
        raise error

    ground.patch.setattr(runs, "_run_scheduled", fail)
    assert ground.scene.ingest() == "SourceInvalid"


@planted("errors", "a message")
def error(ground):
    raise_from_run(ground, SourceInvalid(1, ground.text))


@planted("errors", "a context that no trace shows")
def context(ground):
    error = SourceInvalid(1, "")
    error.__context__, error.__suppress_context__ = KeyError(ground.text), True
    raise_from_run(ground, error)


@planted("results of Lambdas", "an error")
def result(ground):
    ground.patch.setattr(runs, "_run_scheduled", lambda *_: Report("", "failed", error=ground.text))
    assert ground.scene.ingest() == "failed"


@planted("HTTP heads", "a header")
def header(ground):
    ground.patch.setitem(answers.SECURITY, "X-User", ground.text)
    ground.scene.ask(Request(200, "GET", "/health"))


@planted("HTTP bodies", "a page")
def body(ground):
    ground.patch.setattr(manual, "page", lambda _: ground.text)
    ground.scene.ask(Request(200, "GET", "/docs"))


@planted("receipts", "a token")
def receipt(ground):
    erase = people.erase
    ground.patch.setattr(people, "erase", lambda *to: structs.replace(erase(*to), uid_token=ground.text))
    ground.scene.ask(Request(200, "DELETE", f"/users/{uid(1)}"))


@planted("files", "of this process, somewhere")
def written(ground):
    (ground.folder / "seen").write_text(ground.text, encoding="utf-8")


@planted("files", "of another process, somewhere")
def written_elsewhere(ground):
    ground.start(f"open({str(ground.folder / 'seen')!r}, 'w').write({ground.text!r})")


@planted("files", "a name")
def named(ground):
    (ground.scene.system.temporary / ground.text).touch()


@planted("requests to the source", "a header")
def sent(ground):
    ground.patch.setitem(exchange._HEADERS, "X-User", ground.text)
    ground.scene.use_dialect(RANDOM_DATA_API)
    assert ground.scene.ingest() == "failed"


@pytest.mark.parametrize(("sink", "how"), PLANTS, ids=lambda text: text)
def test_a_planted_value_is_found(ground: Ground, sink: str, how: str):
    PLANTS[sink, how](ground)

    assert {leak.sink for leak in ground.scene.leaks([sink])} == {sink}


def test_every_sink_has_a_planted_leak():
    assert {sink for sink, _ in PLANTS} == set(SINKS)
