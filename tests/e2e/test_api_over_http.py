"""The API over HTTP: `chalice local` as `make run` starts it, with well-behaved and hostile clients."""

import contextlib
import csv
import io
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg2
import pytest
import redis

from chalicelib.access import SCOPES, key_hash
from chalicelib.store import Store
from local import settings
from local.folders import ROOT
from local.user_api import UserApi
from tests import curl
from tests.chalice_local import RUN_SECONDS, Server, serving
from tests.conftest import Sql
from tests.integration.api_support import crowd, load
from tests.keys import API_KEY, PII_KEY, pii_keys

FUZZ_SEED = 20260131


@pytest.fixture(scope="module")
def source():
    with UserApi() as running:
        yield running


@pytest.fixture(scope="module")
def chosen(postgres, valkey):
    """The settings of an empty Decant without a source."""
    with contextlib.closing(Sql(postgres.url)) as sql:
        sql.empty()
    with redis.Redis.from_url(valkey.url) as client:
        client.flushall()
    return {
        "DATABASE_URL": postgres.url,
        "REDIS_URL": valkey.url,
        "PII_KEYS": pii_keys({1: PII_KEY}),
        "API_KEYS": json.dumps({key_hash(API_KEY): sorted(SCOPES)}),
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory, chosen, source):
    """A server with two hundred people, and a few rejected records."""
    url = source.url("random-data-api", bad=0.02)
    with serving(tmp_path_factory.mktemp("http"), **chosen, SOURCE_URL=url) as running:
        run = running.run(pages=2, page_size=100)
        assert run["status"] == "succeeded"
        assert run["rejected"] > 0
        yield running


# docs/api.md, section "Try it". A shell runs each command as written; the headers of its answer are kept.

DOCUMENT = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")


def commands():
    """The commands in the document's block, each with the comment above it."""
    block = DOCUMENT.partition("```sh\n")[2].partition("```")[0].replace("\\\n", "")
    comment, found = "", []
    for line in block.splitlines():
        if line.startswith("#"):
            comment = line.removeprefix("# ")
        elif line:
            found.append((comment, line))
    return found


@dataclass(frozen=True)
class Said:
    """The output of a command, and the headers of the answer."""

    text: str
    headers: dict

    @property
    def json(self):
        return json.loads(self.text)


@dataclass
class Terminal:
    """A shell with the document's variables: $DECANT, $KEY, $USER_ID, $RUN_ID."""

    server: Server
    folder: Path
    names: dict

    def __call__(self, command):
        head = self.folder / "head"
        environment = {"PATH": f"{self.folder}:{os.environ['PATH']}", "HOME": str(self.folder), **self.names}
        done = subprocess.run(
            ["/bin/sh", "-c", command.replace("curl ", f"curl -sS -D {head} ", 1)],
            env=environment, capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr}"
        lines = [line.partition(": ") for line in head.read_text().splitlines()[1:] if line]
        return Said(done.stdout, {name.lower(): value for name, _, value in lines})


@pytest.fixture(scope="module")
def terminal(tmp_path_factory, server):
    folder = tmp_path_factory.mktemp("terminal")
    curl.put_into(folder)
    run_id = server.get_json("/runs")["items"][-1]["run_id"]
    someone = server.get_json("/users?limit=1")["items"][0]["uid"]
    names = {"DECANT": server.url, "KEY": API_KEY, "USER_ID": someone, "RUN_ID": run_id}
    return Terminal(server, folder, names)


def health_is_ok(terminal, said):
    assert said.json["status"] == "ok"


def the_document_says_what_can_be_asked(terminal, said):
    assert "/users" in said.json["paths"]


def a_page_leads_to_the_next_by_its_link_header(terminal, said):
    people = said.json["items"]
    assert people
    assert {person["address"]["country"] for person in people} == {"Japan"}
    first = terminal('curl -f -H "Authorization: Bearer $KEY" "$DECANT/users?limit=1"')
    query = re.fullmatch(r'<(\?.+)>; rel="next"', first.headers["link"]).group(1)
    second = terminal(f'curl -f -H "Authorization: Bearer $KEY" "$DECANT/users{query}"')
    assert second.json["items"][0]["uid"] > first.json["items"][0]["uid"]


