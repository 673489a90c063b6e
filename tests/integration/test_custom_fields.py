"""Fields that a dialect adds, from the source to the answer."""

import base64
import csv
import io
import json
from dataclasses import replace

import pytest

from chalicelib import runs, wiring
from chalicelib.ledger import RunRequest
from chalicelib.opening import open_run
from chalicelib.users import Text, User
from tests.builders import leaves_of, use
from tests.fakes import uid
from tests.integration.test_ingest import OTHER_KEY, token
from tests.keys import PII_KEY, pii_keys
from tests.unit.test_custom import EMPLOYEES, Employee

BOSS = "Ann.Boss@example.com"
FULL = {
    "tongue": " pt ", "boss": BOSS, "level": 3, "score": 0.5, "active": True, "hired": "2020-02-29",
    "seen": "2026-01-31T14:00:00.5+02:00", "team": uid(7), "roles": ["ops", " dev "], "scores": [0.5, 3.25],
    "aliases": ["Ann@example.org", "ann@example.net"],
}  # fmt: skip


def shown(key=PII_KEY, version=1, **changed):
    given = {
        **FULL,
        "tongue": "pt",
        "boss": token("custom.boss", BOSS.lower(), key, version),
        "roles": ["ops", "dev"],
    }
    aliases = [token("custom.aliases", alias.lower(), key, version) for alias in FULL["aliases"]]
    return given | {"seen": "2026-01-31T12:00:00.500000Z", "aliases": aliases} | changed


@pytest.fixture
def ingest(monkeypatch, app_environment, user_api):
    """Does a run over one page of these records, given by the number of their uid."""

    def run(records, dialect=EMPLOYEES, **changed):
        use(monkeypatch, dialect)
        app_environment(SOURCE_DIALECT="employees", MAX_REJECT_RATIO="1", **changed)
        user_api.script(json.dumps([{"id": uid(n), **one} for n, one in records.items()]).encode())
        return runs.run_ingest("manual")

    return run


def custom_of(api, number):
    return api.get(f"/users/{uid(number)}").json.get("custom")


def test_custom_fields_are_stored_and_the_same_from_redis_postgres_and_the_list(api, ingest, redis_client):
    report = ingest({1: FULL, 2: {}})

    assert (report.status, report.inserted) == ("succeeded", 2)
    cached = api.get(f"/users/{uid(1)}")
    redis_client.flushall()
    read = api.get(f"/users/{uid(1)}")
    assert [answer.headers["x-data-source"] for answer in (cached, read)] == ["redis", "postgres"]
    assert cached.body == read.body
    assert cached.json["custom"] == shown()
    assert api.get("/users").json["items"][0] == cached.json
    assert custom_of(api, 2) == dict.fromkeys(FULL)


NUMBERS = [0, -0.0, 5, 5.0, 0.1, -3.25, 1e7, 99999999, 0.0001, 1e-7, 12345.678, 1.5e-5]


@pytest.mark.parametrize("number", NUMBERS)
def test_a_number_is_the_same_from_redis_and_postgres(api, ingest, redis_client, number):
    ingest({1: {"score": number}})
    cached = api.get(f"/users/{uid(1)}").body
    redis_client.flushall()
    assert api.get(f"/users/{uid(1)}").body == cached
    assert json.loads(cached)["custom"]["score"] == number


def test_only_a_change_is_an_update(api, ingest):
    assert ingest({1: FULL}).inserted == 1
    assert ingest({1: FULL}).unchanged == 1
    assert ingest({1: {**FULL, "level": 4}}).updated == 1
    assert custom_of(api, 1) == shown(level=4)


def test_no_raw_value_of_a_token_is_stored(ingest, sql, redis_client):
    ingest({1: FULL})

    (row,) = sql("SELECT to_jsonb(users)::text FROM users")[0]
    (entry,) = (redis_client.get(key) for key in redis_client.keys("user:*"))
    assert "pt" in row
    assert b"pt" in entry
    assert "@" not in row
    assert b"@" not in entry


def test_a_kept_value_that_identifies_is_withheld_and_counted(api, ingest):
    report = ingest({1: {"tongue": "call 0151 2345678", "level": 491715550123, "score": 38.7107123}, 2: FULL})

    assert report.withheld == {"custom.tongue": 1, "custom.level": 1, "custom.score": 1}
    assert api.get(f"/runs/{report.run_id}").json["withheld"] == 3
    assert custom_of(api, 1) == dict.fromkeys(FULL)


