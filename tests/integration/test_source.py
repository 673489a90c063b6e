"""The client of the user APIs over real HTTP: against the stand-in, and against hostile servers."""

import contextlib
import gzip
import json
import logging
import socket
import ssl
import threading
import time
import tracemalloc
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import parse_qs, urlsplit

import pytest
import trustme

from chalicelib import sources
from chalicelib.errors import SourceBusy, SourceError, SourceInvalid, SourceUnavailable, Stopped
from chalicelib.paging import Paging
from chalicelib.sources import random_data_api
from chalicelib.sources.client import Source
from chalicelib.sources.exchange import Limits, Reply
from local.processes import free_port
from local.user_api import ROUTES
from tests.builders import paged
from tests.waiting import seconds_of

DIALECTS = {name: sources.named(name) for name in ROUTES}
LIMITS = Limits(
    connect=0.5, read=0.4, page=1.2, attempts=4, pause=0.02, longest_pause=0.1, body_bytes=1_000_000
)
PATIENCE_SECONDS = 3  # a fetch may take the page's 1.2 seconds, plus a last read timeout of 0.4
OK = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
both = pytest.mark.parametrize("dialect", DIALECTS)


@pytest.fixture
def source_of() -> Iterator[Callable[..., Source]]:
    """Makes sources, and closes them after the test."""
    with contextlib.ExitStack() as opened:

        def make(
            url: str,
            limits: Limits = LIMITS,
            dialect: str = "random-data-api",
            authorization: str | None = None,
        ) -> Source:
            source = Source(url, DIALECTS[dialect], limits, authorization)
            opened.callback(source.close)
            return source

        yield make


@pytest.fixture
def stand_in(user_api, source_of) -> Callable[..., Source]:
    """A source that uses the stand-in, with this query in its URL."""
    return lambda limits=LIMITS, dialect="random-data-api", **query: source_of(
        user_api.url(dialect, **query), limits, dialect
    )


class HostileServer:
    """A server that runs ``talk`` on each connection, whatever the request; for a few seconds."""

    def __init__(self, talk: Callable[["HostileServer"], None]) -> None:
        self._talk = talk
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.settimeout(0.05)
        self._client: socket.socket
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve)
        self._until = time.monotonic() + PATIENCE_SECONDS + 0.5
        self.connections = self.bytes_sent = 0
        self.heard = b""
        self.url = f"http://127.0.0.1:{self._listening.getsockname()[1]}/users"

    def __enter__(self) -> "HostileServer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
        self._listening.close()

    def say(self, words: bytes, pause: float = 0) -> None:
        self._client.settimeout(1)
        self._client.sendall(words)
        self._client.settimeout(0.05)
        self.bytes_sent += len(words)
        if self._over.wait(pause) or time.monotonic() > self._until:
            raise OSError("it is over")

    def listen(self) -> bytes:
        """Returns one request, or nothing if the client has hung up."""
        while not self._over.is_set():
            with contextlib.suppress(TimeoutError):
                return self._client.recv(65_536)
        return b""

    def encrypt(self, context: ssl.SSLContext) -> socket.socket:
        """Continues over TLS; the caller closes the socket."""
        self._client.settimeout(1)
        self._client = context.wrap_socket(self._client, server_side=True)
        return self._client

    def _serve(self) -> None:
        while not self._over.is_set() and time.monotonic() < self._until:
            with contextlib.suppress(OSError):  # the client hung up, or the test is over
                self._client, _ = self._listening.accept()
                self.connections += 1
                with self._client:
                    self._client.settimeout(0.05)
                    self.heard = self.listen()
                    self._talk(self)


def error_of_fetch(source: Source) -> SourceError:
    """The error of a fetch that must fail in time."""
    started = time.monotonic()
    with pytest.raises(SourceError) as failed:
        source.fetch(1, 3, {"after": "hush-cursor"})
    assert time.monotonic() - started < PATIENCE_SECONDS
    return failed.value


def records(body: bytes, dialect: str = "random-data-api"):
    page = json.loads(body)
    return page if dialect == "random-data-api" else page["results"]


# A page


@both
def test_a_page_is_what_the_api_sent_byte_for_byte(user_api, stand_in, dialect):
    source = stand_in(dialect=dialect, seed="s")

    body = source.fetch(3, 7)

    size_name = {"random-data-api": "size", "randomuser": "results"}[dialect]
    same_query = Paging(lambda page, size: {"seed": "s", "page": 3, size_name: 7})
    direct = Source(user_api.url(dialect), replace(source.dialect, paging=same_query))
    with contextlib.closing(direct):
        assert body == direct.fetch(1, 1)
    assert len(records(body, dialect)) == 7


