"""A source that fails midway, in every way: it is reported in time, and the next run makes up for it.

tests/integration/test_source.py tests how the client itself handles each of these failures.
"""

import functools
import gzip
import time
from collections.abc import Iterator

import pytest

from chalicelib import runs, wiring
from chalicelib.sources import client
from tests.builders import RANDOM_DATA_API
from tests.fakes import uid
from tests.leaks.source import Answer, Source, answer

PAGES, SIZE = 3, 4
PATIENCE_SECONDS = 6  # a page may take 1.2 of them here


def page(number: int) -> bytes:
    first = SIZE * number
    return RANDOM_DATA_API.page(
        *(RANDOM_DATA_API.record({"uid": uid(who)}) for who in range(first, first + SIZE))
    )


GOOD = [Answer(answer(page(number))) for number in range(1, PAGES + 1)]
BOMB = gzip.compress(b"[" + b" " * 20_000_000 + b"]")

FAULTS = {
    "too many requests": (Answer(answer(b"{}", "429 Too Many Requests")), "status 429 (attempt 4)"),
    "a wish for patience": (
        Answer(answer(b"{}", "429 Too Many Requests", Retry_After="9999")),
        "status 429, and asks to wait 9,999 s",
    ),
    "an error of its own": (Answer(answer(b"{}", "500 Internal Server Error")), "status 500 (attempt 4)"),
    "a reset": (Answer(answer(page(2))[:-9], "reset"), "the body was cut off: ProtocolError (attempt 4)"),
    "a body that stops": (
        Answer(answer(page(2))[:-9]),
        "the body was cut off: ProtocolError (attempt 4)",
    ),
    "a body that never ends": (Answer(answer(page(2))[:-9], "hold"), "it took longer than 1.2 s"),
    "an error page": (
        Answer(answer(b"<h1>Back soon</h1>", Content_Type="text/html")),
        "the Content-Type of the answer is not JSON",
    ),
    "no records": (Answer(answer(b"[]")), "no records"),
    "no list": (
        Answer(answer(b'{"error": "later"}')),
        "the body holds no list of records in the format of random-data-api",
    ),
    "a bomb": (
        Answer(answer(BOMB, Content_Encoding="gzip")),
        "the body is larger than 1000000 bytes, the most for 20 records",
    ),
    "too much": (
        Answer(answer(b"[" + b" " * 2_000_000, Content_Length="104857600")),
        "the body is larger than 1000000 bytes, the most for 20 records",
    ),
    "another encoding": (
        Answer(answer(page(2).decode().encode("utf-16"))),
        "the body is not valid JSON, or is cut off",
    ),
    "brackets without end": (
        Answer(answer(b"[" * 100_000 + page(2))),
        "the body is not valid JSON, or is cut off",
    ),
}


@pytest.fixture
def source(app_environment, monkeypatch) -> Iterator[Source]:
    limits = functools.partial(
        client.Limits, read=0.4, page=1.2, attempts=4, pause=0.02, longest_pause=0.1, body_bytes=1_000_000
    )
    monkeypatch.setattr(client, "Limits", limits)
    with Source() as running:
        app_environment(SOURCE_URL=running.url("random-data-api"), SOURCE_PAGES=str(PAGES))
        yield running


@pytest.mark.parametrize("fault", FAULTS)
def test_a_source_that_fails_midway(source, sql, fault):
    faulty, error = FAULTS[fault]
    source.script(GOOD[0], *[faulty] * 4)
    began = time.monotonic()

    report = runs.run_ingest("manual")

    assert time.monotonic() - began < PATIENCE_SECONDS
    assert (report.status, report.error) == ("partial", f"page 2: {error}")
    assert sql("SELECT status, error, pages_done, fetched, inserted FROM runs") == [
        ("partial", f"page 2: {error}", 1, SIZE, SIZE)
    ]
    assert sql("SELECT count(*) FROM users") == [(SIZE,)]

    source.script(*GOOD)
    report = runs.run_ingest("manual")
    assert (report.status, report.inserted, report.unchanged) == ("succeeded", SIZE * (PAGES - 1), SIZE)


def test_an_answer_whose_head_breaks_off_anywhere_is_requested_again(source):
    whole = GOOD[0].sent
    fetch = wiring.source().fetch

    for end in range(whole.index(page(1)) + 1):
        source.script(Answer(whole[:end]), GOOD[1])
        assert fetch(1, SIZE) == page(2), whole[:end][-20:]


DEEP = b"[" * 200_000 + b"]" * 200_000
HOSTILE = {
    "nested too deeply": (DEEP, "", "json"),
    "a field nested too deeply": ({"email": DEEP}, "", "json"),
    "twice the same key": ({"email": b'"none", "email": 5'}, "email", "type"),
    "a number too large": ({"address.coordinates.lat": b"1e999"}, "address.coordinates.lat", "range"),
    "a number of many digits": ({"gender": b"9" * 5_000}, "gender", "type"),
    "half a surrogate pair": ({"last_name": b'"\\ud800"'}, "last_name", "encoding"),
    "NUL": ({"address.city": "a\0b"}, "address.city", "encoding"),
    "bytes of no encoding": ({"username": b'"\xff\xfe"'}, "username", "encoding"),
}


def test_a_record_that_cannot_be_stored_is_a_reject_and_affects_no_other(source, sql):
    hostile = [
        changed if isinstance(changed, bytes) else RANDOM_DATA_API.record(changed)
        for changed, _, _ in HOSTILE.values()
    ]
    good = [RANDOM_DATA_API.record({"uid": uid(number)}) for number in range(50)]
    source.script(Answer(answer(RANDOM_DATA_API.page(*hostile, *good))), *GOOD[1:])

    report = runs.ingest({})

    assert (report.status, report.rejected) == ("succeeded", len(HOSTILE))
    issues = sql("SELECT issues FROM rejects ORDER BY position")
    assert issues == [([{"path": path, "rule": rule}],) for _, path, rule in HOSTILE.values()]
