"""No raw value, of a stored person or of a request, is in an answer of the HTTP API or in the server's log.

Every request is sent twice: to Chalice's test client, whose log records and errors are all visible, and to
`chalice local`, which parses HTTP itself and has its own output.
"""

import contextlib
import http.client
import json
import socket
import time
from collections.abc import Callable, Iterable

import pytest

from tests.builders import RANDOM_DATA_API
from tests.leaks.faults import spoiled
from tests.leaks.revealing_requests import Request, look_ups, no_http, out_of_place, reads
from tests.leaks.scene import Scene
from tests.leaks.source import Answer, answer

RUN_SECONDS = 30

Ask = Callable[[Request], tuple[int, bytes]]


@pytest.fixture(params=["test client", "chalice local"])
def ask(request: pytest.FixtureRequest, scene: Scene) -> Iterable[Ask]:
    """Sends a request and notes the whole answer; returns its status and body."""
    scene.use_dialect(RANDOM_DATA_API)
    if request.param == "test client":
        yield scene.ask
    else:
        with scene.system.serving(scene.environment) as port:
            yield lambda sent: _ask_server(scene, port, sent)


def _ask_server(scene: Scene, port: int, sent: Request) -> tuple[int, bytes]:
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    with contextlib.closing(line):
        line.request(sent.method, sent.target, sent.body or None, sent.all_headers)
        answered = line.getresponse()
        body = answered.read()
    head = f"{answered.status} {answered.reason}\n{answered.headers}"
    scene.system.note_answer(f"{sent.method} answered", head, body)
    return answered.status, body


def _answer_to(port: int, raw: bytes) -> bytes:
    """The first answer of several tries. A server that answers before reading everything resets the
    connection, and the reset may overtake the answer."""
    return next(filter(None, (_send(port, raw) for _ in range(20))), b"")


def _send(port: int, raw: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as line:
        line.sendall(raw)
        answered = b""
        with contextlib.suppress(OSError):  # the server answers without reading to the end
            line.shutdown(socket.SHUT_WR)
            while received := line.recv(65_536):
                answered += received
    return answered


def statuses(ask: Ask, requests: Iterable[Request]) -> list[tuple[Request, int]]:
    """The requests that did not get the expected status."""
    return [(sent, status) for sent in requests if (status := ask(sent)[0]) != sent.status]


def test_whatever_is_asked(scene: Scene, ask: Ask, sql):
    people = scene.canaries.people(RANDOM_DATA_API, "stored", 5)
    page = RANDOM_DATA_API.page(*people, *spoiled(scene.canaries, RANDOM_DATA_API, 1))
    run_id = a_run(ask, scene, page)
    person = people[0]

    assert statuses(ask, reads(person, run_id)) == []
    assert statuses(ask, look_ups(person)) == []
    assert statuses(ask, out_of_place(scene.canaries.text("out of place"))) == []
    found = [ask(sent)[1] for sent in look_ups(person)[:7]]
    assert [len(json.loads(body)["items"]) for body in found] == [1] * 7

    assert statuses(ask, [Request(200, "DELETE", f"/users/{person['uid']}")] * 2) == []
    a_run(ask, scene, page)
    assert sql("SELECT suppressed FROM runs ORDER BY started_at DESC LIMIT 1") == [(1,)]
    assert scene.leaks() == []


def a_run(ask: Ask, scene: Scene, page: bytes) -> str:
    """Starts a run over HTTP and waits for its end; returns its id."""
    scene.system.source.script(Answer(answer(page)))
    status, body = ask(Request(202, "POST", "/runs", b'{"pages": 1}'))
    assert status == 202
    run_id = str(json.loads(body)["run_id"])
    deadline = time.monotonic() + RUN_SECONDS
    while (run := json.loads(ask(Request(200, "GET", f"/runs/{run_id}"))[1]))["status"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert run["status"] == "succeeded"
    return run_id


def test_invalid_http(scene: Scene):
    scene.use_dialect(RANDOM_DATA_API)
    with scene.system.serving(scene.environment) as port:
        answered = [_answer_to(port, raw) for raw in no_http(scene.canaries.text("no HTTP"))]
    for one in answered:
        head, _, body = one.partition(b"\r\n\r\n")
        scene.system.note_answer("no HTTP answered", head.decode(), body)

    assert [one for one in answered if not one.startswith(b"HTTP/1.")] == []
    assert scene.leaks() == []


def test_servers_that_fail(scene: Scene, ask: Ask, sql, redis_client, redis_down, postgres_down):
    person, *others = scene.canaries.people(RANDOM_DATA_API, "stored, and cannot be read", 5)
    a_run(ask, scene, RANDOM_DATA_API.page(person, *others))
    asked = [*look_ups(person)[:8], Request(200, "GET", "/users"), Request(200, "GET", "/stats")]
    redis_client.flushall()
    redis_client.rpush(f"user:{person['uid']}", "another type")
    assert statuses(ask, [Request(200, "GET", f"/users/{person['uid']}")]) == []

    sql("ALTER TABLE users RENAME TO moved")
    try:
        assert {ask(sent)[0] for sent in asked} == {500}
    finally:
        sql("ALTER TABLE moved RENAME TO users")
    leaks = scene.leaks()  # before the servers' logs are started anew
    with redis_down():
        assert statuses(ask, asked) == []
    with postgres_down():
        assert {ask(sent)[0] for sent in asked} == {503}

    assert leaks + scene.leaks() == []