def test_of_a_list_only_what_identifies_is_withheld(api, ingest):
    roles = ["dev", "ann@example.com", "0151 234", "56 78 90"]  # together, the last two would be a number
    report = ingest({1: {"roles": roles}, 2: {"roles": ["x@y.z"], "scores": [1.5, 491715550123]}, 3: FULL})

    assert report.withheld == {"custom.roles": 2, "custom.scores": 1}
    assert custom_of(api, 1)["roles"] == ["dev", "0151 234", "56 78 90"]
    assert custom_of(api, 2) == {**dict.fromkeys(FULL), "scores": [1.5]}
    assert custom_of(api, 3) == shown()


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", f"{'9' * 400}.0"])
def test_a_number_that_json_cannot_write_makes_a_reject(api, ingest, user_api, number):
    ingest({1: {"score": 0.5}})
    user_api.script(f'[{{"id": "{uid(1)}", "score": {number}}}, {{"id": "{uid(2)}"}}]'.encode())

    report = runs.run_ingest("manual")

    assert (report.rejected, report.inserted, report.updated) == (1, 1, 0)
    assert report.rejects_by_rule == {("score", "range"): 1}
    assert custom_of(api, 1)["score"] == 0.5


def test_a_field_that_nobody_has_any_more_makes_a_run_partial(ingest):
    people = {number: {"tongue": "pt", "level": number} for number in range(30)}
    assert ingest(people).status == "succeeded"

    report = ingest({number: {"level": number} for number in people})

    assert report.status == "partial"
    assert "nobody has a value for custom.tongue" in report.error


def test_fields_come_and_go_with_the_next_record(api, ingest, sql):
    class Shorter(User):
        tongue: Text | None = None

    shorter = replace(
        EMPLOYEES,
        to_user=lambda one: Shorter(uid=one.id, last_name="Prado", tongue=one.tongue),
        user_type=Shorter,
        custom={"tongue": "keep"},
    )
    none = replace(
        EMPLOYEES, to_user=lambda one: User(uid=one.id, last_name="Prado"), user_type=User, custom={}
    )

    hashes = []
    more_and_less = [(none, None), (EMPLOYEES, shown()), (shorter, {"tongue": "pt"}), (none, None)]
    for dialect, expected in more_and_less:
        report = ingest({1: FULL}, dialect)
        assert report.inserted + report.updated == 1
        assert custom_of(api, 1) == expected
        hashes.append(api.get(f"/runs/{report.run_id}").json["contract_hash"])
        assert api.get("/contract").json["hash"] == hashes[-1]
    assert len(set(hashes[:3])) == 3
    assert hashes[0] == hashes[3]
    assert sql("SELECT custom FROM users") == [(None,)]


def test_the_contract_lists_custom_fields(api, ingest):
    ingest({1: FULL})

    rows = api.get("/contract").json["fields"]

    assert {"path": "custom.boss", "treatment": "token", "column": "custom.boss", "note": ""} in rows
    assert {row["treatment"] for row in rows if row["path"].startswith("custom.")} == {"keep", "token"}
    assert len([row for row in rows if row["path"].startswith("custom.")]) == len(FULL)


def test_csv_has_a_column_for_each(api, ingest):
    ingest({1: FULL, 2: {}})

    text = api.get("/users", Accept="text/csv").body.decode()

    one, two = csv.DictReader(io.StringIO(text, newline=""))
    assert {name: one[f"custom.{name}"] for name in FULL} == {
        name: json.dumps(value, separators=(",", ":")) if isinstance(value, bool | list) else str(value)
        for name, value in shown().items()
    }
    assert {two[f"custom.{name}"] for name in FULL} == {""}


def test_a_replay_stores_custom_fields(api, ingest):
    class Lenient(User):
        boss: Text | None = None

    def lenient(one):
        return Lenient(uid=one.id, last_name="Prado", boss=one.boss)

    key = base64.b64encode(bytes(range(32))).decode()
    rejected = ingest({1: {"boss": "Ann"}}, QUARANTINE_KEY=key)
    assert rejected.rejects_by_rule == {("custom.boss", "conversion"): 1}
    tolerant = replace(EMPLOYEES, to_user=lenient, user_type=Lenient, custom={"boss": "token"})
    assert ingest({2: {}}, tolerant, QUARANTINE_KEY=key).status == "succeeded"

    assert runs.replay(rejected.run_id).inserted == 1

    assert custom_of(api, 1) == {"boss": token("custom.boss", "Ann")}


