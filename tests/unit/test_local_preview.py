"""`make preview < page.json`: what a dialect makes of a page, without a server."""

import io
import json
import re
import sys
from dataclasses import replace
from uuid import UUID

import pytest

from chalicelib.paging import Paging
from local import preview, settings
from tests.builders import use
from tests.fakes import uid
from tests.unit.test_custom import EMPLOYEES, Person

SEVERAL = [
    {"id": uid(1), "tongue": " pt ", "boss": "Ann@Example.com", "roles": ["dev", "ann@example.org"]},
    {"id": uid(2), "boss": "nobody", "level": 3},
    {"id": uid(3), "shoe_size": 44, "Jane Doe": 1},
    {"id": uid(3), "shoe_size": 45},
    {"id": uid(4), "tongue": "gone"},
]


def unless_gone(one):
    return None if one.tongue == "gone" else EMPLOYEES.to_user(one)


@pytest.fixture
def shown(monkeypatch, capsys):
    """Shows what a dialect makes of stdin; returns the status, the lines of stdout, and stderr."""

    def shown(body, dialect=EMPLOYEES, name="employees"):
        use(monkeypatch, dialect)
        monkeypatch.setattr(settings, "chosen", lambda: {"SOURCE_DIALECT": name})
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(body)))
        status = preview.main()
        said = capsys.readouterr()
        return status, said.out.splitlines(), said.err

    return shown


def test_a_page_becomes_counts_names_and_one_person(shown):
    status, lines, err = shown(json.dumps(SEVERAL).encode(), replace(EMPLOYEES, to_user=unless_gone))

    head = lines.index("{")
    assert (status, err) == (0, "")
    assert lines[:head] == [
        "records: 5 (2 to store, 1 rejected, 1 filtered, 1 of a uid that comes again)",
        "rejected: record 2, custom.boss: conversion",
        "unknown: shoe_size, 2 (not in the dialect, so dropped)",
        "unknown: 1 more, whose names may be values",
        "withheld: custom.roles, 1 (an e-mail address or a long number)",
        "the first person, as stored, but with tokens of another key:",
    ]
    person = json.loads("\n".join(lines[head:]))
    assert (person["uid"], person["address"]["city"]) == (uid(1), None)
    assert (person["custom"]["tongue"], person["custom"]["roles"]) == ("pt", ["dev"])
    assert person["custom"]["boss"].startswith("v1_")
    assert not {"version", "updated_at"} & person.keys()
    assert not [line for line in lines if "@" in line or "Jane" in line]


def test_tokens_are_made_with_another_key_each_time(shown):
    page = json.dumps(SEVERAL[:1]).encode()

    assert shown(page)[1] != shown(page)[1]


def test_where_the_next_page_is_and_how_many_records_there_are(shown):
    paging = Paging(lambda page, size: {}, next_cursor=lambda page: page["next"], total="total")
    paged = replace(EMPLOYEES, paging=paging, envelope="items")

    def said(following):
        body = {"items": [{"id": uid(1)}], "next": following, "total": 1_234}
        return shown(json.dumps(body).encode(), paged)[1]

    assert {"next page: its place is known", "total: 1,234 records"} <= set(said({"after": "ann"}))
    assert "next page: none" in said(None)
    assert not [line for line in said({"after": "ann"}) if "ann" in line]


def test_many_rejects_are_summed_up(shown):
    _, lines, _ = shown(json.dumps([{"id": n} for n in range(23)]).encode())

    assert lines[0] == "records: 23 (0 to store, 23 rejected, 0 filtered, 0 of a uid that comes again)"
    assert lines[20:] == ["rejected: record 20, id: type", "rejected: 3 more"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", "page 1: the body is not valid JSON, or is cut off"),
        (b'[{"id": "hush', "page 1: the body is not valid JSON, or is cut off"),
        (b'{"data": ["hush"]}', "page 1: the body holds no list of records in the format of employees"),
        (b"[]", "page 1: no records"),
    ],
)
def test_what_is_no_page_is_an_error_as_in_a_run(shown, body, error):
    assert shown(body) == (1, [], f"make preview: {error}\n")


def test_a_dialect_that_contradicts_itself_is_an_error(shown):
    other = replace(EMPLOYEES, to_user=lambda one: Person(uid=UUID(uid(9))))

    assert "finds another uid than to_user gives" in shown(json.dumps(SEVERAL).encode(), other)[2]
    assert shown(b"[]", name="none-such")[2].startswith("make preview: SOURCE_DIALECT: must be one of")


def test_an_exception_of_the_dialects_shows_its_place_and_no_value(shown):
    def to_user(one):
        raise AssertionError(one.boss)

    _, lines, err = shown(json.dumps(SEVERAL[:1]).encode(), replace(EMPLOYEES, to_user=to_user))

    assert lines == []
    assert re.fullmatch(r"make preview: AssertionError at test_local_preview\.py:\d+ \(from .+\)\n", err)


def test_it_ends_when_nobody_reads_it_any_more(shown, unread_stdout):
    with unread_stdout():
        assert shown(json.dumps(SEVERAL).encode()) == (0, [], "")


def test_ctrl_c_ends_it_without_a_traceback(shown, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(preview, "preview", interrupted)

    assert shown(b"[]") == (130, [], "")
