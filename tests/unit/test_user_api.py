"""The stand-in user API, tested as its clients use it: through sockets."""

import contextlib
import gzip
import http.client
import json
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import unicodedata
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import requests

from local.folders import ROOT
from local.user_api import UserApi
from tests.waiting import until

SAMPLES = {
    "random-data-api": ROOT / "tests/samples/random-data-api-v2-users.json",
    "randomuser": ROOT / "tests/samples/randomuser-me-1.4.json",
}
SIZE_NAMES = {"random-data-api": "size", "randomuser": "results"}
SCRIPTS = ("LATIN", "CYRILLIC", "GREEK", "ARABIC", "DEVANAGARI", "CJK", "HIRAGANA", "HANGUL")
OPTIONAL = ("phone_number", "social_insurance_number")
both_dialects = pytest.mark.parametrize("dialect", SAMPLES)


@pytest.fixture
def api() -> Iterator[UserApi]:
    with UserApi() as running:
        yield running


def get(url: str) -> requests.Response:
    return requests.get(url, timeout=10)


def page(api: UserApi, dialect: str = "random-data-api", size: int = 100, **query: object) -> list[Any]:
    document = get(api.url(dialect, **{SIZE_NAMES[dialect]: size, **query})).json()
    return document if dialect == "random-data-api" else document["results"]


