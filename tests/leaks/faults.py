"""Everything that can go wrong at the source and with a record, with values wherever they may be repeated."""

import gzip
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from tests.builders import Api
from tests.leaks.canaries import Canaries
from tests.leaks.source import Answer, answer

# Each makes a record invalid in its own way, with values that are as secret as valid ones.
SPOILED: tuple[Callable[[Api, str, int], Mapping[str, Any]], ...] = (
    lambda api, mark, number: {api.email: f"{mark}-is-no-address"},
    lambda api, mark, number: {api.uid: f"{mark}-is-no-uuid"},
    lambda api, mark, number: {api.born: f"23/11/1987-{mark}"},
    lambda api, mark, number: {api.born: api.born_on("2987-11-23")},
    lambda api, mark, number: {api.lat: float(f"-371.77{number}4")},
    lambda api, mark, number: {api.lng: f"{mark}-is-no-longitude"},
    lambda api, mark, number: {api.texts[0]: f"{mark} is much too long " * 100},
    lambda api, mark, number: {api.texts[1]: f"{mark} with \0 in it"},
    lambda api, mark, number: {api.texts[0]: f'"{mark} with \\ud800 in it"'.encode()},
    lambda api, mark, number: {api.texts[1]: [f"{mark} in a list"]},
    lambda api, mark, number: {api.texts[0]: {f"{mark} as a name": f"{mark} in an object"}},
    lambda api, mark, number: {api.texts[1]: int(f"7391{number}264")},
    lambda api, mark, number: {api.texts[2]: None, api.email: f"{mark}@"},
    lambda api, mark, number: {api.objects[0]: f"{mark} in place of an object"},
    lambda api, mark, number: {api.optional_objects[0]: [[f"{mark} where an object may stand"]]},
    lambda api, mark, number: {api.optional_texts[1]: True, api.unread: f"{mark} unread"},
    lambda api, mark, number: {api.lat: b"NaN", api.lng: b"1e999"},
    lambda api, mark, number: {api.optional_texts[0]: b"6" * 5_000},
)


def spoiled(canaries: Canaries, api: Api, ways: int = len(SPOILED)) -> list[dict[str, Any]]:
    return [canaries.person(api, f"spoiled in way {way}", spoil) for way, spoil in enumerate(SPOILED[:ways])]


Make = Callable[[Api, bytes, str], Answer]


class Fault(NamedTuple):
    """What a fault makes of a page of good people and a text to put elsewhere, and how the run then ends.

    A passing (transient) fault is tried both ways: on every attempt, and once before the good page.
    """

    name: str
    make: Make
    status: str = "failed"
    passing: bool = False

    def answers(self, api: Api, page: bytes, text: str) -> list[Answer]:
        made = self.make(api, page, text)
        return [made, Answer(answer(page))] if self.passing else [made]


def _passing(name: str, make: Make) -> Fault:
    return Fault(name, make, "succeeded", passing=True)


def _head(status: str = "200 OK", **headers: str) -> Make:
    """The page with another head, in which {text} is replaced by the text."""

    def make(api: Api, page: bytes, text: str) -> Answer:
        filled = {name: value.format(text=text) for name, value in headers.items()}
        return Answer(answer(page, status.format(text=text), **filled))

    return make


def _body(change: Callable[[bytes, str], bytes]) -> Make:
    """Another body with a good head."""
    return lambda api, page, text: Answer(answer(change(page, text)))


def _records(*records: bytes) -> Make:
    """Other records in place of the people; %s in them is replaced by the text, as JSON."""

    def make(api: Api, page: bytes, text: str) -> Answer:
        listed = b"[%s]" % b",".join(records).replace(b"%s", json.dumps(text).encode())
        envelope = api.dialect.envelope
        return Answer(answer(b'{"%s":%s}' % (envelope.encode(), listed) if envelope else listed))

    return make


def _raw(make: Callable[[bytes, bytes], bytes], then: str = "close") -> Make:
    """Any bytes made from a good answer and the text."""
    return lambda api, page, text: Answer(make(answer(page), text.encode()), then)  # type: ignore[arg-type]


_CHUNKED = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"