def linked(monkeypatch, next_link=True):
    monkeypatch.setitem(DIALECTS, "linked", paged(random_data_api.DIALECT, next_link=next_link))


@pytest.mark.parametrize(
    ("header", "following"),
    [
        ('<https://api.example/users?after=a%2Bb&limit=2>; rel="next"', {"after": ["a+b"], "limit": ["2"]}),
        ('</users?page=1>; rel="prev", <?page=3&empty=>; rel="next"', {"page": ["3"], "empty": [""]}),
        ("<https://elsewhere.example/?page=3>; rel=next", {"page": ["3"]}),
        ('<?page=3&role=a&role=b>; REL="last Next"; title="x"', {"page": ["3"], "role": ["a", "b"]}),
        ('<?page=3>; title="page=3; rel=x"; cursor=abc==; rel="next"', {"page": ["3"]}),
        ('<?after=a;b,c&page=3>;rel="next";results="true"', {"after": ["a;b,c"], "page": ["3"]}),
        ('<?page=3>; title="a, \\"<?page=9>; rel=next"; rel=next', {"page": ["3"]}),
        ('<?page=1>; rel="prev"; title="5" x", <?age=>1&page=3>; rel=next', {"age": [">1"], "page": ["3"]}),
        ("<?page=3> ;\trel='last next' ; results=true", {"page": ["3"]}),
        ('<?page=3>; title = "a, <b"; rel = next', {"page": ["3"]}),
        ('<?page=1>; rel="prev, <?page=3>; rel=next', {"page": ["3"]}),
        ('<?page=1>; rel="prev" <?page=3>; rel="next"', {"page": ["3"]}),
        ("< ?page=3 >; rel=next, <?page=9>; rel=next", {"page": ["3"]}),
        ("<?page=3>; rel=next; rel=prev", {"page": ["3"]}),
        ("<?page=1>; rel=prev; rel=next", None),
        ('</users?page=1>; rel="prev"', None),
        ('<?page=3>; title="; rel=next"', None),
        ('<?page=3>; title*="; rel=next"', None),
        ("", None),
    ],
)
def test_a_link_header_leads_to_the_next_page(user_api, source_of, monkeypatch, header, following):
    linked(monkeypatch)
    source = source_of(user_api.url("random-data-api"), dialect="linked")
    user_api.script(b"[]", headers={"Content-Type": "application/json", "Link": header})

    body = source.fetch(1, 2)

    assert body == b"[]"
    assert source.dialect.cursor_after(body) == following


@pytest.mark.parametrize("part", ["<", ">", "> ", '"', '\\"', "; ", ";a ", '="', '<a>; rel="prev", <'])
def test_a_hostile_link_header_takes_no_time(user_api, source_of, monkeypatch, part):
    linked(monkeypatch)
    source = source_of(user_api.url("random-data-api"), dialect="linked")
    header = "<a>;" + part * (60_000 // len(part))
    user_api.script(b"[]", headers={"Content-Type": "application/json", "Link": header})

    assert seconds_of(lambda: source.fetch(1, 2)) < PATIENCE_SECONDS


@pytest.mark.parametrize("next_link", [True, lambda page: page[0]["next"]])
def test_the_query_of_a_link_replaces_the_dialects_and_that_of_the_url_and_goes_to_no_other_host(
    user_api, source_of, monkeypatch, next_link
):
    linked(monkeypatch, next_link)
    source = source_of(user_api.url("random-data-api", key="k", active="1"), dialect="linked")
    address = "https://elsewhere.example/x?page=7&active=1&after=b"
    header = {"Link": f'<{address}>; rel="next"'} if next_link is True else {}
    user_api.script(
        json.dumps([{"next": address}]).encode(), headers={"Content-Type": "application/json", **header}
    )

    source.fetch(2, 5, source.dialect.cursor_after(source.fetch(1, 5)))

    ((_, first), (_, second)) = user_api.requests
    once = {"key": ["k"], "active": ["1"], "page": ["7"], "after": ["b"]}
    assert parse_qs(urlsplit(second).query) == once
    assert urlsplit(second).path == urlsplit(first).path


@pytest.mark.parametrize("address", ["https://[x/u?c=hush", "https://api.example/hush", ""])
def test_a_malformed_address_in_a_link_is_an_error_of_the_page(user_api, source_of, monkeypatch, address):
    linked(monkeypatch)
    link = f'<{address}>; rel="next"'
    user_api.script(b"[]", headers={"Content-Type": "application/json", "Link": link})

    error = error_of_fetch(source_of(user_api.url("random-data-api"), dialect="linked"))

    assert isinstance(error, SourceInvalid)
    assert str(error) == "page 1: the next address in its Link header is malformed or has no query"


def test_a_link_header_without_an_address_is_no_end(user_api, source_of, monkeypatch):
    linked(monkeypatch)
    link = 'https://api.example/?page=2; rel="next"'
    user_api.script(b"[]", headers={"Content-Type": "application/json", "Link": link})

    error = error_of_fetch(source_of(user_api.url("random-data-api"), dialect="linked"))

    assert isinstance(error, SourceInvalid)
    assert str(error) == "page 1: its Link header holds no address in angle brackets"


@pytest.fixture
def authorization_of(source_of, monkeypatch, tmp_path):
    """The headers with a key that a source sends to a remote host, which a user's .netrc names too."""
    (tmp_path / "netrc").write_text("default login nobody password nothing")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))

    def fetch(url, **options):
        heard = []

        def talk(peer):
            heard.append(peer.heard)
            peer.say(OK + b"Content-Length: 2\r\n\r\n[]")

        with HostileServer(talk) as proxy:
            monkeypatch.setenv("http_proxy", proxy.url)
            source_of(url, **options).fetch(1, 1)
        lines = [line for one in heard for line in one.split(b"\r\n")]
        return [line for line in lines if line.startswith((b"Authorization", b"X-Api-Key"))]

    return fetch