def test_a_queued_run_stores_custom_fields(api, ingest, user_api):
    ingest({2: {}})
    source, custom = wiring.source(), EMPLOYEES.custom
    request = RunRequest(source.name, "manual", 1, queued=True)
    run = open_run(wiring.store(), wiring.tokeniser(), request, custom)
    user_api.script(json.dumps([{"id": uid(1), **FULL}]).encode())

    report = runs.ingest_page({"run_id": run.run_id, "page": 1}, 1)

    assert (report.status, report.inserted) == ("succeeded", 1)
    assert custom_of(api, 1) == shown()


# Found


def found(answer):
    assert answer.status == 200, answer.body
    return [person["uid"] for person in answer.json["items"]]


@pytest.mark.parametrize(
    ("filters", "matches"),
    [
        ({"tongue": "pt"}, [1, 3]),
        ({"tongue": "pt", "level": "3"}, [1]),
        ({"active": "true"}, [1]),
        ({"active": "false"}, [3]),
        ({"score": "0.5"}, [1]),
        ({"score": "5e-1"}, [1]),
        ({"score": "3"}, [5]),
        ({"score": "3.0"}, [5]),
        ({"score": "1e-7"}, [6]),
        ({"seen": "2026-01-31T12:00:00.5Z"}, [1]),
        ({"seen": "2026-01-31T06:30:00.5-05:30"}, [1]),
        ({"seen": "2026-01-31T12:00:00.500000Z"}, [1]),
        ({"team": uid(7)}, [1]),
        ({"hired": "2020-02-29"}, [1]),
        ({"roles": "dev"}, [1, 3]),
        ({"roles": "ops"}, [1]),
        ({"roles": "dev", "tongue": "pt"}, [1, 3]),
        ({"roles": "de"}, []),
        ({"roles": "dev,ops"}, []),
        ({"scores": "3.0"}, [4]),
        ({"scores": "5e-1"}, [1]),
        ({"tongue": "PT"}, []),
        ({"tongue": "null"}, []),
    ],
    ids=str,
)
def test_kept_fields_are_filters(api, ingest, filters, matches):
    ingest({
        1: FULL, 2: {"tongue": "de"}, 3: {"tongue": "pt", "active": False, "roles": ["dev"]},
        4: {"scores": [3]}, 5: {"score": 3}, 6: {"score": 1e-7},
    })  # fmt: skip

    query = {f"custom[{name}]": value for name, value in filters.items()}

    assert found(api.get("/users", query=query)) == [uid(number) for number in matches]
    assert found(api.get("/users", query={**query, "country": "none"})) == []


def test_a_filtered_list_is_paged(api, ingest):
    ingest({number: {"tongue": "pt" if number % 2 else "de"} for number in range(9)})

    pages = api.walk("/users", query={"custom[tongue]": "pt", "limit": 2})

    assert [found(page) for page in pages] == [[uid(1), uid(3)], [uid(5), uid(7)]]
    both = [("custom[tongue]", "pt"), ("custom[active]", "false")]
    ingest({number: {"tongue": "pt", "active": False} for number in range(9)})
    cursor = api.get("/users", query=[*both, ("limit", 2)]).json["next"]
    assert found(api.get("/users", query=[*reversed(both), ("limit", 1), ("cursor", cursor)])) == [uid(2)]
    cursor = pages[0].json["next"]
    assert api.get("/users", query={"custom[tongue]": "de", "cursor": cursor}).status == 404


