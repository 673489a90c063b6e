"""`POST /users/lookup`: people are found by a raw value, and the value appears in no log and no answer."""

import json
import logging

import pytest

from chalicelib import privacy, runs, wiring
from chalicelib.forms import Lookup
from chalicelib.privacy import Tokeniser
from tests.builders import RANDOM_DATA_API
from tests.fakes import key, person, uid
from tests.integration.api_support import load
from tests.keys import PII_KEY, pii_keys

OLD, BOTH, NEW = {1: PII_KEY}, {1: PII_KEY, 2: b"2" * 32}, {2: b"2" * 32}

RAW = {
    "first_name": "Zoë",
    "last_name": "O'Neil",
    "username": "zoe.oneil",
    "email": "zoe.oneil@example.com",
    "phone_number": "+45 (555) 123-4567 x89",
    "social_insurance_number": "QQ 12 34 56 C",
    "street": "5 School Lane, Queen's Parade",
}

# The same values in other spellings.
WRITTEN = {
    "first_name": ["  Zoë ", "Zoe\u0308"],
    "last_name": ["O'Neil\t"],
    "username": ["ZOE.Oneil", " zoe.oneil\n"],
    "email": ["Zoe.ONeil@Example.COM", "\u00a0zoe.oneil@example.com"],
    "phone_number": ["+45 5551234567 ext. 89", "45-555-123-4567-89", "٤٥٥٥٥١٢٣٤٥٦٧٨٩"],
    "social_insurance_number": ["qq123456c", "QQ-12.34/56_C"],
    "street": [" 5 School Lane, Queen's Parade "],
}

# Similar, but different values.
OTHER = {
    "first_name": ["zoë", "Zoe", "Zoë Z", "zoe.oneil"],
    "last_name": ["O’Neil", "ONeil"],
    "username": ["zoeoneil", "zoe.oneil@example.com"],
    "email": ["zoe.oneil@example.org", "zoe.oneil", "zoe.oneil+x@example.com"],
    "phone_number": ["555 123-4567 x89", "+45 (555) 123-4567"],
    "social_insurance_number": ["QQ 12 34 56 D", "12 34 56"],
    "street": ["Queen's Parade, 5 School Lane", "5 School Lane"],
}


@pytest.fixture
def zoe(store, tokeniser):
    """Stores her and another person."""
    tokens = {name: tokeniser.token(name, value) for name, value in RAW.items()}
    load(store, person(1, **tokens), person(2))


def found(answer):
    assert answer.status == 200, answer.body
    return [item["uid"] for item in answer.json["items"]]


def test_every_tokenised_field_can_be_looked_up():
    tokens = {column for column, treatment in privacy.TREATMENT_OF.items() if treatment == "token"}
    assert set(Lookup.__struct_fields__) - {"custom"} == tokens == set(RAW)


@pytest.mark.usefixtures("zoe")
@pytest.mark.parametrize("field", RAW)
def test_a_person_is_found_by_each_field(api, field):
    assert found(api.post("/users/lookup", {field: RAW[field]})) == [uid(1)]


@pytest.mark.usefixtures("zoe")
@pytest.mark.parametrize("field", WRITTEN)
def test_a_person_is_found_by_any_spelling_of_the_value(api, field):
    for written in WRITTEN[field]:
        assert found(api.post("/users/lookup", {field: written})) == [uid(1)], written


@pytest.mark.usefixtures("zoe")
@pytest.mark.parametrize("field", OTHER)
def test_nobody_is_found_by_a_value_that_is_only_similar(api, field):
    for other in OTHER[field]:
        assert found(api.post("/users/lookup", {field: other})) == [], other


@pytest.mark.usefixtures("zoe")
@pytest.mark.parametrize("field", RAW)
def test_nobody_is_found_by_a_token_or_by_the_value_of_another_field(api, tokeniser, field):
    stored = tokeniser.token(field, RAW[field])
    assert found(api.post("/users/lookup", {field: stored})) == []
    for other in RAW.keys() - {field}:
        if field != "phone_number" or any(map(str.isdigit, RAW[other])):
            assert found(api.post("/users/lookup", {field: RAW[other]})) == [], other


@pytest.mark.usefixtures("zoe")
def test_all_given_values_must_match(api):
    assert found(api.post("/users/lookup", RAW)) == [uid(1)]
    for field in RAW:
        assert found(api.post("/users/lookup", {**RAW, field: OTHER[field][0]})) == [], field