def test_a_configured_authorization_header_wins_over_the_user_in_the_url(authorization_of):
    sent = authorization_of("http://user:password@users.example/", authorization="Bearer of-the-source")

    assert sent == [b"Authorization: Bearer of-the-source"]


def test_a_dialect_names_another_header_for_the_key(authorization_of, monkeypatch):
    keyed = replace(random_data_api.DIALECT, authorization_header="X-Api-Key")
    monkeypatch.setitem(DIALECTS, "keyed", keyed)

    sent = authorization_of("http://user:password@users.example/", dialect="keyed", authorization="secret")

    assert sent == [b"X-Api-Key: secret"]


def test_a_dialects_own_headers_are_sent_and_win_over_the_clients(source_of, monkeypatch):
    own = {"X-Api-Version": "2", "accept": "application/vnd.api+json"}
    monkeypatch.setitem(DIALECTS, "versioned", replace(random_data_api.DIALECT, headers=own))
    heard = []

    def talk(peer):
        heard.extend(peer.heard.lower().split(b"\r\n"))
        peer.say(OK + b"Content-Length: 2\r\n\r\n[]")

    with HostileServer(talk) as server:
        source_of(server.url, dialect="versioned", authorization="Bearer of-the-source").fetch(1, 1)

    assert {b"x-api-version: 2", b"authorization: bearer of-the-source", b"user-agent: decant"} <= {*heard}
    assert [line for line in heard if line.startswith(b"accept:")] == [b"accept: application/vnd.api+json"]


def test_a_posted_query_is_a_json_body_with_the_cursor_in_it(source_of, monkeypatch):
    def query(page, size):
        return {"query": "{ users }", "variables": {"first": size, "page": page}}

    posted = replace(
        random_data_api.DIALECT, paging=Paging(query, method="POST"), headers={"X-Api-Version": "2"}
    )
    monkeypatch.setitem(DIALECTS, "posted", posted)
    heard = []

    def talk(peer):
        heard.append(peer.heard if peer.heard.endswith(b"}") else peer.heard + peer.listen())
        if len(heard) > 1:
            peer.say(OK + b"Content-Length: 2\r\n\r\n[]")  # the first request gets no answer

    with HostileServer(talk) as server:
        source = source_of(f"{server.url}?key=k", dialect="posted", authorization="Bearer of-the-source")
        assert source.fetch(2, 5, {"variables": {"after": "ü"}}) == b"[]"

    assert len(heard) == 2
    for request in heard:
        head, _, body = request.partition(b"\r\n\r\n")
        assert head.startswith(b"POST /users?key=k HTTP/1.1\r\n")
        lines = {
            b"content-type: application/json",
            b"authorization: bearer of-the-source",
            b"x-api-version: 2",
        }
        assert lines <= set(head.lower().split(b"\r\n"))
        variables = {"first": 5, "page": 2, "after": "ü"}
        assert json.loads(body) == {"query": "{ users }", "variables": variables}


def test_json_is_asked_for_and_may_be_compressed(source_of):
    heard = []

    def talk(peer):
        heard.extend(peer.heard.lower().split(b"\r\n"))
        peer.say(OK + b"Content-Length: 2\r\n\r\n[]")

    with HostileServer(talk) as server:
        source_of(server.url).fetch(1, 1)

    assert {b"accept: application/json", b"user-agent: decant"} <= {*heard}
    (encodings,) = [line for line in heard if line.startswith(b"accept-encoding:")]
    assert b"gzip" in encodings


def test_the_user_in_the_url_wins_over_a_netrc(authorization_of):
    sent = authorization_of("http://user:password@users.example/")

    assert sent == [b"Authorization: Basic " + b64encode(b"user:password")]


