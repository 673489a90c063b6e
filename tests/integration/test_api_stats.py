"""`GET /stats`, `/contract` and `/health`: correct numbers, computed once for many requests, cheap to ask."""

import contextlib
import itertools
import json
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest

from chalicelib import privacy, wiring
from chalicelib.cache import Cache
from chalicelib.ledger import Ending, RunRequest
from chalicelib.sources import randomuser
from chalicelib.store import Store
from tests.concurrency import at_once
from tests.fakes import key, person, token
from tests.integration.api_support import crowd, load
from tests.keys import PII_KEY, pii_keys

KINDS = ("country", "birth_decade", "plan", "gender", "key_version")


def counted(rows, key):
    """(value, count) pairs, most common first, ties by value, missing values last."""
    counts = Counter(map(key, rows))
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0] is None, pair[0] or ""))


def shown(stats, kind):
    return [(entry["value"], entry["count"]) for entry in stats[kind]]


# Statistics


def test_the_numbers_match_an_independent_count(api, store):
    rows = crowd(300, seed=5)
    load(store, *rows[:200], key=key(1))
    load(store, *rows[200:], key=key(2))

    stats = api.get("/stats").json

    assert stats["total"] == 300
    assert shown(stats, "country") == counted(rows, lambda row: row["country"])
    assert shown(stats, "birth_decade") == counted(rows, lambda row: str(row["birth_year"] // 10 * 10))
    assert shown(stats, "plan") == counted(rows, lambda row: row["subscription_plan"])
    assert shown(stats, "gender") == counted(rows, lambda row: row["gender"])
    assert shown(stats, "key_version") == [("1", 200), ("2", 100)]


def test_without_people_there_is_nothing_to_count(api):
    stats = api.get("/stats").json

    assert stats["total"] == 0
    assert [stats[kind] for kind in KINDS] == [[]] * 5


def test_the_hundred_most_common_values_are_shown_and_all_people_are_counted(api, store):
    rows = [person(number, country=f"Country {min(number, 120 + number % 2):03}") for number in range(300)]
    load(store, *rows)

    stats = api.get("/stats").json

    assert stats["total"] == 300
    assert shown(stats, "country") == counted(rows, lambda row: row["country"])[:100]


def test_an_erased_person_is_no_longer_counted(api, store, redis_client):
    load(store, *(rows := crowd(3)))
    api.delete(f"/users/{rows[0]['uid']}")

    assert api.get("/stats").json["total"] == 2


def test_the_time_of_the_count_is_shown(api):
    computed_at = datetime.fromisoformat(api.get("/stats").json["computed_at"])

    assert abs(datetime.now(UTC) - computed_at) < timedelta(minutes=1)


def test_a_second_request_gets_the_same_bytes_from_redis(api, store):
    first = api.get("/stats")
    load(store, person(1))
    second = api.get("/stats")

    assert [first.headers["x-data-source"], second.headers["x-data-source"]] == ["postgres", "redis"]
    assert first.body == second.body


def test_a_count_is_cached_for_half_a_minute(api, store, redis_client):
    api.get("/stats")
    assert 25 < redis_client.ttl("stats") <= 30

    load(store, person(1))
    redis_client.delete("stats", "stats:lock")

    assert api.get("/stats").json["total"] == 1


def test_cached_statistics_need_no_postgres(api, postgres_down):
    first = api.get("/stats")

    with postgres_down():
        assert api.get("/stats").body == first.body


def test_statistics_work_without_redis(api, redis_down):
    with redis_down():
        answers = [api.get("/stats") for _ in range(2)]

    assert [answer.status for answer in answers] == [200, 200]
    assert answers[1].headers["x-data-source"] == "postgres"


def test_without_postgres_and_a_cached_count_statistics_are_unavailable(api, postgres_down):
    with postgres_down():
        assert api.get("/stats").status == 503


# Many at once

THREADS = 50


class Counting:
    """The store, counting its computations; slow enough for all threads to ask during one."""

    def __init__(self, store):
        self._store = store
        self.computed = 0

    def stats(self):
        self.computed += 1
        threading.Event().wait(0.1)
        return self._store.stats()


def ask_at_once(caches):
    turns = itertools.islice(itertools.cycle(caches), THREADS)
    return at_once(*[lambda cache=cache: cache.get_stats().body for cache in turns])


@pytest.mark.parametrize("containers", [1, 2, 5])
def test_fifty_threads_cause_one_computation_in_any_number_of_containers(
    valkey, redis_client, store, containers
):
    load(store, *crowd(20))
    counting = Counting(store)
    with contextlib.ExitStack() as opened:
        caches = [
            opened.enter_context(contextlib.closing(Cache(valkey.url, counting, 120)))
            for _ in range(containers)
        ]
        bodies = ask_at_once(caches)

    assert counting.computed == 1
    assert len(set(bodies)) == 1
    assert json.loads(bodies[0])["total"] == 20


def test_a_result_that_was_just_computed_by_another_is_used(valkey, redis_client, store, monkeypatch):
    counting = Counting(store)
    with (
        contextlib.closing(Cache(valkey.url, counting, 120)) as cache,
        contextlib.closing(Cache(valkey.url, counting, 120)) as quicker,
    ):
        ask = cache._ask

        def ask_and_be_overtaken(*words, **how):
            held = ask(*words, **how)
            if words[0] == "GET" and not counting.computed:
                quicker.get_stats()
            return held

        monkeypatch.setattr(cache, "_ask", ask_and_be_overtaken)
        assert cache.get_stats().source == "redis"

    assert counting.computed == 1


def test_without_redis_fifty_threads_cause_one_computation_per_container(valkey, store, redis_down):
    counting = Counting(store)
    with contextlib.closing(Cache(valkey.url, counting, 120)) as cache, redis_down():
        assert len(set(ask_at_once([cache]))) == 1

    assert counting.computed == 1


def test_a_failed_computation_does_not_block_the_others_forever(api, store, redis_client, postgres_down):
    """The lock that it leaves behind expires, and nobody waits longer than that."""
    with postgres_down():
        assert api.get("/stats").status == 503
    assert redis_client.pttl("stats:lock") <= 20_000


# The contract


def test_the_contract_is_the_table_that_the_pipeline_uses(api):
    answer = api.get("/contract").json

    assert answer["fields"] == [
        {"path": field.path, "treatment": field.treatment, "column": field.column, "note": field.note}
        for field in privacy.CONTRACT
    ] + [
        {"path": path, "treatment": "drop", "column": None, "note": ""}
        for path in ("id", "password", "avatar", "credit_card")
    ]
    assert answer["hash"] == privacy.contract_hash({})


def test_the_contract_shows_what_the_dialect_drops(api, app_environment):
    app_environment(SOURCE_DIALECT="randomuser")

    fields = api.get("/contract").json["fields"]

    paths = {field["path"] for field in fields if field["treatment"] == "drop"}
    assert paths == set(randomuser.DIALECT.dropped)


def test_the_contract_shows_the_newest_key_version_and_no_key(api, app_environment):
    app_environment(PII_KEYS=pii_keys({1: PII_KEY, 7: b"7" * 32}))

    answer = api.get("/contract")

    assert answer.json["key_version"] == 7
    for setting in (pii_keys({1: PII_KEY}), pii_keys({7: b"7" * 32})):
        assert next(iter(json.loads(setting).values())) not in answer.body.decode()


# Health


def test_health_is_ok_when_all_is_well(api):
    answer = api.get("/health", key=None)

    assert answer.status == 200
    assert answer.json["status"] == "ok"
    assert answer.json["postgres"] == answer.json["redis"] == {"ok": True}
    assert answer.json["last_success_age_seconds"] is None


def test_health_shows_how_long_ago_a_run_last_succeeded(api, store, sql):
    load(store, person(1))
    sql("UPDATE runs SET finished_at = now() - interval '90 seconds'")
    run = store.open_run(RunRequest("another", "manual", 1), "0" * 16, 1)
    store.finish_run(run.run_id, Ending("failed", "it failed"))

    assert 90 <= api.get("/health").json["last_success_age_seconds"] < 100


def test_without_redis_the_service_is_degraded_and_serves(api, redis_down):
    with redis_down():
        answer = api.get("/health")

    assert (answer.status, answer.json["status"], answer.json["redis"]) == (200, "degraded", {"ok": False})


def test_without_postgres_the_service_is_down(api, postgres_down):
    with postgres_down():
        answer = api.get("/health")

    assert (answer.status, answer.json["status"], answer.json["postgres"]) == (503, "down", {"ok": False})


def test_hits_misses_fills_and_errors_of_the_cache_are_counted(api, store, redis_client):
    load(store, *(rows := crowd(3)))

    for row in (rows[0], rows[0], rows[0], rows[1]):
        api.get(f"/users/{row['uid']}")

    assert api.get("/health").json["cache"] == {"hits": 2, "misses": 2, "fills": 2, "errors": 0}


def test_an_outage_of_redis_is_counted_as_an_error(api, redis_down):
    wiring.cache()
    with redis_down():
        api.get(f"/users/{person(1)['uid']}")
        counts = api.get("/health").json["cache"]

    assert counts["errors"] >= 1
    assert counts["misses"] == 1


def test_an_unknown_person_is_a_miss_and_no_fill(api):
    api.get(f"/users/{person(1)['uid']}")

    assert api.get("/health").json["cache"] == {"hits": 0, "misses": 1, "fills": 0, "errors": 0}


# The re-identification risk


def test_the_risk_counts_people_with_the_same_kept_values(api, store):
    alike = [person(number) for number in range(6)]
    three = [person(number, birth_year=1950) for number in range(10, 13)]
    alone = [person(20, gender=None), person(21, city="Tórshavn"), person(22, employment_title="Cook")]
    load(store, *alike, *three, *alone)

    risk = api.get("/stats").json["risk"]

    assert risk.pop("repetitive_tokens")
    assert risk == {
        "quasi_identifiers": ["birth_year", "zip_prefix", "city", "gender", "employment_title"],
        "k_anonymity": 1,
        "groups": 5,
        "small_group": 5,
        "in_small_groups": 6,
        "share_in_small_groups": 0.5,
    }


def test_without_people_there_is_no_risk(api):
    risk = api.get("/stats").json["risk"]

    assert (risk["k_anonymity"], risk["groups"], risk["in_small_groups"]) == (None, 0, 0)
    assert (risk["share_in_small_groups"], risk["repetitive_tokens"]) == (0.0, [])


def test_people_who_arrive_during_the_count_do_not_spoil_its_shares(api, store, monkeypatch):
    load(store, *crowd(3, seed=1))
    execute = Store._execute

    def count_late(self, query, values, conn):
        if query == "risk":
            load(store, *crowd(30, seed=2))
        return execute(self, query, values, conn)

    monkeypatch.setattr(Store, "_execute", count_late)
    risk = api.get("/stats").json["risk"]

    assert risk["in_small_groups"] > 3
    assert risk["share_in_small_groups"] <= 1


def test_tokens_that_repeat_often_are_reported(api, store):
    people = [
        person(number, email=f"v1_{number:024}", first_name=token("ab"[number % 2]), street=token("s"))
        for number in range(10)
    ]
    load(store, *people)

    distinct = {one["column"]: one["distinct"] for one in api.get("/stats").json["risk"]["repetitive_tokens"]}

    assert "email" not in distinct
    assert (distinct["first_name"], distinct["street"]) == (2, 1)


def test_the_risk_covers_every_token_column_and_the_kept_columns_that_it_names(api, store):
    load(store, *[person(number) for number in range(5)])

    risk = api.get("/stats").json["risk"]

    tokens = {column for column, treatment in privacy.TREATMENT_OF.items() if treatment == "token"}
    assert {one["column"] for one in risk["repetitive_tokens"]} == tokens
    assert not set(risk["quasi_identifiers"]) & tokens


def test_a_group_of_five_is_not_small(api, store):
    load(store, *[person(number) for number in range(5)])

    risk = api.get("/stats").json["risk"]

    assert (risk["k_anonymity"], risk["small_group"], risk["in_small_groups"]) == (5, 5, 0)