@pytest.mark.usefixtures("zoe")
def test_a_look_up_shows_a_person_as_other_routes_do(api):
    (item,) = api.post("/users/lookup", {"email": RAW["email"]}).json["items"]

    assert item == api.get(f"/users/{uid(1)}").json


@pytest.mark.parametrize("field", RAW)
def test_after_a_rotation_people_under_the_old_and_the_new_key_are_found(api, store, app_environment, field):
    for number, keys in enumerate((OLD, BOTH)):
        row = person(number, **{field: privacy.Tokeniser(keys).token(field, RAW[field])})
        load(store, row, key=key(max(keys)))

    app_environment(PII_KEYS=pii_keys(BOTH))
    assert found(api.post("/users/lookup", {field: RAW[field]})) == [uid(0), uid(1)]

    app_environment(PII_KEYS=pii_keys(NEW))
    assert found(api.post("/users/lookup", {field: RAW[field]})) == [uid(1)]


def test_after_a_rotation_values_under_different_keys_can_be_combined(api, store, app_environment):
    """No run creates such a row, but all keys are tried for each value."""
    row = person(1, email=privacy.Tokeniser(BOTH).token("email", RAW["email"]))
    load(store, row | {"username": privacy.Tokeniser(OLD).token("username", RAW["username"])})
    app_environment(PII_KEYS=pii_keys(BOTH))

    assert found(api.post("/users/lookup", {"email": RAW["email"], "username": RAW["username"]})) == [uid(1)]


def test_every_person_of_a_run_is_found_by_the_values_that_the_source_sent(api, user_api):
    """Looks up each field of each record as sent, after validation, cleaning and tokenisation."""
    records = RANDOM_DATA_API.samples()
    user_api.script(RANDOM_DATA_API.page(*records))
    assert runs.run_ingest("manual").inserted == len(records)

    for record in records:
        address = record["address"]
        record["street"] = f"{address['street_address']}, {address['street_name']}"
        for field in RAW:
            assert record["uid"] in found(api.post("/users/lookup", {field: record[field]})), field


def test_many_people_with_the_same_value_are_paged(api, store, tokeniser):
    load(store, *[person(number, last_name=tokeniser.token("last_name", "Li")) for number in range(25)])
    pages, query = [], {"limit": 10}

    while True:
        pages.append(api.post("/users/lookup", {"last_name": "Li"}, query=query))
        if not (query := query | {"cursor": pages[-1].json["next"]})["cursor"]:
            break

    assert [who for page in pages for who in found(page)] == [uid(number) for number in range(25)]
    assert [bool(page.next_path) for page in pages] == [True, True, False]


def test_a_cursor_of_one_value_is_refused_with_another(api, store, tokeniser):
    load(store, *[person(number, last_name=tokeniser.token("last_name", "Li")) for number in range(3)])
    cursor = api.post("/users/lookup", {"last_name": "Li"}, query={"limit": 1}).json["next"]

    assert api.post("/users/lookup", {"last_name": "Bo"}, query={"cursor": cursor}).status == 404
    assert api.post("/users/lookup", {"first_name": "Li"}, query={"cursor": cursor}).status == 404


def test_a_cursor_of_a_look_up_survives_a_rotation_of_the_keys(api, store, tokeniser, app_environment):
    load(store, *[person(number, last_name=tokeniser.token("last_name", "Li")) for number in range(3)])
    cursor = api.post("/users/lookup", {"last_name": "Li"}, query={"limit": 1}).json["next"]

    app_environment(PII_KEYS=pii_keys(BOTH))

    assert found(api.post("/users/lookup", {"last_name": "Li"}, query={"cursor": cursor})) == [uid(1), uid(2)]


@pytest.mark.usefixtures("zoe")
@pytest.mark.parametrize("accept", ["application/x-ndjson", "text/csv"])
def test_a_look_up_is_available_in_other_forms_too(api, accept):
    answer = api.post("/users/lookup", {"email": RAW["email"]}, Accept=accept)

    assert answer.headers["content-type"].startswith(accept)
    assert answer.body.count(uid(1).encode()) == 1


# What may be sent

