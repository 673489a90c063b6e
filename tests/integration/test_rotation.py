"""Keys are rotated as docs/privacy.md says; people can still be found, and erased people do not come back."""

import base64
import json
import re

import pytest

from chalicelib import runs
from chalicelib.errors import ConfigError
from chalicelib.privacy import Tokeniser
from tests.builders import RANDOM_DATA_API
from tests.fakes import uid
from tests.integration.api_support import ROOT
from tests.keys import PII_KEY, pii_keys

KEYS = {1: PII_KEY, 2: b"2" * 32, 3: b"3" * 32}
OLD, BOTH, NEW = {1: KEYS[1]}, {1: KEYS[1], 2: KEYS[2]}, {2: KEYS[2]}
ERASED = 3


def record(number):
    return RANDOM_DATA_API.record({"uid": uid(number), "email": f"person{number}@example.com"})


@pytest.fixture
def ingest(user_api, app_environment):
    """Does one run over the people with these numbers, under the current keys."""

    def run(*numbers):
        user_api.script(RANDOM_DATA_API.page(*[record(number) for number in numbers]))
        return runs.run_ingest("manual")

    return run


@pytest.fixture
def use(app_environment, redis_client):
    """Sets the keys. Flushes Redis, as statistics are cached for half a minute."""

    def change(keys):
        redis_client.flushall()
        app_environment(PII_KEYS=pii_keys(keys) if isinstance(keys, dict) else keys)

    return change


def is_found(api, number):
    answer = api.post("/users/lookup", {"email": f"PERSON{number}@example.com "})
    return [item["uid"] for item in answer.json["items"]] == [uid(number)]


def versions(api, redis_client, kind="key_version"):
    redis_client.flushall()
    return {int(count["value"]): count["count"] for count in api.get("/stats").json[kind]}


def given_up(version, keys):
    return json.dumps({**json.loads(pii_keys(keys)), str(version): None})


def test_two_rotations_from_start_to_end(api, ingest, use, redis_client, sql):
    assert ingest(1, 2, ERASED).inserted == 3
    api.delete(f"/users/{uid(ERASED)}")

    use(BOTH)
    assert versions(api, redis_client) == {1: 2}
    assert all(is_found(api, number) for number in (1, 2))
    report = ingest(1, ERASED)  # person 2 is not sent
    assert (report.updated, report.suppressed, report.inserted) == (1, 1, 0)
    assert versions(api, redis_client) == {1: 1, 2: 1}
    assert versions(api, redis_client, "erasure_key_version") == {2: 1}
    assert all(is_found(api, number) for number in (1, 2))

    use(NEW)  # too early
    report = runs.run_ingest("manual")
    assert report.status == "failed"
    assert report.error.startswith(
        "PII_KEYS: version 1 is missing, but needed (people: 1, erasures: 0, sealed records: 0)"
    )
    assert sql("SELECT count(*) FROM users") == [(2,)]

    use(BOTH)
    assert (ingest(1, 2).unchanged, versions(api, redis_client)) == (1, {2: 2})

    use(NEW)
    assert ingest(1, 2, ERASED).suppressed == 1
    assert sql("SELECT version FROM key_versions") == [(2,)]

    use({2: KEYS[2], 3: KEYS[3]})
    assert ingest(1, 2, ERASED).updated == 2
    assert all(is_found(api, number) for number in (1, 2))
    use({3: KEYS[3]})
    assert ingest(1, 2, ERASED).unchanged == 2
    assert versions(api, redis_client) == versions(api, redis_client, "key_version") == {3: 2}
    assert not is_found(api, ERASED)


def test_the_key_of_an_erasure_cannot_be_removed(api, ingest, use, sql):
    """Nothing else needs this key, but without it the person would come back."""
    api.delete(f"/users/{uid(ERASED)}")
    use(NEW)

    report = ingest(ERASED)

    assert report.status == "failed"
    assert "(people: 0, erasures: 1, sealed records: 0)" in report.error
    assert sql("SELECT count(*) FROM users") == [(0,)]
    assert sql("SELECT error FROM runs") == [(report.error,)]