def the_filters_are_those_that_are_named(terminal, said):
    ((comment, _), *_) = [one for one in commands() if "Filters:" in one[0]]
    document = terminal.server.get_json("/openapi.json")
    taken = {parameter["name"] for parameter in document["paths"]["/users"]["get"]["parameters"]}
    assert set(comment.partition("Filters: ")[2].split()) == taken - {"limit", "cursor"}


def the_table_holds_everyone(terminal, said):
    rows = list(csv.DictReader(io.StringIO(said.text, newline="")))
    assert said.headers["content-type"].startswith("text/csv")
    assert len(rows) == terminal.server.get_json("/stats")["total"]


def each_line_is_a_person(terminal, said):
    assert said.headers["content-type"] == "application/x-ndjson"
    for line in said.text.splitlines():
        assert json.loads(line)["updated_at"] >= "2026-01-01T00:00:00Z"


def a_person_has_a_source_and_an_etag(terminal, said):
    assert said.headers["x-data-source"] in {"redis", "postgres"}
    assert terminal.names["USER_ID"] in said.text
    status, _, body = terminal.server.ask(
        "GET", f"/users/{terminal.names['USER_ID']}", If_None_Match=said.headers["etag"]
    )
    assert (status, body) == (304, b"")


def nobody_has_the_address_and_it_stands_in_no_log(terminal, said):
    assert said.json == {"items": [], "next": None}
    assert "someone" not in terminal.server.log.read_text(encoding="utf-8")


def everyone_is_counted(terminal, said):
    assert said.json["total"] == sum(entry["count"] for entry in said.json["gender"]) > 100


def every_field_has_its_treatment(terminal, said):
    assert {"path": "email", "treatment": "token", "column": "email", "note": ""} in said.json["fields"]


def the_ledger_holds_the_run(terminal, said):
    assert terminal.names["RUN_ID"] in [run["run_id"] for run in said.json["items"]]


def the_run_is_the_one_asked_for(terminal, said):
    assert said.json["run_id"] == terminal.names["RUN_ID"]


def what_was_refused_is_reported_with_the_reason(terminal, said):
    assert said.json["items"]
    assert all(item["issues"] for item in said.json["items"])


def a_run_has_begun(terminal, said):
    run_id = said.json["run_id"]
    assert said.headers["location"] == f"runs/{run_id}"
    deadline = time.monotonic() + RUN_SECONDS
    while (run := terminal.server.get_json(f"/runs/{run_id}"))["status"] == "running":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert (run["status"], run["pages_done"]) == ("succeeded", 2)


def the_run_is_not_in_progress(terminal, said):
    assert said.json["run_id"] == terminal.names["RUN_ID"]
    assert said.json["status"] not in {"running", "skipped"}


def the_person_is_gone_and_does_not_come_back(terminal, said):
    path = f"/users/{terminal.names['USER_ID']}"
    assert (said.json["users"], said.json["addresses"], said.json["cache_cleared"]) == (1, 1, True)
    assert terminal.server.ask("GET", path)[0] == 404
    assert terminal.server.run(pages=2, page_size=100)["suppressed"] == 1
    assert terminal.server.ask("GET", path)[0] == 404


# In the order of the document. The next test fails on a command without a check, or the reverse.
CHECKS = [
    [health_is_ok],
    [the_document_says_what_can_be_asked],
    [a_page_leads_to_the_next_by_its_link_header, the_filters_are_those_that_are_named],
    [the_table_holds_everyone],
    [each_line_is_a_person],
    [a_person_has_a_source_and_an_etag],
    [nobody_has_the_address_and_it_stands_in_no_log],
    [everyone_is_counted],
    [every_field_has_its_treatment],
    [the_ledger_holds_the_run],
    [the_run_is_the_one_asked_for],
    [what_was_refused_is_reported_with_the_reason],
    [a_run_has_begun],
    [the_run_is_not_in_progress],
    [the_person_is_gone_and_does_not_come_back],
]


def test_every_command_of_the_document_has_a_check():
    assert len(commands()) == len(CHECKS) == 15


@pytest.mark.parametrize("number", range(len(CHECKS)), ids=lambda number: CHECKS[number][0].__name__)
def test_a_command_of_the_document_does_what_its_comment_says(terminal, number):
    said = terminal(commands()[number][1])

    for check in CHECKS[number]:
        check(terminal, said)