BODIES = {
    "nothing": b"",
    "blanks": b"  ",
    "no JSON": b"{",
    "a form": b"email=hush@example.com",
    "a comment": b'{"email": "hush@example.com"} // yes',
    "two": b'{"email": "hush@example.com"}{}',
    "a list": b'["hush@example.com"]',
    "a text": b'"hush@example.com"',
    "a number": b"1",
    "null": b"null",
    "no field": b"{}",
    "an unknown field": b'{"hush": "hush"}',
    "an unknown field beside a known one": b'{"email": "hush@example.com", "hush@example.com": 1}',
    "a dropped field": b'{"password": "hush"}',
    "a kept field": b'{"country": "hush"}',
    "a number for a text": b'{"phone_number": 4555512345}',
    "null for a text": b'{"email": null}',
    "a list for a text": b'{"email": ["hush@example.com"]}',
    "an object for a text": b'{"email": {"$ne": "hush"}}',
    "an empty text": b'{"email": ""}',
    "a text that is too long": json.dumps({"email": "hush" * 100}).encode(),
    "half of a surrogate pair": b'{"email": "hush\\ud800@example.com"}',
    "bytes that are no UTF-8": b'{"email": "hush\xff@example.com"}',
    "UTF-16": '{"email": "hush@example.com"}'.encode("utf-16"),
    "a control character": b'{"email": "hush\x01@example.com"}',
    "a deep nest": b"[" * 30_000,
    "a deep nest in a field": b'{"email": ' + b"[" * 30_000,
}


def test_an_invalid_body_is_refused_without_repeating_it(api):
    for what, body in BODIES.items():
        answer = api.post("/users/lookup", body, Content_Type="application/json")
        assert (answer.status, answer.json["status"]) == (400, 400), what
        assert answer.headers["content-type"] == "application/problem+json"
        assert "hush" not in f"{answer.body} {answer.headers}", what


def test_a_refusal_names_the_field_and_the_rule(api):
    for body, named in (
        ({"email": 5}, "email"),
        ({"phone_number": ""}, "phone_number"),
        ({"street": "x" * 800}, "street"),
        ({}, "email"),
        ({"nonsense": ""}, "email"),
    ):
        assert named in api.post("/users/lookup", body).json["detail"], body


@pytest.mark.usefixtures("zoe")
def test_a_blank_value_finds_nobody(api):
    """A JSON schema cannot say which characters count as blank, so such a value is not a bad request."""
    for field, value in (
        ("email", "  "),
        ("last_name", "\u001f"),
        ("street", "\t\n"),
        ("phone_number", "none"),
        ("social_insurance_number", "--_"),
    ):
        assert found(api.post("/users/lookup", {field: value})) == [], field
    assert found(api.post("/users/lookup", {"email": RAW["email"], "phone_number": "-"})) == []


def test_the_longest_values_that_can_be_stored_can_be_looked_up(api):
    for field, longest in {**dict.fromkeys(RAW, 200), "email": 320, "street": 702}.items():
        text = ("5" * longest)[:longest]
        assert found(api.post("/users/lookup", {field: text})) == [], field


def test_several_spellings_of_the_json_content_type_are_accepted(api):
    for kind in (
        "application/json",
        "APPLICATION/JSON",
        "application/json; charset=utf-8",
        " application/json;x=y",
    ):
        answer = api.post("/users/lookup", b'{"email": "a@b.cd"}', Content_Type=kind)
        assert answer.status == 200, kind


def test_a_body_with_another_content_type_is_refused(api):
    for kind in (
        "application/x-www-form-urlencoded",
        "text/plain",
        "application/xml",
        "multipart/form-data",
        "",
        "json",
    ):
        answer = api.post("/users/lookup", b'{"email": "a@b.cd"}', Content_Type=kind)
        assert (answer.status, answer.json["status"]) == (415, 415), kind


def test_a_body_of_sixty_four_kilobytes_is_read_and_a_larger_one_is_not(api):
    fits = b'{"email": "a@b.cd"}' + b" " * (65_536 - 19)

    assert api.post("/users/lookup", fits, Content_Type="application/json").status == 200
    answer = api.post("/users/lookup", fits + b" ", Content_Type="application/json")
    assert (answer.status, answer.json["status"]) == (413, 413)


# Where a value must not appear

SECRETS = {
    "first_name": "Hushella",
    "last_name": "Hushington",
    "username": "hush.hush",
    "email": "hush.hush@example.com",
    "phone_number": "+45 5550 4711 0815",
    "social_insurance_number": "HU 47 11 08 15 S",
    "street": "4711 Hush Lane, Hushing",
}