def test_an_erased_person_stays_away_when_a_new_key_is_taken_back(api, ingest, use, sql, redis_client):
    """Also if a process that has not yet heard of it remembers the erasure under that key."""
    ingest(ERASED)
    use(given_up(2, OLD))
    api.delete(f"/users/{uid(ERASED)}")
    use(BOTH)
    assert ingest(ERASED).suppressed == 1
    assert versions(api, redis_client, "erasure_key_version") == {2: 1}

    use(given_up(2, OLD))
    assert ingest(ERASED).suppressed == 1
    assert versions(api, redis_client, "erasure_key_version") == {1: 1}
    use(given_up(2, {3: KEYS[3]}))  # too early
    assert "version 1 is missing, but needed (people: 0, erasures: 1," in runs.run_ingest("manual").error
    use(json.dumps(json.loads(given_up(2, OLD)) | json.loads(pii_keys({3: KEYS[3]}))))
    assert ingest(ERASED).suppressed == 1
    use(given_up(2, {3: KEYS[3]}))
    assert ingest(ERASED).suppressed == 1
    assert sql("SELECT key_version(uid_token), moved_to IS NULL FROM erasures ORDER BY 1") == [
        (2, True),
        (3, True),
    ]


def test_an_erasure_is_undone_by_the_token_of_its_receipt_also_after_rotations(api, ingest, use, sql):
    """As docs/privacy.md says."""
    (undo,) = re.findall(r"run `(DELETE FROM erasures .*?)`", (ROOT / "docs/privacy.md").read_text("utf-8"))
    receipt = api.delete(f"/users/{uid(ERASED)}").json
    for keys in (BOTH, {**BOTH, 3: KEYS[3]}):
        use(keys)
        assert ingest(ERASED).suppressed == 1

    sql(undo.replace("'…'", "%s"), receipt["uid_token"])

    assert sql("SELECT count(*) FROM erasures") == [(0,)]
    assert ingest(ERASED).inserted == 1


def test_moved_erasures_are_forgotten_with_their_key_however_many_they_are(api, ingest, use, sql):
    ingest(1)
    use(BOTH)
    ingest(1)
    sql(
        "INSERT INTO erasures (uid_token, moved_to)"
        " SELECT format('v%s_%s', key, name), CASE key WHEN 1 THEN 'v2_' || name END"
        " FROM (SELECT lpad(n::text, 24, '0') AS name FROM generate_series(1, 20000) AS n) AS people"
        " CROSS JOIN generate_series(1, 2) AS key"
    )

    use(NEW)
    assert ingest(1).status == "succeeded"

    assert sql("SELECT count(*) FROM erasures WHERE moved_to IS NOT NULL") == [(0,)]


def test_an_erasure_that_has_moved_is_not_written_again(api, ingest, use, sql):
    api.delete(f"/users/{uid(ERASED)}")
    use(BOTH)
    held = "SELECT ctid, uid_token, moved_to FROM erasures"
    ingest(ERASED)
    before = sql(held)
    ingest(ERASED)

    assert sql(held) == before


def test_an_erasure_made_again_under_a_key_that_was_taken_back_needs_only_this_key(api, use, sql):
    for keys in (OLD, BOTH, given_up(2, OLD)):
        use(keys)
        api.delete(f"/users/{uid(ERASED)}")

    held = sql("SELECT key_version(uid_token) FROM erasures WHERE moved_to IS NULL ORDER BY 1")
    assert held == [(1,), (2,)]


def test_a_version_can_be_given_up_by_force(api, ingest, use):
    ingest(1)
    api.delete(f"/users/{uid(ERASED)}")
    use(given_up(1, NEW))

    report = ingest(1, ERASED)

    assert (report.status, report.updated, report.inserted) == ("succeeded", 1, 1)  # as pii-key's text says


@pytest.fixture
def seal(user_api, app_environment):
    """Does one run, under the current keys, over a person whose record is rejected and sealed."""

    def run():
        app_environment(QUARANTINE_KEY=base64.b64encode(b"q" * 32).decode(), MAX_REJECT_RATIO="1")
        user_api.script(RANDOM_DATA_API.page(RANDOM_DATA_API.record({"uid": uid(1), "email": "none"})))
        runs.run_ingest("manual")

    return run


def test_seals_that_only_a_given_up_key_could_find_are_removed(ingest, use, seal, sql):
    seal()
    held = "SELECT sealed IS NULL, sealed_until IS NULL, uid_token IS NULL FROM rejects"
    assert sql(held) == [(False, False, False)]

    use(given_up(1, NEW))
    ingest(2)

    assert sql(held) == [(True, True, True)]