SOURCE_FAULTS = (
    Fault("a good page", _head(), "succeeded"),
    Fault("a page that breaks off", _body(lambda page, text: page[: -len(page) // 3])),
    Fault("text before the page", _body(lambda page, text: f"no such user: {text}".encode() + page)),
    Fault("an envelope of another kind", _body(lambda page, text: b'{"error":' + page + b"}")),
    Fault("a page in UTF-16", _body(lambda page, text: page.decode().encode("utf-16"))),
    Fault("a text in Latin-1", _body(lambda page, text: f'"{text} Ünique"'.encode("latin-1"))),
    Fault("a page of lines", _body(lambda page, text: page + b"\n" + page)),
    Fault("a page deep down", _body(lambda page, text: b"[" * 100_000 + page)),
    Fault(
        "a zip that breaks off",
        lambda api, page, text: Answer(answer(gzip.compress(page)[:-20], Content_Encoding="gzip")),
    ),
    Fault("an empty page", _records()),
    Fault("no records but texts", _records(b"%s", b"[%s]", b"5", b"null")),
    Fault(
        "names that come twice",
        _body(lambda page, text: page.replace(b'"email":', b'"email": "%s", "email":' % text.encode())),
        "succeeded",
    ),
    Fault("HTML with the page in it", _head(Content_Type="text/html")),
    Fault("a type with a value", _head(Content_Type="{text}")),
    Fault(
        "a character set with a value",
        _head(Content_Type="application/json; charset={text}"),
        "succeeded",
    ),
    Fault(
        "headers with a value",
        _head(X_User="{text}", Set_Cookie="user={text}", ETag="{text}"),
        "succeeded",
    ),
    Fault("an encoding with a value", _head(Content_Encoding="{text}"), "succeeded"),
    Fault("a length that is none", _head(Content_Length="{text}"), "succeeded"),
    Fault("no such page", _head("404 Not Found")),
    Fault("a reason with a value", _head("403 {text} may not")),
    Fault("an error of the caller's", _head("422 Unprocessable Content")),
    Fault("a redirect with a value", _head("302 Found", Location="/users/{text}?email={text}")),
    Fault("a redirect to nowhere", _head("301 Moved", Location="http://{text}:{text}/[")),
    Fault("an empty error", _head("204 {text}")),
    _passing("a broken zip", _head(Content_Encoding="gzip")),
    _passing("an error of the server's", _head("500 no {text}", Retry_After="{text}")),
    _passing("too many requests", _head("429 {text}")),
    _passing("less than was promised", _raw(lambda good, text: good[:-9])),
    _passing("a connection that is reset", _raw(lambda good, text: good[:-9], "reset")),
    _passing("a hang-up", _raw(lambda good, text: b"", "reset")),
    _passing("a status line that is none", _raw(lambda good, text: text + b" is none\r\n\r\n")),
    _passing(
        "a chunk that has no length",
        _raw(lambda good, text: _CHUNKED + b"2\r\n[]\r\n" + text + b"\r\n" + good),
    ),
)

BROKEN_HEADERS = Fault(
    "headers that are none",
    _raw(
        lambda good, text: good.replace(
            b"\r\n\r\n", b"\r\n%s is none\r\nX-User: %s\r\n\r\n" % (text, text), 1
        )
    ),
    "succeeded",
)

# One of every class of errors with which a server may answer a statement, and some especially revealing ones.
SQLSTATES = (
    *("08006", "21000", "22001", "22003", "22007", "22021", "22P02", "23502", "23503", "23505", "23514"),
    *("25006", "25P02", "28000", "2D000", "3D000", "40001", "40P01", "42501", "42601", "42703", "42P01"),
    *("44000", "53100", "53200", "53300", "54000", "55000", "55P03", "57014", "57P01", "57P03", "58030"),
    *("P0001", "XX000", "XX001"),
)
REFUSED_TABLES = ("users", "users_address", "rejects", "runs")

# Postgres includes the refused row in every text of an error.
REFUSE = """
CREATE OR REPLACE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE WARNING '%', NEW;
    RAISE EXCEPTION USING ERRCODE = TG_ARGV[0], MESSAGE = NEW::text, DETAIL = NEW::text, HINT = NEW::text;
END $$;
CREATE OR REPLACE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table}
FOR EACH ROW EXECUTE FUNCTION refuse('{sqlstate}')
"""
DAWDLE = """
CREATE OR REPLACE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_sleep(60);
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER dawdle BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION dawdle()
"""
RELENT = "DROP FUNCTION IF EXISTS refuse, dawdle CASCADE"