def everything_shown(answer, caplog, capsys):
    return f"{answer.status} {answer.headers} {answer.body} {caplog.text} {capsys.readouterr()}"


def traces(text):
    return [mark for mark in ("hush", "Hush", "4711 0815", "47 11 08 15", "47110815") if mark in text]


@pytest.mark.parametrize("field", SECRETS)
def test_a_value_that_is_looked_up_is_in_no_log_line_no_header_and_no_answer(
    api, store, tokeniser, caplog, capsys, field
):
    caplog.set_level(logging.DEBUG)
    load(store, *[person(n, **{field: tokeniser.token(field, SECRETS[field])}) for n in range(2)])

    answer = api.post("/users/lookup", {field: SECRETS[field]}, query={"limit": 1})

    assert answer.json["next"]
    assert traces(everything_shown(answer, caplog, capsys)) == []


@pytest.mark.parametrize(
    "how",
    [
        {"query": {"cursor": "AAAA"}},
        {"query": {"limit": 0}},
        {"query": {"hush": "Hush"}},
        {"Accept": "image/hush"},
        {"Content_Type": "text/hush"},
        {"key": "hush"},
        {"key": None},
    ],
    ids=lambda how: next(iter(how)),
)
def test_a_refused_look_up_leaves_no_value_anywhere(api, caplog, capsys, how):
    caplog.set_level(logging.DEBUG)

    answer = api.post("/users/lookup", SECRETS, **how)

    assert answer.status >= 400
    assert traces(everything_shown(answer, caplog, capsys)) == []


def test_a_look_up_without_postgres_leaves_no_value_anywhere(api, caplog, capsys, postgres_down):
    caplog.set_level(logging.DEBUG)
    with postgres_down():
        answer = api.post("/users/lookup", SECRETS)

    assert answer.status == 503
    assert traces(everything_shown(answer, caplog, capsys)) == []


@pytest.mark.parametrize("where", ["tokeniser", "store"])
def test_a_look_up_that_breaks_leaves_no_value_anywhere(api, caplog, capsys, monkeypatch, where):
    """Whichever part raises, and whatever its message."""

    def broken():
        raise RuntimeError(f"hush: {SECRETS}")

    caplog.set_level(logging.DEBUG)
    with monkeypatch.context() as patched:
        patched.setattr(wiring, where, broken)
        answer = api.post("/users/lookup", SECRETS)

    assert answer.status == 500
    assert traces(everything_shown(answer, caplog, capsys)) == []


def test_a_person_who_moves_to_a_new_key_during_a_look_up_is_not_said_to_be_unknown(
    api, store, tokeniser, monkeypatch
):
    load(store, person(1, email=tokeniser.token("email", RAW["email"])))
    store.reconcile_keys(tokeniser.proofs(), [])
    other = Tokeniser(BOTH)
    search = wiring.store().list_users

    def search_late(*what):
        store.reconcile_keys(other.proofs(), [])
        changed = person(1, email=other.token("email", RAW["email"]))
        load(store, changed, key=other.key_in_use)
        return search(*what)

    monkeypatch.setattr(wiring.store(), "list_users", search_late)

    assert api.post("/users/lookup", {"email": RAW["email"]}).status == 500


@pytest.mark.parametrize(
    ("keys", "versions"),
    [
        (BOTH, ""),
        ({1: b"!" * 32}, "1"),
        ({1: b"!" * 32, 2: b"2" * 32}, "1"),
        (NEW, "1"),
        ({1: None, **NEW}, ""),
    ],
)
def test_nobody_is_found_under_wrong_keys_but_that_is_an_error(
    api, app_environment, store, caplog, keys, versions
):
    """Otherwise someone who asks to be forgotten would seem not to be stored."""
    load(store, person(1))
    store.reconcile_keys({1: Tokeniser(OLD).proofs()[1]}, [])
    app_environment(PII_KEYS=pii_keys(keys))

    answer = api.post("/users/lookup", {"email": "anyone@example.com"})

    assert answer.status == (500 if versions else 200)
    assert bool(versions) == (f"people are stored under other keys, of version {versions}" in caplog.text)


def test_other_keys_are_no_error_before_anybody_is_stored_under_the_known_ones(api, app_environment, store):
    store.reconcile_keys({1: Tokeniser(OLD).proofs()[1]}, [])
    app_environment(PII_KEYS=pii_keys(NEW))

    assert api.post("/users/lookup", {"email": "anyone@example.com"}).status == 200