def test_a_token_is_looked_up_under_every_key(api, ingest, app_environment):
    ingest({1: FULL, 2: {"boss": "other@example.com"}})
    ingest({3: FULL}, PII_KEYS=pii_keys({1: PII_KEY, 2: OTHER_KEY}))

    answer = api.post("/users/lookup", {"custom": {"boss": f" {BOSS.upper()}"}})

    assert found(answer) == [uid(1), uid(3)]
    assert answer.json["items"][1]["custom"] == shown(OTHER_KEY, 2)
    for alias in FULL["aliases"]:
        assert found(api.post("/users/lookup", {"custom": {"aliases": alias}})) == [uid(1), uid(3)]
    assert found(api.post("/users/lookup", {"custom": {"aliases": BOSS}})) == []
    assert found(api.post("/users/lookup", {"custom": {"aliases": "ann@example.net", "boss": BOSS}})) == [
        uid(1),
        uid(3),
    ]
    assert found(api.post("/users/lookup", {"custom": {"boss": BOSS}, "last_name": "Prado"})) == [
        uid(1),
        uid(3),
    ]
    assert found(api.post("/users/lookup", {"custom": {"boss": BOSS}, "last_name": "Berg"})) == []
    assert found(api.post("/users/lookup", {"custom": {"boss": " "}})) == []


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        (
            {"custom[shoe]": "44"},
            "custom: unknown field; allowed: tongue, level, score, active, hired, seen, team, roles, scores",
        ),
        (
            {"custom[boss]": BOSS},
            "custom: unknown field; allowed: tongue, level, score, active, hired, seen, team, roles, scores",
        ),
        ({"custom[tongue]": ""}, "custom: Expected text of length >= 1"),
        ({"custom[level]": "three"}, "custom: no value of level is written like this"),
        (
            {"custom[active]": "yes", "custom[score]": "nan"},
            "custom: no value of active, score is written like this",
        ),
        ({"custom[score]": "null"}, "custom: no value of score is written like this"),
        ({"custom[hired]": "2020-02-30"}, "custom: no value of hired is written like this"),
        ({"custom[tongue]": "x" * 201}, "custom: no value of tongue is written like this"),
        ({"limit[x]": "5"}, "limit: Expected a whole number, got an object"),
        ({"custom": "pt"}, "custom: Expected an object"),
        (
            {"other[tongue]": "pt"},
            "unknown field; allowed: limit, cursor, country, state, city, gender, plan, ",
        ),
        ({"country[tongue]": "pt"}, "country: Expected text, got an object"),
        ({"custom[a][b]": "pt"}, "unknown field; allowed: "),
        ([("custom[tongue]", "pt"), ("custom", "de")], "a parameter may be given only once"),
        ([("custom", "de"), ("custom[tongue]", "pt")], "a parameter may be given only once"),
        ([("custom[tongue]", "pt"), ("custom[tongue]", "de")], "a parameter may be given only once"),
    ],
    ids=str,
)
def test_a_wrong_filter_is_refused(api, ingest, query, detail):
    ingest({1: FULL})

    answer = api.get("/users", query=query)

    assert (answer.status, answer.json["title"]) == (400, "Malformed query")
    assert answer.json["detail"].startswith(detail)
    assert "shoe" not in answer.json["detail"]


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        ({"custom": {"tongue": "pt"}}, "custom: unknown field; allowed: boss, aliases"),
        ({"custom": {"boss": BOSS, "Ann": "x"}}, "custom: unknown field; allowed: boss, aliases"),
        ({"custom": {}}, "custom: Expected an object of length >= 1"),
        ({"custom": {"boss": ""}}, "custom: Expected text of length >= 1"),
        ({"custom": {"boss": 5}}, "custom: Expected text, got a whole number"),
        ({"custom": BOSS}, "custom: Expected an object"),
    ],
    ids=str,
)
def test_a_wrong_look_up_is_refused(api, ingest, body, detail):
    ingest({1: FULL})

    answer = api.post("/users/lookup", body)

    assert (answer.status, answer.json["detail"]) == (400, detail)
    assert "Ann" not in answer.json["detail"]


def test_without_custom_fields_there_is_nothing_to_filter_or_look_up(api):
    assert (
        api.get("/users", query={"custom[tongue]": "pt"}).json["detail"]
        == "custom: unknown field; allowed: none"
    )
    assert (
        api.post("/users/lookup", {"custom": {"boss": BOSS}}).json["detail"]
        == "custom: unknown field; allowed: none"
    )


def test_an_erasure_removes_custom_values(api, ingest, sql):
    ingest({1: FULL})

    assert api.delete(f"/users/{uid(1)}").status == 200

    assert sql("SELECT count(*) FROM users") == [(0,)]
    assert ingest({1: FULL}).suppressed == 1


def test_a_type_that_to_user_does_not_return_fails_the_run(ingest, sql):
    wrong = replace(EMPLOYEES, to_user=lambda one: User(uid=one.id))

    report = ingest({1: FULL}, wrong)

    assert report.status == "failed"
    assert "to_user of employees returns a User, but its user_type is Person" in report.error
    assert sql("SELECT count(*) FROM users") == [(0,)]


def test_every_field_of_the_record_is_covered():
    assert FULL.keys() == set(Employee.__struct_fields__) - {"id"} == EMPLOYEES.custom.keys()
    assert len(leaves_of(shown())) == len(FULL) + 3  # the second values of lists