def test_no_password_of_a_netrc_is_sent(authorization_of):
    assert authorization_of("http://users.example/") == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_no_proxy_is_used_for_this_machine(user_api, source_of, monkeypatch, host):
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")

    assert source_of(user_api.url("random-data-api").replace("127.0.0.1", host)).fetch(1, 1)


def test_a_proxy_is_used_for_other_machines(source_of, monkeypatch):
    with HostileServer(lambda peer: peer.say(OK + b"Content-Length: 2\r\n\r\n[]")) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)

        assert source_of("http://users.example/").fetch(1, 1) == b"[]"


@both
def test_page_and_size_are_added_to_the_urls_own_query(user_api, stand_in, dialect):
    stand_in(dialect=dialect, seed="a b&c", bad="0.5").fetch(3, 7)

    ((method, target),) = user_api.requests
    size = "size=7&page=3" if dialect == "random-data-api" else "results=7&page=3"
    assert method == "GET"
    assert target.endswith(f"?seed=a+b%26c&bad=0.5&{size}")


def test_a_cursor_is_added_to_the_query_and_wins(user_api, stand_in):
    stand_in(seed="s").fetch(2, 7, {"page": 3, "after": "a b&c"})

    ((_, target),) = user_api.requests
    assert target.endswith("?seed=s&size=7&page=3&after=a+b%26c")


def test_a_cursor_may_leave_a_parameter_out(user_api, stand_in):
    stand_in(seed="s").fetch(2, 7, {"page": [], "after": "b"})

    ((_, target),) = user_api.requests
    assert target.endswith("?seed=s&size=7&after=b")


def test_a_connection_is_reused_until_the_source_is_closed(source_of):
    hung_up = threading.Event()

    def talk(peer):
        peer.say(OK + b"Content-Length: 2\r\n\r\n[]")
        while peer.listen():
            peer.say(OK + b"Content-Length: 2\r\n\r\n[]")
        hung_up.set()

    with HostileServer(talk) as server:
        source = source_of(server.url)
        assert [source.fetch(page, 1) for page in (1, 2, 3)] == [b"[]"] * 3
        assert server.connections == 1
        source.close()
        assert hung_up.wait(1)


def test_a_compressed_page_is_unpacked(stand_in):
    assert len(records(stand_in(fault="gzip").fetch(1, 5))) == 5


@pytest.mark.parametrize(
    "kind", ["application/json", "Application/JSON; charset=utf-8", "text/json", "application/hal+json"]
)
def test_several_json_content_types_are_accepted(user_api, stand_in, kind):
    user_api.script(b"[]", headers={"Content-Type": kind})

    assert stand_in().fetch(1, 1) == b"[]"


@pytest.mark.parametrize("fault", ["truncated-json", "empty", "envelope"])
def test_the_client_does_not_inspect_the_json(stand_in, fault):
    assert stand_in(fault=fault).fetch(1, 3)


def test_an_empty_parameter_of_the_url_stays_when_a_link_is_followed(user_api, source_of, monkeypatch):
    linked(monkeypatch)
    source = source_of(user_api.url("random-data-api", verbose=""), dialect="linked")
    link = {"Content-Type": "application/json", "Link": '<?page=2>; rel="next"'}
    user_api.script(b"[]", headers=link)

    source.fetch(2, 5, source.dialect.cursor_after(source.fetch(1, 5)))

    queries = [parse_qs(urlsplit(target).query, keep_blank_values=True) for _, target in user_api.requests]
    assert [query["verbose"] for query in queries] == [[""], [""]]


def test_a_process_that_a_signal_ends_does_not_wait_for_the_limit_of_a_page(stand_in, monkeypatch):
    timers = []

    def start_and_be_stopped(timer):
        timers.append(timer)
        start(timer)
        raise Stopped("SIGINT")

    start = threading.Timer.start
    monkeypatch.setattr(threading.Timer, "start", start_and_be_stopped)

    with pytest.raises(Stopped):
        stand_in().fetch(1, 3)

    (timer,) = timers
    timer.join(LIMITS.page / 2)
    assert not timer.is_alive()
    assert timer.daemon  # if the signal comes a moment earlier


# Transient failures are retried


@pytest.mark.parametrize(
    "fault",
    ["status-503", "status-500", "status-502", "status-429", "status-408", "truncate", "reset", "delay-0.6"],
)
def test_a_transient_failure_is_retried(user_api, stand_in, fault):
    body = stand_in(fault=fault, times=2, limits=replace(LIMITS, page=5)).fetch(1, 3)

    assert len(records(body)) == 3
    assert len(user_api.requests) == 3