def test_every_command_of_the_document_fails_if_the_answer_is_a_refusal(terminal):
    """Otherwise success would mean nothing: all of them use -f."""
    assert all("-f" in shlex.split(command) for _, command in commands())
    refused = subprocess.run(
        ["/bin/sh", "-c", commands()[2][1]],
        env={"PATH": f"{terminal.folder}:{os.environ['PATH']}", **terminal.names, "KEY": "guessed"},
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert refused.returncode != 0


def test_make_api_key_makes_a_key_with_the_scopes_and_prints_a_setting_with_only_its_hash(
    tmp_path, chosen, source
):
    """The command that the document names, as the Makefile runs it."""
    (named,) = re.findall(r"`make api-key SCOPES=(\S+)`", DOCUMENT)
    environment = {name: value for name, value in os.environ.items() if name not in settings.NAMES}
    done = subprocess.run(
        [sys.executable, "-m", "local.api_key", "--scopes", named],
        cwd=ROOT, env={**environment, **chosen, "DECANT_LOCAL_DIR": str(tmp_path / "local")},
        capture_output=True, text=True, check=True, timeout=30,
    )  # fmt: skip
    key = re.search(r"decant_\S+", done.stdout).group()
    setting = re.search(r"^API_KEYS='(.+)'$", done.stdout, re.MULTILINE).group(1)

    alone = re.search(r"^{.+}$", done.stdout, re.MULTILINE).group()
    assert json.loads(alone) == {"API_KEYS": {key_hash(key): sorted(named.split(","))}}
    assert key not in setting
    assert json.loads(setting)[key_hash(key)] == sorted(named.split(","))
    with serving(
        tmp_path, **chosen | {"API_KEYS": setting, "SOURCE_URL": source.url("random-data-api")}
    ) as server:
        assert server.ask("GET", "/runs", key=key)[0] == 200
        assert server.ask("POST", "/runs", {"pages": 0}, key=key)[0] == 400
        assert server.ask("DELETE", "/users/00000000-0000-4000-8000-000000000404", key=key)[0] == 403
        assert server.ask("GET", "/runs", key=API_KEY)[0] == 200  # the existing keys stay


def test_a_refusal_is_a_problem_document_with_the_request_id(server):
    status, headers, body = server.ask("GET", "/users?limit=0")

    assert (status, headers["Content-Type"]) == (400, "application/problem+json")
    assert json.loads(body)["request_id"] == headers["X-Request-Id"]


# Raw HTTP


class Connection:
    """One connection. Answers are read one after the other, so a surplus byte would break the next one."""

    def __init__(self, server):
        self._line = socket.create_connection(("127.0.0.1", server.port), timeout=5)
        self._reader = self._line.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._reader.close()
        self._line.close()

    def send(self, method, path, *headers, body=b"", key=API_KEY):
        lines = [
            f"{method} {path} HTTP/1.1",
            "Host: decant",
            f"Authorization: Bearer {key}",
            *headers,
            "",
            "",
        ]
        self.send_raw("\r\n".join(lines).encode() + body)

    def send_raw(self, raw):
        self._line.sendall(raw)

    def answer(self, *, body=True):
        """Status, headers and body; with ``body=False``, no body is read, as there must be none."""
        version, status, _ = self._reader.readline().decode().split(" ", 2)
        assert version == "HTTP/1.1"
        headers = {}
        while line := self._reader.readline().decode().strip():
            name, _, value = line.partition(": ")
            headers[name.lower()] = value
        length = int(headers.get("content-length", 0)) if body else 0
        return int(status), headers, self._reader.read(length)

    def ask(self, method, path, *headers, **how):
        self.send(method, path, *headers, **how)
        return self.answer(body=method != "HEAD")

    def leave(self):
        """Stops sending, but keeps receiving."""
        self._line.shutdown(socket.SHUT_WR)

    def is_over(self):
        """Whether the server has hung up without sending anything more."""
        try:
            return self._reader.read(1) == b""
        except ConnectionResetError:
            return True

    def still_answers(self):
        """Whether the next request gets its own answer."""
        status, _, body = self.ask("GET", "/health")
        return status == 200 and "status" in json.loads(body)


@pytest.fixture
def connection(server):
    with Connection(server) as opened:
        yield opened


@pytest.fixture(scope="module")
def someone(server):
    return f"/users/{server.get_json('/users?limit=1')['items'][0]['uid']}"


def test_head_has_no_body_and_the_headers_of_get(connection, someone):
    for path in (
        "/health",
        "/openapi.json",
        "/users?limit=3",
        someone,
        "/stats",
        "/runs",
        "/users/me",
        "/nowhere",
    ):
        status, headers, body = connection.ask("GET", path)
        assert len(body) > 2
        connection.send("HEAD", path)
        head = connection.answer(body=False)
        assert head[0] == status, path
        assert head[1]["content-type"] == headers["content-type"]
        assert abs(int(head[1]["content-length"]) - len(body)) < 10, path  # ages and ids differ a little
        assert connection.still_answers()


def test_a_304_has_no_body_and_the_connection_stays_usable(connection, someone):
    _, headers, _ = connection.ask("GET", someone)

    for method in ("GET", "HEAD"):
        connection.send(method, someone, f"If-None-Match: {headers['etag']}")
        status, again, _ = connection.answer(body=False)
        assert (status, again["etag"]) == (304, headers["etag"])
        assert again.get("content-length", "0") == "0"
        assert connection.still_answers()


def test_options_has_no_body_and_the_connection_stays_usable(connection):
    status, headers, body = connection.ask("OPTIONS", "/users")

    assert (status, body) == (204, b"")
    assert headers["allow"] == "GET, HEAD, OPTIONS"
    assert connection.still_answers()


def test_after_every_refusal_the_connection_stays_usable(connection):
    for method, path, key, status in (
        ("GET", "/nowhere", API_KEY, 404),
        ("PUT", "/users", API_KEY, 405),
        ("GET", "/users", "guessed", 403),
        ("GET", "/users/me", API_KEY, 400),
        ("DELETE", "/users/me", API_KEY, 400),
    ):
        assert connection.ask(method, path, key=key)[0] == status
        assert connection.still_answers()


def test_a_request_with_a_truncated_body_has_no_effect(connection, server):
    before = server.get_json("/runs?limit=1000")["items"]

    connection.send("POST", "/runs", "Content-Type: application/json", "Content-Length: 20", body=b"{}")
    connection.leave()

    assert connection.answer()[0] == 400
    assert connection.is_over()
    assert [run["run_id"] for run in server.get_json("/runs?limit=1000")["items"]] == [
        run["run_id"] for run in before
    ]


def test_an_unused_body_does_not_break_the_next_request(connection):
    body = b"GET /nowhere HTTP/1.1\r\n\r\n"
    for method, path in (
        ("GET", "/health"),
        ("DELETE", "/users/me"),
        ("PUT", "/users"),
        ("POST", "/nowhere"),
    ):
        connection.ask(method, path, f"Content-Length: {len(body)}", body=body)
        assert connection.still_answers(), method


def test_pipelined_requests_are_answered_in_order(connection):
    paths = ["/health", "/users?limit=1", "/nowhere", "/stats", "/users/me"] * 4
    for path in paths:
        connection.send("GET", path)

    assert [connection.answer()[0] for _ in paths] == [200, 200, 404, 200, 400] * 4


JSON_BODY = "Content-Type: application/json"


def test_a_body_that_is_too_large_is_refused_without_being_read(connection):
    status, headers, body = connection.ask(
        "POST", "/users/lookup", JSON_BODY, "Content-Length: 65537"
    )  # and no body follows

    assert (status, headers["content-type"]) == (413, "application/problem+json")
    assert json.loads(body)["request_id"] == headers["x-request-id"]
    assert headers["connection"] == "close"
    assert connection.is_over()


def test_a_body_of_sixty_four_kilobytes_is_read(connection):
    body = b'{"email": "a@b.cd"}'.ljust(65_536)

    assert connection.ask("POST", "/users/lookup", JSON_BODY, "Content-Length: 65536", body=body)[0] == 200
    assert connection.still_answers()


def test_expect_100_continue_with_too_large_a_body_is_refused(connection):
    status, *_ = connection.ask("POST", "/runs", JSON_BODY, "Content-Length: 70000", "Expect: 100-continue")

    assert status == 413


def test_expect_100_continue_with_a_body_that_fits_is_accepted(connection):
    connection.send("POST", "/runs", JSON_BODY, "Content-Length: 12", "Expect: 100-continue")
    assert connection.answer()[0] == 100
    connection.send_raw(b'{"pages": 0}')

    assert connection.answer()[0] == 400
    assert connection.still_answers()


@pytest.mark.parametrize(
    "length",
    ["-1", "abc", "1e1", "+5", "0x5", "5, 5", "5;", "", " ", "²", "9" * 20, "9" * 5_000],
    ids=lambda n: n[:9],
)
def test_an_invalid_length_is_refused_and_the_connection_ends(server, connection, length):
    status, headers, body = connection.ask(
        "POST", "/runs", JSON_BODY, f"Content-Length: {length}", body=b"hello"
    )

    assert status in {400, 411, 413}
    assert headers["content-type"] == "application/problem+json"
    assert json.loads(body)["status"] == status
    assert connection.is_over()
    assert server.ask("GET", "/health")[0] == 200


def test_two_lengths_that_differ_are_refused(connection):
    """A proxy in front may have used the other one (request smuggling)."""
    lengths = ("Content-Length: 2", "Content-Length: 40")
    status, *_ = connection.ask(
        "POST", "/runs", JSON_BODY, *lengths, body=b"{}GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n"
    )

    assert 400 <= status < 500
    assert connection.is_over()


@pytest.mark.parametrize("coding", ["chunked", "Chunked", "gzip, chunked", "identity"])
def test_a_chunked_body_is_refused_and_not_read_as_a_request(connection, coding):
    chunks = b'c\r\n{"pages": 0}\r\n0\r\n\r\nGET /health HTTP/1.1\r\nHost: x\r\n\r\n'

    status, headers, _ = connection.ask(
        "POST", "/runs", JSON_BODY, f"Transfer-Encoding: {coding}", body=chunks
    )

    assert (status, headers["content-type"]) == (411, "application/problem+json")
    assert connection.is_over()


def test_chunks_and_a_length_together_are_refused(connection):
    status, *_ = connection.ask(
        "POST", "/runs", JSON_BODY, "Content-Length: 2", "Transfer-Encoding: chunked", body=b"{}"
    )

    assert 400 <= status < 500
    assert connection.is_over()


NO_HTTP = {
    "a method that nobody knows": b"HUSH /users HTTP/1.1\r\nHost: x\r\n\r\n",
    "a version to come": b"GET /hush HTTP/9.9\r\nHost: x\r\n\r\n",
    "no version": b"GET /hush hush HTTP/1.1\r\n\r\n",
    "a path that is too long": b"GET /" + b"hush" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a header that is too long": b"GET /health HTTP/1.1\r\nHush: " + b"hush" * 20_000 + b"\r\n\r\n",
    "too many headers": b"GET /health HTTP/1.1\r\n" + b"Hush: hush\r\n" * 200 + b"\r\n",
}


@pytest.mark.parametrize("what", NO_HTTP)
def test_an_invalid_request_is_refused_with_a_problem_and_not_repeated(server, connection, what):
    connection.send_raw(NO_HTTP[what])
    status, headers, body = connection.answer()

    assert 400 <= status <= 505
    assert b"hush" not in body.lower()
    assert headers["content-type"] == "application/problem+json"
    assert server.ask("GET", "/health")[0] == 200


def test_binary_data_ends_the_connection_and_not_the_server(server):
    for raw in (
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"\r\n" * 10,
        b"\x00" * 100 + b"\r\n",
    ):
        with Connection(server) as connection:
            connection.send_raw(raw)
    assert server.ask("GET", "/health")[0] == 200


def test_a_client_that_hangs_up_midway_does_no_harm(server):
    for raw in (
        b"POST /runs HTTP/1.1\r\nContent-Length: 100\r\n\r\n{",
        b"GET /users?limit=1000 HTTP/1.1\r\nAuthorization: Bearer " + API_KEY.encode() + b"\r\n\r\n",
        b"GET /use",
        b"",
    ):
        for _ in range(5):
            with Connection(server) as connection:
                connection.send_raw(raw)
    assert server.ask("GET", "/health")[0] == 200


def test_answers_on_a_persistent_connection_are_not_delayed(connection):
    """Without TCP_NODELAY, a body sent in a packet after its head would be delayed by 40 ms."""
    took = []
    for _ in range(15):
        began = time.monotonic()
        assert connection.still_answers()
        took.append(time.monotonic() - began)

    assert min(took[1:]) < 0.03


def test_concurrent_clients_each_get_their_own_answer(server):
    everyone = [item["uid"] for item in server.get_json("/users?limit=100")["items"]]

    def read(number):
        who = everyone[number % len(everyone)]
        status, _, body = server.ask("GET", f"/users/{who}")
        return status == 200 and json.loads(body)["uid"] == who

    with ThreadPoolExecutor(24) as threads:
        assert all(threads.map(read, range(240)))


def test_killing_redis_under_load_affects_only_latency(server, valkey):
    everyone = [item["uid"] for item in server.get_json("/users?limit=20")["items"]]
    ended = threading.Event()

    def read(number):
        seen = []
        while not ended.is_set():
            began = time.monotonic()
            status, _, body = server.ask("GET", f"/users/{everyone[number]}")
            seen.append((status, json.loads(body).get("uid") == everyone[number], time.monotonic() - began))
        return seen

    with ThreadPoolExecutor(8) as threads:
        reading = [threads.submit(read, number) for number in range(8)]
        time.sleep(0.5)
        os.kill(valkey.pid, signal.SIGKILL)
        time.sleep(1)
        health = server.get_json("/health")
        ended.set()
        answers = [answer for one in reading for answer in one.result(10)]
    valkey.stop()
    valkey.start()

    assert {(status, right) for status, right, _ in answers} == {(200, True)}
    assert max(took for _, _, took in answers) < 3
    assert len(answers) > 100
    assert health["status"] == "degraded"


def test_the_log_of_all_this_is_lines_of_json_and_holds_nothing_that_was_sent(server):
    log = server.log.read_text(encoding="utf-8")

    for line in filter(None, log.splitlines()):
        assert line.startswith(("{", "Serving on http://127.0.0.1:")), line
    for sent in ("hush", "someone", API_KEY, "guessed", "a@b.cd", "nowhere", "/users/0", "/users/me"):
        assert sent not in log


# Schemathesis tries every operation with examples, at the bounds, with valid and invalid input, and in
# sequences. It fails on a server error, an undocumented status or an undocumented answer.


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory, postgres, chosen, source):
    """A separate server with a hundred people, over a source that refuses: a started run ends immediately."""
    with contextlib.closing(psycopg2.connect(postgres.url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute("DROP DATABASE IF EXISTS fuzz WITH (FORCE)")
        cursor.execute("CREATE DATABASE fuzz")
    separate = {
        "DATABASE_URL": postgres.url.removesuffix("/postgres") + "/fuzz",
        "REDIS_URL": chosen["REDIS_URL"].removesuffix("/0") + "/1",
        "SOURCE_URL": source.url("random-data-api", fault="status-404"),
    }
    with contextlib.closing(Store(separate["DATABASE_URL"])) as store:
        store.migrate()
        load(store, *crowd(100))
    with serving(tmp_path_factory.mktemp("fuzz"), **chosen | separate) as running:
        yield running


def fuzz(server, folder, examples, *options):
    schemathesis = Path(sys.executable).with_name("schemathesis")
    return subprocess.run(
        [
            schemathesis, "run", f"{server.url}/openapi.json", "--checks", "all", "--no-color",
            "--max-examples", str(examples), "--seed", str(FUZZ_SEED), "--continue-on-failure",
            "--generation-database", "none", "--request-timeout", "10", *options,
        ],
        cwd=folder, env={"PATH": os.defpath, "HOME": str(folder)}, capture_output=True, text=True,
        check=False, timeout=110,
    )  # fmt: skip


def test_schemathesis_finds_nothing_with_the_key(fuzzed, tmp_path):
    done = fuzz(fuzzed, tmp_path, 25, "--header", f"Authorization: Bearer {API_KEY}")

    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr
    assert fuzzed.ask("GET", "/health")[0] == 200


def test_schemathesis_finds_nothing_without_a_key(fuzzed, tmp_path):
    done = fuzz(fuzzed, tmp_path, 3, "--phases", "examples,coverage,fuzzing")

    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr


def test_after_fuzzing_the_log_holds_no_traceback_and_no_error_of_ours(fuzzed):
    log = fuzzed.log.read_text(encoding="utf-8")

    assert "Traceback" not in log
    assert "Unforeseen" not in log
    assert '"Errors":1' not in log