def test_a_seal_under_a_key_that_stays_is_kept_when_another_is_given_up(ingest, use, seal, sql):
    ingest(2)
    use({1: KEYS[1], **NEW})
    seal()

    use(given_up(1, NEW))
    ingest(2)

    assert sql("SELECT count(sealed), count(uid_token) FROM rejects") == [(1, 1)]


@pytest.mark.parametrize("newest", [2, 3], ids=["is another key", "is unknown here"])
def test_no_seal_is_removed_if_the_newest_key_is_wrong_or_unknown(ingest, use, seal, sql, newest):
    seal()
    use({1: KEYS[1], newest: KEYS[newest]})
    ingest(2)
    use(given_up(1, {2: b"!" * 32}))

    assert ingest(2).status == "failed"
    assert sql("SELECT count(sealed) FROM rejects") == [(1,)]


def test_another_key_under_a_known_version_is_refused(api, ingest, use, sql):
    ingest(1)
    use({1: b"!" * 32})

    report = ingest(1, 2)

    assert report.status == "failed"
    assert "the key of version 1 is not the key that this database was written with" in report.error
    assert sql("SELECT count(*) FROM users") == [(1,)]
    assert api.delete(f"/users/{uid(1)}").status == 500  # otherwise its token would not be recognised
    assert sql("SELECT count(*) FROM users") == [(1,)]
    assert api("POST", "/runs", body={}).status == 202
    assert sql("SELECT count(*) FROM runs WHERE status = 'failed'") == [(2,)]


@pytest.mark.parametrize("refused", [{2: b"!" * 32}, NEW], ids=["a wrong key", "the next key, too early"])
def test_a_refused_key_is_forgotten_and_does_not_lock_out_the_right_ones(api, ingest, use, sql, refused):
    ingest(1)
    use(refused)
    assert ingest(1).status == "failed"
    assert api.delete(f"/users/{uid(1)}").status == 500

    use(OLD)
    assert ingest(1).unchanged == 1
    use(BOTH)
    assert ingest(1).updated == 1

    assert sql("SELECT version FROM key_versions ORDER BY version") == [(1,), (2,)]


def test_a_container_without_the_newest_key_does_not_write_with_an_older_one(ingest, use):
    use(BOTH)
    ingest(1)
    use(OLD)

    assert "version 2 is missing" in ingest(1).error


def test_erasing_again_under_a_newer_key_moves_the_erasure(api, use, sql):
    for keys in (OLD, BOTH, BOTH):
        use(keys)
        assert api.delete(f"/users/{uid(1)}").status == 200

    token = Tokeniser(BOTH).token("uid", uid(1))
    assert sql("SELECT uid_token FROM erasures WHERE moved_to IS NULL") == [(token,)]


def test_an_erasure_keeps_its_time_when_it_moves_to_another_key(api, ingest, use, sql):
    api.delete(f"/users/{uid(ERASED)}")
    ((before,),) = sql("SELECT erased_at FROM erasures")
    use(BOTH)

    ingest(ERASED)

    token = Tokeniser(BOTH).token("uid", uid(ERASED))
    assert sql("SELECT uid_token, erased_at FROM erasures WHERE moved_to IS NULL") == [(token, before)]


def test_erasing_again_under_a_newer_key_keeps_the_first_time(api, use, sql):
    api.delete(f"/users/{uid(1)}")
    before = sql("SELECT erased_at FROM erasures")
    use(BOTH)

    api.delete(f"/users/{uid(1)}")

    assert sql("SELECT erased_at FROM erasures WHERE moved_to IS NULL") == before


def test_the_contract_names_the_known_versions(api, use):
    use(BOTH)

    contract = api.get("/contract").json

    assert (contract["key_version"], contract["key_versions"]) == (2, [2, 1])


def test_no_key_is_stored_in_the_database(api, ingest, use, sql):
    use(BOTH)
    ingest(1)

    (held,) = sql("SELECT version, proof FROM key_versions")

    assert held == (2, Tokeniser(BOTH).proofs()[2])
    with pytest.raises(ConfigError, match="at least one key"):
        Tokeniser({1: None})