@pytest.mark.parametrize(
    ("fault", "kind", "problem"),
    [
        ("status-503", SourceUnavailable, "status 503 (attempt 4)"),
        ("status-429", SourceBusy, "status 429 (attempt 4)"),
        ("truncate", SourceUnavailable, "the body was cut off: ProtocolError (attempt 4)"),
        ("reset", SourceUnavailable, "no answer: ProtocolError (attempt 4)"),
    ],
)
def test_a_lasting_failure_is_given_up_after_the_maximum_number_of_tries(
    user_api, stand_in, fault, kind, problem
):
    error = error_of_fetch(stand_in(fault=fault))

    assert (type(error), error.problem, error.page) == (kind, problem, 1)
    assert len(user_api.requests) == LIMITS.attempts


def test_an_api_that_does_not_answer_is_given_up_when_the_pages_time_is_up(stand_in):
    error = error_of_fetch(stand_in(fault="delay-30"))

    assert isinstance(error, SourceUnavailable)
    assert error.problem == f"it took longer than {LIMITS.page} s"


def test_an_unreachable_api_is_an_outage(source_of):
    error = error_of_fetch(source_of(f"http://127.0.0.1:{free_port()}/users"))

    assert (type(error), error.problem) == (SourceUnavailable, "no answer: NewConnectionError (attempt 4)")


def test_a_host_that_does_not_exist_is_told_from_one_that_refuses(source_of):
    error = error_of_fetch(source_of("http://users.invalid/"))

    assert error.problem.startswith("no answer: NameResolutionError")


@pytest.mark.parametrize("status", [201, 204, 304, 400, 401, 403, 404, 418])
def test_a_permanent_failure_is_not_retried(user_api, stand_in, status):
    error = error_of_fetch(stand_in(fault=f"status-{status}"))

    assert (type(error), error.problem) == (SourceUnavailable, f"status {status}")
    assert len(user_api.requests) == 1


def test_an_answer_with_another_content_type_is_not_retried(user_api, stand_in):
    error = error_of_fetch(stand_in(fault="html"))

    assert (type(error), error.problem) == (SourceInvalid, "the Content-Type of the answer is not JSON")
    assert len(user_api.requests) == 1


def test_an_answer_without_a_content_type_is_not_accepted(source_of):
    with HostileServer(lambda peer: peer.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]")) as server:
        assert isinstance(error_of_fetch(source_of(server.url)), SourceInvalid)


@pytest.mark.parametrize(
    "head",
    [b"HTTP/1.1 200 OK\r\n", OK, OK + b"Content-Length: "],
    ids=["before the content type", "before the length", "within the length"],
)
def test_a_head_that_breaks_off_is_a_transient_failure(source_of, head):
    with HostileServer(lambda peer: peer.say(head)) as server:
        error = error_of_fetch(source_of(server.url))

    assert (type(error), error.problem) == (SourceUnavailable, "the head was cut off (attempt 4)")


@pytest.mark.parametrize(
    ("ending", "body"),
    [
        (b"Content-Length: 0\r\n\r\n", b""),
        (b"Connection: close\r\n\r\n", b""),
        (b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b""),
        (b"\r\n[]", b"[]"),
    ],
)
def test_a_whole_head_is_not_called_cut_off(source_of, ending, body):
    with HostileServer(lambda peer: peer.say(OK + ending)) as server:
        assert source_of(server.url).fetch(1, 1) == body


# Pauses between tries


def pause_after(user_api, stand_in, retry_after: str, limits: Limits) -> float:
    """How long the client waits after one answer with this Retry-After."""
    user_api.script(b"{}", status=429, headers={"Retry-After": retry_after})
    source = stand_in(limits=limits)
    return seconds_of(lambda: source.fetch(1, 1))


@pytest.mark.parametrize("asked", ["1", "1.0"])
def test_a_pause_is_as_long_as_the_api_asks(user_api, stand_in, asked):
    limits = replace(LIMITS, page=5, longest_pause=3)

    assert 1 <= pause_after(user_api, stand_in, asked, limits) < 1.5


def test_a_pause_may_be_requested_as_a_date(user_api, stand_in):
    limits = replace(LIMITS, page=5, longest_pause=3)
    in_two_seconds = format_datetime(datetime.now(UTC) + timedelta(seconds=2), usegmt=True)

    assert 0.8 <= pause_after(user_api, stand_in, in_two_seconds, limits) < 2.5


def test_a_requested_pause_is_capped(user_api, stand_in):
    limits = replace(LIMITS, longest_pause=0.3)

    assert 0.3 <= pause_after(user_api, stand_in, "1", limits) < 0.8


