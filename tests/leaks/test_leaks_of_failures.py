"""A failure between the source and the end of a run reveals nothing of the records being processed."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock
from urllib.parse import urlsplit

import psycopg2
import pytest
import redis
from tenacity import stop_after_attempt

from chalicelib import prepare, privacy, quarantine, retries, store, views, wiring
from tests.builders import Api
from tests.leaks.canaries import leaves
from tests.leaks.faults import DAWDLE, REFUSE, REFUSED_TABLES, RELENT, SQLSTATES, spoiled
from tests.leaks.scene import Scene, under_all_settings
from tests.leaks.source import Answer, answer

PATIENCE_SECONDS = 30

Act = Callable[[int], object]  # what is done to a session, given its process id

# Every step of a run, as the function to replace by a defect.
STEPS = (
    (prepare, "validate"),
    (prepare, "clean"),
    (privacy, "protect"),
    (privacy.Tokeniser, "all_candidates"),
    (privacy.Tokeniser, "fingerprint"),
    (store.Store, "load_page"),
    (views, "user_drafts"),
    (views, "user_bodies"),
    (quarantine.Quarantine, "seal"),  # last: there is not always a quarantine
)


def a_few(scene: Scene, api: Api, case: str) -> list[dict[str, Any]]:
    """People, few enough of them spoiled for the rest to be loaded."""
    return [*scene.canaries.people(api, case, 5), *spoiled(scene.canaries, api, 1)]


def revealing_error(text: str) -> Exception:
    """With the text in its arguments, attributes, notes, cause and context, and in those of its group."""
    try:
        try:
            raise LookupError(text)
        except LookupError:
            raise RuntimeError(text) from KeyError(text)
    except RuntimeError as error:
        error.add_note(text)
        error.value = text
        return ExceptionGroup(text, [error])


@under_all_settings
def test_defects(scene: Scene, api: Api, chosen: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    for owner, step in STEPS if chosen else STEPS[:-1]:
        scene.use_dialect(api)
        people = a_few(scene, api, f"a defect in {step}")
        error = revealing_error(json.dumps(people))
        with monkeypatch.context() as patched:
            patched.setattr(owner, step, mock.Mock(side_effect=error))
            page = Answer(answer(api.page(*people)))
            assert scene.ingest(page) == scene.ingest_queued(page) == "Unforeseen", step

    assert scene.leaks() == []


@pytest.fixture
def refuse(sql) -> Iterator[Callable[[str, str], None]]:
    """Makes a table refuse every row with a SQLSTATE."""
    yield lambda table, sqlstate: sql(REFUSE.format(table=table, sqlstate=sqlstate))
    sql(RELENT)


def test_postgres_refuses(scene: Scene, api: Api, sql, refuse, monkeypatch):
    """The rows in its errors hold tokens and kept values, which no log may contain either."""
    scene.use_dialect(api)
    people = a_few(scene, api, "refused")
    monkeypatch.setattr(retries.retrying(), "stop", stop_after_attempt(1))
    for table in REFUSED_TABLES:
        for sqlstate in SQLSTATES if table == "users" else SQLSTATES[::6]:
            refuse(table, sqlstate)
            ended = scene.ingest_page(api, *people)
            assert ended in ({"StoreError", "StoreUnavailable"} if table == "runs" else {"failed"}), sqlstate
            if table != "runs":
                ((error,),) = sql("SELECT error FROM runs ORDER BY started_at DESC LIMIT 1")
                assert sqlstate in error
        sql(RELENT)

    assert sql("SELECT count(*) FROM users") == [(0,)]
    assert scene.leaks() == []


@pytest.fixture
def while_loading(sql) -> Iterator[Callable[[Act], contextlib.AbstractContextManager[None]]]:
    """Makes loads hang in Postgres until something is done to them."""
    sql(DAWDLE)

    def do(act: Act) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        asleep = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        while not (found := sql(asleep)):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        act(found[0][0])

    @contextlib.contextmanager
    def meanwhile(act: Act) -> Iterator[None]:
        thread = threading.Thread(target=do, args=(act,))
        thread.start()
        yield
        thread.join()

    yield meanwhile
    answers_again(sql)
    sql(RELENT)


def answers_again(sql: Any) -> None:
    """Waits until no load hangs: Postgres recovers from a killed session, and a terminated one ends late."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        sql.close()
        with contextlib.suppress(psycopg2.Error):
            if not sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"):
                return
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_postgres_ends_in_the_middle_of_a_load(scene: Scene, api: Api, sql, while_loading, monkeypatch):
    scene.use_dialect(api)
    people = a_few(scene, api, "a session that ended")
    monkeypatch.setattr(retries.retrying(), "stop", stop_after_attempt(1))

    with while_loading(lambda pid: sql("SELECT pg_cancel_backend(%s)", pid)):
        assert scene.ingest_page(api, *people) == "failed"
    with while_loading(lambda pid: sql("SELECT pg_terminate_backend(%s)", pid)):
        assert scene.ingest_page(api, *people) == "failed"
    with monkeypatch.context() as patched:
        for query in ("load_page", "finish_run"):
            patched.setitem(store._SECONDS, query, 0.2)
        assert scene.ingest_page(api, *people) == "StoreUnavailable"
    answers_again(sql)
    with while_loading(lambda pid: os.kill(pid, signal.SIGKILL)):
        assert scene.ingest_page(api, *people) in {"failed", "StoreUnavailable"}
    answers_again(sql)

    assert sql("SELECT count(*) FROM users") == [(0,)]
    assert scene.leaks() == []


# Faults of a running Redis, and how each is undone.
REDIS_FAULTS = {
    "no memory": ("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0"),
    "read only": ("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE"),
    "no permission": ("ACL SETUSER default -script -evalsha", "ACL SETUSER default +@all"),
    "wrong password": ("ACL SETUSER default resetpass >another", "ACL SETUSER default resetpass >{password}"),
}


def test_redis_refuses(scene: Scene, api: Api, redis_client: redis.Redis, redis_down):
    """Its errors repeat commands, which contain stored people."""
    password = urlsplit(scene.system.valkey.url).password
    for name, (fault, remedy) in REDIS_FAULTS.items():
        scene.use_dialect(api)
        people = a_few(scene, api, f"Redis with {name}")
        redis_client.execute_command(*fault.split())
        try:
            assert scene.ingest_page(api, *people) == "succeeded", name
        finally:
            redis_client.execute_command(*remedy.format(password=password).split())
        assert wiring.cache().counts["errors"] == 1, name

    scene.use_dialect(api)
    people = a_few(scene, api, "Redis with another type")
    for person in people:
        redis_client.rpush(f"user:{uid_in(api, person)}", "another type")
    assert scene.ingest_page(api, *people) == "succeeded"
    assert wiring.cache().counts["errors"] == 1

    scene.use_dialect(api)
    people = a_few(scene, api, "Redis that hangs")
    os.kill(scene.system.valkey.pid, signal.SIGSTOP)
    try:
        assert scene.ingest_page(api, *people) == "succeeded"
    finally:
        os.kill(scene.system.valkey.pid, signal.SIGCONT)
    assert wiring.cache().counts["errors"] == 1

    leaks = scene.leaks()  # before its log is started anew
    with redis_down():
        scene.use_dialect(api)
        assert scene.ingest_page(api, *people) == "succeeded"
    assert leaks + scene.leaks() == []


def uid_in(api: Api, person: dict[str, Any]) -> str:
    return next(str(value) for path, value in leaves(person) if path == api.uid)