@contextlib.contextmanager
def connected(url: str) -> Iterator[socket.socket]:
    """A bare socket that has sent its request and reads nothing yet."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as client:
        client.sendall(f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        yield client


def read_head(client: socket.socket) -> str:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += client.recv(1)
    return head.decode()


def content_length(head: str) -> str:
    return re.findall(r"Content-Length: (\d+)", head)[0]


def rest(client: socket.socket) -> bytes:
    return b"".join(iter(lambda: client.recv(65_536), b""))


def uid(record: Any) -> str:
    return record["uid"] if "uid" in record else record["login"]["uuid"]


def essentials(record: Any) -> tuple[list[Any], str, tuple[float, float]]:
    """The texts that every user has, the date of birth, the coordinates. A broken record raises."""
    if "address" in record:
        place, spot = record["address"], record["address"]["coordinates"]
        texts = [record["uid"], record["email"], record["first_name"], record["last_name"], place["city"]]
        return texts, record["date_of_birth"], (spot["lat"], spot["lng"])
    place, spot = record["location"], record["location"]["coordinates"]
    texts = [
        record["login"]["uuid"],
        record["email"],
        *map(record["name"].get, ("first", "last")),
        place["city"],
    ]
    return texts, record["dob"]["date"][:10], (float(spot["latitude"]), float(spot["longitude"]))


def is_valid(record: Any) -> bool:
    try:
        texts, born, (latitude, longitude) = essentials(record)
        UUID(texts[0])
        "".join(texts).encode()
        time.strptime(born, "%Y-%m-%d")
    except (KeyError, TypeError, ValueError):
        return False
    return (
        all(len(text) < 200 and "\0" not in text for text in texts)
        and re.fullmatch(r"[a-z0-9.]+@([a-z]+\.)+[a-z]+", texts[1].strip().lower()) is not None
        and "1940" <= born[:4] <= "2008"
        and -90 <= latitude <= 90
        and -180 <= longitude <= 180
    )


def kinds(value: Any, path: str = "") -> set[tuple[str, str]]:
    """Every key path below a JSON value, with its JSON type."""
    if isinstance(value, dict):
        return {("path", path), *(kind for key in value for kind in kinds(value[key], f"{path}.{key}"))}
    names = {str: "string", int: "number", float: "number", type(None): "null"}
    return {(path, names[type(value)])}


def kinds_of_all(records: list[Any]) -> set[tuple[str, str]]:
    return set().union(*map(kinds, records))


def flat(value: Any, path: str = "") -> dict[str, str]:
    if not isinstance(value, dict):
        return {path: repr(value)}
    return {name: text for key in value for name, text in flat(value[key], f"{path}.{key}").items()}


# The pages


@both_dialects
def test_a_restarted_server_sends_the_same_bytes(dialect: str) -> None:
    bodies = []
    for _ in range(2):
        with UserApi() as api:
            bodies.append(get(api.url(dialect, seed="s", page=3)).content)
    assert bodies[0] == bodies[1]


@both_dialects
def test_a_record_does_not_depend_on_the_page_size(api: UserApi, dialect: str) -> None:
    assert page(api, dialect, size=400)[:150] == page(api, dialect, size=150)


def test_without_parameters_it_sends_the_first_page_of_the_default_seed(api: UserApi) -> None:
    assert get(api.url("random-data-api")).json() == page(api, page=1, seed="decant")


@both_dialects
def test_no_two_pages_share_a_uid(api: UserApi, dialect: str) -> None:
    pages = [{uid(record) for record in page(api, dialect, size=300, page=number)} for number in range(1, 6)]
    assert len(set().union(*pages)) == sum(map(len, pages))


def test_another_seed_brings_other_people(api: UserApi) -> None:
    assert not {*map(uid, page(api, seed="a"))} & {*map(uid, page(api, seed="b"))}


def test_both_dialects_describe_the_same_people(api: UserApi) -> None:
    ours, theirs = page(api), page(api, "randomuser")
    assert [(uid(record), record["email"]) for record in ours] == [
        (uid(record), record["email"]) for record in theirs
    ]


@both_dialects
def test_every_uid_is_a_version_4_uuid_in_its_usual_form(api: UserApi, dialect: str) -> None:
    for text in map(uid, page(api, dialect, size=300)):
        assert (str(UUID(text)), UUID(text).version) == (text, 4)


@both_dialects
def test_every_key_path_of_the_real_records_is_there_with_the_same_types(api: UserApi, dialect: str) -> None:
    sample = json.loads(SAMPLES[dialect].read_bytes())
    real = sample if dialect == "random-data-api" else sample["results"]
    missing = kinds_of_all(real) - kinds_of_all(page(api, dialect, size=500))
    assert not missing


@both_dialects
def test_only_the_intended_nulls_and_one_field_go_beyond_the_real_shape(api: UserApi, dialect: str) -> None:
    sample = json.loads(SAMPLES[dialect].read_bytes())
    real = sample if dialect == "random-data-api" else sample["results"]
    beyond = kinds_of_all(page(api, dialect, size=1_000)) - kinds_of_all(real)
    nulls = {".phone_number", ".social_insurance_number"} if dialect == "random-data-api" else {".phone"}
    assert beyond == {(".maiden_name", "string"), *((path, "null") for path in nulls)}


def test_the_envelope_of_the_second_dialect_repeats_the_query(api: UserApi) -> None:
    real = json.loads(SAMPLES["randomuser"].read_bytes())
    document = get(api.url("randomuser", results=7, page=3, seed="x")).json()
    assert document.keys() == real.keys()
    assert document["info"] == {**real["info"], "seed": "x", "results": 7, "page": 3}


@pytest.mark.parametrize(("dialect", "usual"), [("random-data-api", 100), ("randomuser", 1)])
def test_the_size_is_each_dialects_own_unless_given_and_never_above_5000(
    api: UserApi, dialect: str, usual: int
) -> None:
    document = get(api.url(dialect)).json()
    assert len(document if dialect == "random-data-api" else document["results"]) == usual
    assert len(page(api, dialect, size=5_001)) == 5_000


# The people


@both_dialects
def test_every_record_is_valid_unless_bad_ones_are_requested(api: UserApi, dialect: str) -> None:
    assert all(map(is_valid, page(api, dialect, size=2_000)))


def test_names_come_in_many_scripts_and_in_both_unicode_forms(api: UserApi) -> None:
    names = [record["first_name"] + record["last_name"] for record in page(api, size=1_000)]
    seen = {unicodedata.name(letter).split()[0] for letter in "".join(names) if letter.isalpha()}
    assert seen >= set(SCRIPTS)
    assert not all(unicodedata.is_normalized("NFC", name) for name in names)


def test_names_are_very_short_and_rather_long_and_hold_apostrophes_and_hyphens(api: UserApi) -> None:
    names = [record["last_name"].strip() for record in page(api, size=1_000)]
    assert min(map(len, names)) == 1
    assert max(map(len, names)) > 30
    assert {"'", "-", " "} <= set("".join(names))


def test_coordinates_and_births_cover_their_whole_range(api: UserApi) -> None:
    people = [essentials(record) for record in page(api, size=1_000)]
    latitudes, longitudes = zip(*(spot for _, _, spot in people), strict=True)
    assert (min(latitudes), max(latitudes)) == (-90, 90)
    assert (min(longitudes), max(longitudes)) == (-180, 180)
    assert {int(born[:4]) for _, born, _ in people} == set(range(1940, 2009))


def test_phone_numbers_have_country_codes_brackets_and_extensions(api: UserApi) -> None:
    phones = [record["phone_number"] or "" for record in page(api, size=200)]
    for pattern in (r"\+1 .*", r"\+380 .*", r"\+\d+ \(\d{3}\) \d{3}-\d{4}", r"\+\d+ .* x\d{4}"):
        assert any(re.fullmatch(pattern, phone) for phone in phones), pattern


ODDITIES = {
    "padded": lambda record: any(text != text.strip() for text in essentials(record)[0]),
    "shouted": lambda record: record["email"].isupper(),
    "decomposed": lambda record: not unicodedata.is_normalized("NFC", record["address"]["city"]),
    "empty": lambda record: "" in (record[name] for name in OPTIONAL),
    "n/a": lambda record: {"n/a", "N/A"} & {record[name] for name in OPTIONAL},
    "no work": lambda record: {"", "n/a", "N/A"} & set(record["employment"].values()),
    "no plan": lambda record: {"", "n/a", "N/A"} & set(record["subscription"].values()),
    "nameless": lambda record: record["first_name"] in ("", "n/a", "N/A"),
    "null": lambda record: None in (record[name] for name in OPTIONAL),
    "unknown field": lambda record: "maiden_name" in record,
    "at the limit": lambda record: abs(record["address"]["coordinates"]["lat"]) == 90,
}


@pytest.mark.parametrize("name", ODDITIES)
def test_each_real_world_oddity_occurs_but_rarely(api: UserApi, name: str) -> None:
    share = sum(bool(ODDITIES[name](record)) for record in page(api, size=2_000)) / 2_000
    assert 0.001 < share < 0.06


@both_dialects
def test_about_one_record_in_200_repeats_an_earlier_one_with_changes(api: UserApi, dialect: str) -> None:
    first: dict[str, Any] = {}
    twins = []
    for record in page(api, dialect, size=5_000):
        twins += [(first[uid(record)], record)] if uid(record) in first else []
        first.setdefault(uid(record), record)
    assert 10 < len(twins) < 50
    for earlier, later in twins:
        assert earlier != later
        assert earlier["email"] == later["email"]


# Bad records


@both_dialects
@pytest.mark.parametrize("share", [0.01, 0.1, 0.29, 1])
def test_exactly_the_requested_share_is_bad_and_the_others_are_unchanged(
    api: UserApi, dialect: str, share: float
) -> None:
    good, mixed = page(api, dialect), page(api, dialect, bad=share)
    spoiled = [position for position in range(100) if mixed[position] != good[position]]
    assert len(spoiled) == round(share * 100)
    assert spoiled == [position for position in range(100) if not is_valid(mixed[position])]


@both_dialects
def test_thirteen_bad_records_are_bad_in_thirteen_ways(api: UserApi, dialect: str) -> None:
    good, spoiled = page(api, dialect, size=13), page(api, dialect, size=13, bad=1)
    assert "not an object" in spoiled
    ways = set()
    for before, after in zip(good, spoiled, strict=True):
        if isinstance(after, dict):
            assert after.keys() <= before.keys()
            ways.add(
                str(sorted(flat(after).items() - flat(before).items()))
                + str(flat(before).keys() - flat(after))
            )
    assert len(ways) == 12


@both_dialects
def test_nul_and_half_a_surrogate_pair_are_sent_as_escapes_in_valid_utf_8(api: UserApi, dialect: str) -> None:
    body = get(api.url(dialect, **{SIZE_NAMES[dialect]: 13}, bad=1)).content
    assert rb"\u0000" in body
    assert rb"\ud800" in body
    assert body.decode("utf-8")


# HTTP


def test_one_connection_carries_many_requests(api: UserApi) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", api.port, timeout=10)
    with contextlib.closing(connection):
        sockets = set()
        for path in ("/api/v2/users?size=2", "/nowhere", "/api/v2/users?size=ten", "/api/1.4/"):
            connection.request("GET", path)
            connection.getresponse().read()
            sockets.add(connection.sock)
    assert len(sockets) == 1
    assert None not in sockets


@both_dialects
def test_the_type_and_the_length_are_declared(api: UserApi, dialect: str) -> None:
    answer = get(api.url(dialect))
    assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert int(answer.headers["Content-Length"]) == len(answer.content)


@pytest.mark.parametrize(
    "query",
    [
        *("size=", "size=ten", "size=0", "size=-1", "size=1e3", "size=%EF%BC%91", "page=1.5", "page=0"),
        *("page=99999999999999", "bad=2", "bad=nan", "bad=", "times=x", "fault=nonsense", "fault=status-"),
        *("fault=status-99", "fault=status-600", "fault=delay-1.2.3", "fault=trickle5", "fault=retry-after-"),
    ],
)
def test_an_invalid_query_is_a_400_with_a_json_error(api: UserApi, query: str) -> None:
    answer = get(f"{api.url('random-data-api')}?{query}")
    assert answer.status_code == 400
    assert answer.json()["error"]


@pytest.mark.parametrize("path", ["/", "/api/v2/user", "/api/v2/users/7", "/api/1.3/"])
def test_any_other_path_is_a_404_with_a_json_error(api: UserApi, path: str) -> None:
    answer = get(f"http://127.0.0.1:{api.port}{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]


def test_requests_are_recorded_in_order(api: UserApi) -> None:
    get(api.url("randomuser", results=2, page=1))
    get(api.url("random-data-api"))
    assert api.requests == [("GET", "/api/1.4/?results=2&page=1"), ("GET", "/api/v2/users")]


def test_a_script_answers_the_next_requests_and_then_pages_are_served_again(api: UserApi) -> None:
    api.script(b"[1]", times=2)
    api.script(b"tea", status=418, headers={"Content-Type": "text/plain", "X-Pot": "brown"})
    answers = [get(api.url("random-data-api", size=1)) for _ in range(4)]
    assert [answer.content for answer in answers[:3]] == [b"[1]", b"[1]", b"tea"]
    assert (answers[0].status_code, answers[0].headers["Content-Type"]) == (
        200,
        "application/json; charset=utf-8",
    )
    assert (answers[2].status_code, answers[2].headers["Content-Type"]) == (418, "text/plain")
    assert answers[2].headers["X-Pot"] == "brown"
    assert uid(answers[3].json()[0])


# Faults


@both_dialects
@pytest.mark.parametrize("status", [404, 429, 500, 503])
def test_fault_status_answers_with_that_status(api: UserApi, dialect: str, status: int) -> None:
    assert get(api.url(dialect, fault=f"status-{status}")).status_code == status


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_that_allows_no_body_gets_none(api: UserApi, status: int) -> None:
    with connected(api.url("random-data-api", fault=f"status-{status}")) as client:
        assert read_head(client).startswith(f"HTTP/1.1 {status}")
        client.sendall(b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert read_head(client).startswith("HTTP/1.1 404")


def test_fault_retry_after_sends_the_header(api: UserApi) -> None:
    answer = get(api.url("random-data-api", fault="retry-after-2"))
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "2")


def test_fault_delay_answers_late_but_correctly(api: UserApi) -> None:
    started = time.monotonic()
    late = page(api, fault="delay-0.3")
    assert time.monotonic() - started >= 0.3
    assert late == page(api)


def test_fault_trickle_sends_one_byte_at_a_time(api: UserApi) -> None:
    with connected(api.url("random-data-api", size=1, fault="trickle")) as client:
        declared = int(content_length(read_head(client)))
        started = time.monotonic()
        received = [client.recv(65_536) for _ in range(3)]
        elapsed = time.monotonic() - started
    assert list(map(len, received)) == [1, 1, 1]
    assert elapsed >= 0.35  # the first byte comes immediately, then two pauses of 0.2 s
    assert declared > 500


def test_fault_truncate_breaks_off_before_the_declared_length(api: UserApi) -> None:
    with connected(api.url("random-data-api", fault="truncate")) as client:
        promised = int(content_length(read_head(client)))
        assert len(rest(client)) == promised // 2
    with pytest.raises(requests.exceptions.ChunkedEncodingError):
        get(api.url("random-data-api", fault="truncate"))


@both_dialects
def test_fault_truncated_json_is_valid_http_with_half_a_document(api: UserApi, dialect: str) -> None:
    answer = get(api.url(dialect, fault="truncated-json"))
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    with pytest.raises(requests.exceptions.JSONDecodeError):
        answer.json()


def test_fault_html_is_a_page_for_people_with_status_200(api: UserApi) -> None:
    answer = get(api.url("random-data-api", fault="html"))
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.content.startswith(b"<!doctype html>")


def test_fault_empty_is_a_page_without_records(api: UserApi) -> None:
    assert get(api.url("random-data-api", fault="empty")).json() == []
    assert get(api.url("randomuser", fault="empty")).json()["results"] == []


@both_dialects
def test_fault_envelope_hides_an_error_behind_status_200(api: UserApi, dialect: str) -> None:
    answer = get(api.url(dialect, fault="envelope"))
    assert answer.status_code == 200
    assert answer.json().keys() == {"error"}


def test_fault_reset_resets_the_connection_without_a_byte(api: UserApi) -> None:
    with (
        connected(api.url("random-data-api", fault="reset")) as client,
        pytest.raises(ConnectionResetError),
    ):
        client.recv(1)


def test_fault_huge_sends_a_huge_body_without_a_length(api: UserApi) -> None:
    with connected(api.url("random-data-api", fault="huge")) as client:
        assert "content-length" not in read_head(client).lower()
        received = 0
        while chunk := client.recv(1 << 20):
            received += len(chunk)
    assert received > 200_000_000


def test_fault_gzip_is_the_usual_page_compressed(api: UserApi) -> None:
    with connected(api.url("random-data-api", fault="gzip")) as client:
        head = read_head(client)
        compressed = client.recv(int(content_length(head)), socket.MSG_WAITALL)
    assert "Content-Encoding: gzip" in head
    assert gzip.decompress(compressed) == get(api.url("random-data-api")).content
    assert page(api, fault="gzip") == page(api)


def test_times_limits_the_fault_to_the_first_requests_of_the_same_url(api: UserApi) -> None:
    flaky = api.url("random-data-api", fault="status-503", times=2)
    assert [get(flaky).status_code for _ in range(4)] == [503, 503, 200, 200]
    assert get(flaky + "&page=2").status_code == 503
    assert get(flaky).json() == page(api)


def test_without_times_a_fault_never_ends(api: UserApi) -> None:
    assert {get(api.url("randomuser", fault="status-500")).status_code for _ in range(5)} == {500}


def test_zero_times_means_no_fault(api: UserApi) -> None:
    assert get(api.url("randomuser", fault="status-500", times=0)).status_code == 200


# Coming and going


@pytest.mark.parametrize("fault", ["huge", "trickle", "delay-0.1", ""])
def test_a_client_that_hangs_up_causes_no_error_and_affects_no_other(
    api: UserApi, capfd: pytest.CaptureFixture[str], fault: str
) -> None:
    before = threading.active_count()
    with connected(api.url("random-data-api", size=2_000, fault=fault)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert len(page(api)) == 100
    until(lambda: len(api.requests) == 2 and threading.active_count() == before)
    assert capfd.readouterr() == ("", "")


def test_closing_does_not_wait_for_idle_or_waiting_clients() -> None:
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        with UserApi() as api:
            url = api.url("random-data-api")
            idle, patient = (
                stack.enter_context(connected(f"{url}?{query}")) for query in ("", "fault=delay-60")
            )
            until(lambda: len(api.requests) == 2)
            assert idle.recv(1, socket.MSG_PEEK)  # answered, and not only recorded
            started = time.monotonic()
        assert time.monotonic() - started < 2
        assert threading.active_count() == before
        assert rest(idle).startswith(b"HTTP/1.1 200")
        assert rest(patient) == b""


def test_the_port_is_free_again_immediately() -> None:
    with UserApi() as first:
        get(first.url("randomuser"))
    with UserApi(first.port) as second:
        assert get(first.url("randomuser")).status_code == 200
        assert second.port == first.port


def start(*arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "local.user_api", *arguments]
    return subprocess.Popen(command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground_it_prints_its_urls_once_and_serves_until_stopped(
    number: signal.Signals,
) -> None:
    with start("--port", "0") as process:
        assert process.stdout is not None
        urls = re.findall(r"http://127\.0\.0\.1:\d+/\S+", process.stdout.readline())
        answers = [get(url).status_code for url in urls]
        process.send_signal(number)
        output = process.communicate(timeout=10)
    assert answers == [200, 200]
    assert (process.returncode, output) == (0, ("", ""))


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of this machine")
def test_it_listens_on_the_given_address() -> None:
    with UserApi(host="127.0.0.2") as elsewhere:
        url = elsewhere.url("randomuser")
        assert get(url.replace("127.0.0.1", "127.0.0.2")).status_code == 200
        with pytest.raises(requests.ConnectionError):
            get(url)


def test_a_taken_port_is_reported_in_one_sentence(api: UserApi) -> None:
    with start("--port", str(api.port)) as process:
        _, complaint = process.communicate(timeout=10)
    assert process.returncode == 1
    assert re.fullmatch(rf".*cannot listen on 127\.0\.0\.1:{api.port}.*\n", complaint)