def test_an_api_that_forbids_for_a_while_is_asked_again(user_api, stand_in):
    user_api.script(b"{}", status=403, headers={"Retry-After": "0.1"})
    stand_in().fetch(1, 1)
    assert len(user_api.requests) == 2

    user_api.script(b"{}", status=403, headers={"Retry-After": "3600"})
    error = error_of_fetch(stand_in())
    assert (type(error), error.problem) == (SourceBusy, "status 403, and asks to wait 3,600 s")


@pytest.mark.parametrize("status", [403, 429])
@pytest.mark.parametrize("prefix", ["X-RateLimit", "x-ratelimit", "X-Rate-Limit", "RateLimit"])
@pytest.mark.parametrize("since", [0, 1970])
def test_an_api_may_say_when_its_limit_is_reset(user_api, stand_in, status, prefix, since):
    reset = str(int(time.time()) + 3601) if since else "3600"
    user_api.script(b"{}", status=status, headers={f"{prefix}-Remaining": "0", f"{prefix}-Reset": reset})

    error = error_of_fetch(stand_in())

    assert type(error) is SourceBusy
    assert error.problem.startswith(f"status {status}, and asks to wait 3,60")
    assert len(user_api.requests) == 1


def test_a_limit_that_has_just_been_reset_is_a_second_away(user_api, stand_in):
    reset = str(int(time.time()) - 2)
    user_api.script(b"{}", status=403, headers={"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": reset})
    source = stand_in(limits=replace(LIMITS, page=5, longest_pause=3))

    assert 1 <= seconds_of(lambda: source.fetch(1, 1)) < 1.5


@pytest.mark.parametrize(
    "headers",
    [
        {"X-RateLimit-Remaining": "1", "X-RateLimit-Reset": "3600"},
        {"X-RateLimit-Remaining": "0"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "soon"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1796061173278"},
    ],
    ids=["not used up", "no reset", "no number", "milliseconds"],
)
def test_any_other_limit_is_no_reason_to_wait(user_api, stand_in, headers):
    user_api.script(b"{}", status=403, headers=headers)

    assert error_of_fetch(stand_in()).problem == "status 403"


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("3600", "3,600 s"),
        ("491715550123", "more than a day"),  # which could be somebody's number
        ("9" * 400, "more than a day"),
        (format_datetime(datetime.now(UTC) + timedelta(days=9), usegmt=True), "more than a day"),
    ],
    ids=["an hour", "a number", "for ever", "until a date"],
)
def test_an_api_that_asks_to_wait_for_too_long_is_given_up_at_once(user_api, stand_in, asked, said):
    user_api.script(b"{}", status=429, headers={"Retry-After": asked})

    error = error_of_fetch(stand_in())

    assert (type(error), error.problem) == (SourceBusy, f"status 429, and asks to wait {said}")
    assert len(user_api.requests) == 1


@pytest.mark.parametrize(
    "asked",
    ["0", "-5", "", "soon", "٣", "Fri, 01 Jan 1999 00:00:00 GMT", "Fri, 01 Jan 2100 00:00:00", "1e3", "nan"],
    ids=ascii,
)
def test_a_pause_is_never_zero_whatever_is_requested_and_whatever_the_jitter(source_of, monkeypatch, asked):
    monkeypatch.setattr("random.uniform", lambda low, high: low)
    words = b"HTTP/1.1 429 Wait\r\nContent-Length: 0\r\nConnection: close\r\nRetry-After: "

    with HostileServer(lambda peer: peer.say(words + asked.encode() + b"\r\n\r\n")) as server:
        source = source_of(server.url, replace(LIMITS, attempts=3, pause=0.5, longest_pause=0.5))
        assert 0.2 <= seconds_of(lambda: error_of_fetch(source)) < 0.6


@pytest.mark.parametrize(
    "asked", ["Fri, 31 Dec 99999999999999999999 23:59:59 GMT", "Fri, 31 Dec 2030 23:59:59 +9999999999999999"]
)
def test_an_invalid_retry_after_is_ignored(user_api, stand_in, asked):
    assert pause_after(user_api, stand_in, asked, LIMITS) < 1


def test_a_pause_that_would_outlast_the_pages_time_is_not_started(user_api, stand_in):
    user_api.script(b"{}", status=503, headers={"Retry-After": "2"})

    source = stand_in(limits=replace(LIMITS, longest_pause=2))

    assert seconds_of(lambda: error_of_fetch(source)) < 0.5


# A fetch ends in time, whatever the server does


def test_a_trickle_ends_with_the_pages_time(stand_in):
    assert isinstance(error_of_fetch(stand_in(fault="trickle")), SourceUnavailable)


def trickle(peer: HostileServer, words: bytes = b"a") -> None:
    for _ in range(80):
        peer.say(words, pause=0.1)


def trickle_headers(peer):
    peer.say(b"HTTP/1.1 200 OK\r\nX-Long: ")
    trickle(peer)


