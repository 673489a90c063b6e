"""A run stores and reveals no raw value, whatever the source sends and whatever is wrong with a record."""

import json
from dataclasses import replace
from typing import Any

from msgspec import structs

from chalicelib import runs, wiring
from chalicelib.dialect import Dialect
from chalicelib.sources import client
from chalicelib.users import Email, Text, User
from tests.builders import Api, paged, use
from tests.leaks.canaries import leaves
from tests.leaks.faults import BROKEN_HEADERS, SOURCE_FAULTS, Fault, spoiled
from tests.leaks.revealing_requests import Request
from tests.leaks.scene import Scene, under_all_settings
from tests.leaks.source import Answer, answer


def answers_of(scene: Scene, api: Api, fault: Fault) -> list[Answer]:
    page = api.page(scene.canaries.person(api, fault.name))
    return fault.answers(api, page, scene.canaries.text(fault.name))


@under_all_settings
def test_good_and_bad_records(scene: Scene, api: Api, sql, chosen: dict[str, str]):
    scene.use_dialect(api)
    good = scene.canaries.people(api, "good", 4)
    bad = spoiled(scene.canaries, api)

    assert scene.ingest_page(api, *good) == "succeeded"
    assert scene.ingest_page(api, *[one | {"gender": "Agender"} for one in good], good[0]) == "succeeded"
    assert scene.ingest_page(api, *good * 20, *bad) == "succeeded"
    assert scene.ingest_page(api, good[0], *bad) == "failed"

    assert sql("SELECT count(*) FROM users") == [(4,)]
    assert sql("SELECT count(*), count(sealed) FROM rejects") == [(2 * len(bad), 2 * len(bad) * bool(chosen))]
    for (run_id,) in sql("SELECT run_id FROM runs WHERE rejected > 0"):
        assert scene.replay(run_id) == "succeeded"
    assert scene.leaks() == []


class Person(User):
    mail: Email | None = None
    number: Text | None = None
    kept: Text | None = None
    care_of: Text | None = None  # kept, and yet it holds an address
    digits: int | None = None  # and this a number


def with_custom_fields(dialect: Dialect[Any]) -> Dialect[Any]:
    """The same dialect, which stores some values a second time as custom fields."""

    def to_user(record: Any) -> Person:
        user = dialect.to_user(record)
        assert user
        return Person(
            **structs.asdict(user),
            mail=user.email, number=user.phone_number, kept=user.gender, care_of=f"c/o {user.email}",
            digits=int("".join(filter(str.isdigit, user.phone_number or ""))),
        )  # fmt: skip

    custom: dict[str, Any] = {
        "mail": "token",
        "number": "token",
        "kept": "keep",
        "care_of": "keep",
        "digits": "keep",
    }
    return replace(dialect, to_user=to_user, user_type=Person, custom=custom)


@under_all_settings
def test_custom_fields(scene: Scene, api: Api, sql, chosen, monkeypatch):
    use(monkeypatch, with_custom_fields(api.dialect))
    scene.use_dialect(api)
    good = scene.canaries.people(api, "good", 2)
    mail = next(str(value) for path, value in leaves(good[0]) if path == "email")

    assert scene.ingest_page(api, *good, *spoiled(scene.canaries, api), *good * 40) == "succeeded"

    counts = ", ".join(
        f"count(custom ->> '{name}')" for name in ("mail", "number", "kept", "care_of", "digits")
    )
    assert sql(f"SELECT {counts} FROM users") == [(2, 2, 2, 0, 0)]
    for body, found in ({"mail": mail}, 1), ({"mail": f"{mail}x"}, 0), ({"care_of": mail}, None):
        sent = Request(200, "POST", "/users/lookup", json.dumps({"custom": body}).encode())
        status, answered = scene.ask(sent)
        assert (status, answered.count(b'"uid"')) == ((200, found) if found is not None else (400, 0))
    assert scene.ask(Request(200, "GET", "/users", headers={"Accept": "text/csv"}))[0] == 200
    assert scene.leaks() == []


@under_all_settings
def test_a_cursor_where_the_next_run_continues(scene: Scene, api: Api, sql, chosen, monkeypatch):
    scene.change(SOURCE_PAGES="2")
    scene.use_dialect(api)
    source, cursor = wiring.source(), scene.canaries.text("cursor")
    dialect = paged(source.dialect, next_cursor=lambda page: {"after": cursor})
    monkeypatch.setattr(source, "dialect", dialect)
    monkeypatch.setattr(runs, "_seconds_left", lambda context: 1)

    assert scene.ingest_page(api, scene.canaries.person(api, "good")) == "partial"

    assert sql("SELECT count(next_cursor) FROM runs") == [(len(chosen),)]
    assert scene.leaks() == []


def test_whatever_the_source_answers(scene: Scene, api: Api):
    scene.use_dialect(api)

    for fault in SOURCE_FAULTS:
        answers = answers_of(scene, api, fault)
        if fault.passing:
            assert scene.ingest(*answers[:1] * client.Limits().attempts) == "failed", fault.name
        assert scene.ingest(*answers) == fault.status, fault.name

    assert scene.leaks() == []


def test_headers_that_cannot_be_read(scene: Scene, api: Api):
    scene.use_dialect(api)

    assert scene.ingest(*answers_of(scene, api, BROKEN_HEADERS)) == BROKEN_HEADERS.status

    assert scene.leaks() == []


def test_a_lambda_that_logs_at_debug(scene: Scene, api: Api):
    scene.use_dialect(api)
    good, bad = scene.canaries.people(api, "good", 2), spoiled(scene.canaries, api)
    everywhere = api.page(*good[:1] * 3)  # every record has the unknown fields, so they would be named
    pages = [everywhere, api.page(*good), api.page(*good * 50, *bad), api.page(*good, *bad)]
    scene.system.source.script(
        *(Answer(answer(page)) for page in pages),
        *(one for fault in SOURCE_FAULTS for one in answers_of(scene, api, fault)),
    )

    process = scene.start("ingest", "--times", str(len(pages) + len(SOURCE_FAULTS)))

    assert process.wait() == 0
    said = process.stdout.read_text(encoding="utf-8").splitlines()
    statuses = [json.loads(line)["status"] for line in said if line.startswith('{"run_id"')]
    assert statuses == [*["succeeded"] * 3, "failed", *(fault.status for fault in SOURCE_FAULTS)]
    assert "whatever is logged is seen" in process.stderr.read_text(encoding="utf-8")
    assert scene.leaks() == []