def trickle_continues(peer):
    trickle(peer, b"HTTP/1.1 100 Continue\r\n\r\n")


def trickle_chunks(peer):
    peer.say(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    trickle(peer, b"1\r\n \r\n")


def trickle_gzip_that_holds_nothing(peer):
    packer = zlib.compressobj(wbits=31)
    peer.say(OK + b"Content-Encoding: gzip\r\n\r\n" + packer.flush(zlib.Z_SYNC_FLUSH))
    trickle(peer, b"\x00\x00\x00\xff\xff")


def trickle_behind_a_redirect(peer):
    peer.say(b"HTTP/1.1 302 Found\r\nLocation: /users\r\n\r\n")
    trickle(peer)


def redirect_in_a_slow_circle(peer):
    peer.say(b"", pause=0.3)
    peer.say(b"HTTP/1.1 302 Found\r\nLocation: /users\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize(
    "talk",
    [
        trickle_headers,
        trickle_continues,
        trickle_chunks,
        trickle_gzip_that_holds_nothing,
        trickle_behind_a_redirect,
        redirect_in_a_slow_circle,
    ],
)
def test_a_fetch_ends_with_the_pages_time_wherever_the_server_is_slow(source_of, talk):
    with HostileServer(talk) as server:
        error_of_fetch(source_of(server.url))


@pytest.mark.parametrize(
    ("scheme", "asked"), [("http", b"GET http://users.example/"), ("https", b"CONNECT users.example:443")]
)
def test_a_fetch_through_a_proxy_ends_with_the_pages_time_too(source_of, monkeypatch, scheme, asked):
    with HostileServer(trickle_headers) as proxy:
        monkeypatch.setenv(f"{scheme}_proxy", proxy.url)
        error_of_fetch(source_of(f"{scheme}://users.example/"))

    assert proxy.heard.startswith(asked)


def test_a_tunnel_that_is_dug_again_for_a_later_page_is_cut_too(source_of, monkeypatch, tmp_path):
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    authority.issue_cert("users.example").configure_cert(context)

    def talk(peer):
        if peer.connections == 2:
            trickle_headers(peer)
        peer.say(b"HTTP/1.1 200 OK\r\n\r\n")
        with peer.encrypt(context):
            peer.listen()
            peer.say(OK + b"Content-Length: 2\r\nConnection: close\r\n\r\n[]")

    with HostileServer(talk) as proxy:
        monkeypatch.setenv("https_proxy", proxy.url)
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "authority.pem"))
        source = source_of("https://users.example/")
        assert source.fetch(1, 1) == b"[]"
        error_of_fetch(source)
    assert proxy.connections == 2


def test_a_connection_that_comes_about_after_the_pages_time_is_cut_too(source_of, monkeypatch):
    def resolve_slowly(*host):
        time.sleep(LIMITS.page + 0.1)
        return resolve(*host)

    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", resolve_slowly)

    with HostileServer(trickle_headers) as server:
        error_of_fetch(source_of(server.url))


def test_a_head_that_is_too_slow_is_not_called_cut_off(source_of):
    with HostileServer(trickle_headers) as server:
        problem = error_of_fetch(source_of(server.url)).problem

    assert problem == f"it took longer than {LIMITS.page} s"


def test_the_time_limit_of_a_page_that_has_come_cuts_no_later_page(user_api, stand_in):
    source = stand_in(replace(LIMITS, page=1.0, read=2), fault="delay-0.6")

    source.fetch(1, 3)
    source.fetch(2, 3)  # in progress when the time of the first would be up

    assert len(user_api.requests) == 2


# A fetch holds little in memory, whatever the server sends


@contextlib.contextmanager
def little_memory() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()


def flood(peer: HostileServer) -> None:
    for _ in range(800):
        peer.say(b" " * 65_536)


@pytest.mark.parametrize(
    "head",
    [
        OK + b"\r\n",
        OK + b"Content-Length: 52428800\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: /users\r\n\r\n",
    ],
    ids=["without a length", "with a length", "behind a redirect"],
)
def test_an_endless_answer_is_not_read_to_its_end(source_of, head):
    def talk(peer):
        peer.say(head)
        flood(peer)

    with HostileServer(talk) as server, little_memory():
        error_of_fetch(source_of(server.url))
    assert server.bytes_sent < 20_000_000  # much of it is in socket buffers


def test_a_huge_body_is_refused_with_the_limit_and_not_retried(user_api, stand_in):
    error = error_of_fetch(stand_in(fault="huge"))

    assert (type(error), error.problem) == (
        SourceInvalid,
        "the body is larger than 1000000 bytes, the most for 3 records",
    )
    assert len(user_api.requests) == 1


@pytest.mark.parametrize(("size", "most"), [(1, 500_000), (50, 500_000), (60, 600_000), (5_000, 1_000_000)])
def test_the_limit_on_a_body_depends_on_the_requested_number_of_records(user_api, source_of, size, most):
    limits = replace(LIMITS, record_bytes=10_000, least_body_bytes=500_000)
    source = source_of(user_api.url("random-data-api"), limits=limits)
    user_api.script(b" " * most)
    user_api.script(b" " * (most + 1))

    assert len(source.fetch(1, size)) == most
    with pytest.raises(SourceInvalid, match=f"larger than {most} bytes, the most for {size} records"):
        source.fetch(1, size)


def test_a_body_of_exactly_the_limit_is_accepted(user_api, stand_in):
    user_api.script(b" " * 1_000_000)
    user_api.script(b" " * 1_000_001)
    source = stand_in()

    assert len(source.fetch(1, 1)) == 1_000_000
    with pytest.raises(SourceInvalid):
        source.fetch(1, 1)


@pytest.mark.parametrize("layers", [1, 2])
def test_a_compression_bomb_is_not_fully_unpacked(user_api, stand_in, layers):
    bomb = b" " * 100_000_000
    for _ in range(layers):
        bomb = gzip.compress(bomb, 1)
    user_api.script(bomb, headers={"Content-Encoding": ", ".join(["gzip"] * layers)})

    with little_memory():
        error = error_of_fetch(stand_in())

    assert isinstance(error, SourceInvalid)


@pytest.mark.parametrize(
    "words",
    [
        b"SSH-2.0-OpenSSH_9.9\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        OK + b"Content-Length: 2, 3\r\n\r\n[]",
        OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n[]",
        OK + b"Content-Encoding: gzip\r\n\r\nno gzip",
        b"HTTP/1.1 302 Found\r\nLocation: http://[::1/users\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:99999/\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: \xff\xfe\r\nContent-Length: 0\r\n\r\n",
    ],
    ids=[
        "no HTTP",
        "too many headers",
        "a header without end",
        "two lengths",
        "no chunk",
        "no gzip",
        "a redirect to no host",
        "a redirect to no port",
        "a redirect to a file",
        "a redirect to no text",
    ],
)
def test_a_nonsensical_answer_is_an_error_of_the_source_like_any_other(source_of, words):
    with HostileServer(lambda peer: peer.say(words)) as server:
        error_of_fetch(source_of(server.url))


# The URL's secrets


@pytest.fixture
def with_secrets(user_api, source_of) -> Callable[[str], Source]:
    def make(fault: str) -> Source:
        url = user_api.url("random-data-api", fault=fault, key="hush-key")
        limits = replace(LIMITS, read=0.2, page=0.5, attempts=2)
        return source_of(url.replace("//", "//hush-user:hush-password@"), limits)

    return make


def test_the_sources_name_is_the_url_without_user_password_and_query(user_api, with_secrets):
    name = with_secrets("html").name

    assert name == f"random-data-api http://127.0.0.1:{user_api.port}/api/v2/users"


@pytest.mark.parametrize(
    "fault", ["status-503", "status-404", "truncate", "reset", "delay-5", "trickle", "html", "huge"]
)
def test_no_error_shows_the_urls_secrets(with_secrets, fault):
    error = error_of_fetch(with_secrets(fault))

    assert "hush" not in f"{error!s} {error!r} {error.args} {vars(error)}"
    assert error.__cause__ is None
    assert error.__context__ is None


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://hush:hush@127.0.0.1:1/?key=hush", "no answer: NewConnectionError (attempt 4)"),
        ("http://hush:hush@.invalid/?key=hush", "the request failed: InvalidURL"),
    ],
)
def test_an_unusable_url_is_not_shown(source_of, url, problem):
    error = error_of_fetch(source_of(url))

    assert error.problem == problem
    assert "hush" not in f"{error!r} {vars(error)}"
    assert error.__context__ is None


def test_no_log_line_shows_the_urls_secrets_even_at_debug(with_secrets, caplog):
    caplog.set_level(logging.DEBUG)

    error_of_fetch(with_secrets("status-503"))

    assert "hush" not in caplog.text


def test_no_warning_of_urllib3_shows_the_urls_secrets_or_a_header(source_of, caplog):
    with HostileServer(lambda peer: peer.say(OK + b"no header: hush\r\n\r\n[]")) as server:
        source_of(f"{server.url}?key=hush").fetch(1, 1)

    assert caplog.text == ""


def test_the_repr_of_an_answer_shows_neither_its_headers_nor_its_body():
    assert repr(Reply(200, {"Set-Cookie": "hush"}, bytearray(b"hush"))) == "Reply(status=200)"
