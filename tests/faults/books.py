"""Invariants of the tables and of Redis, whatever happened; every violation is reported as a sentence."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import redis

from chalicelib.store import Store
from tests.conftest import Sql

LONGEST_TTL_SECONDS = 133

_TABLES = ("runs", "pages", "rejects", "erasures", "users", "users_address", "key_versions")
_TIMES_AND_RUNS = "'{created_at,updated_at,first_run_id,last_run_id}'::text[]"
_PEOPLE = f"""
SELECT uid::text, to_jsonb(users) - {_TIMES_AND_RUNS}, to_jsonb(users_address)
FROM users LEFT JOIN users_address USING (uid)
"""

# The rejects of the newest run that succeeded.
_REJECTS = """
SELECT page, position, issues, fingerprint FROM rejects
WHERE run_id = (SELECT run_id FROM runs WHERE status = 'succeeded' ORDER BY started_at DESC LIMIT 1)
ORDER BY page, position
"""

# Each query finds violations of a law; none may return a row.
_LAWS = {
    "a run's counts add up": """
        SELECT run_id FROM runs
        WHERE fetched <> inserted + updated + unchanged + duplicate + rejected + suppressed""",
    "a run's pages are those that it counted": """
        SELECT run_id FROM runs
        WHERE pages_done <> (SELECT count(*) FROM pages WHERE pages.run_id = runs.run_id)""",
    "a run's rejects are those that it counted": """
        SELECT run_id FROM runs
        WHERE rejected <> (SELECT count(*) FROM rejects WHERE rejects.run_id = runs.run_id)""",
    "who was inserted is there, once": """
        SELECT people FROM (SELECT sum(inserted) FROM runs) AS told (people)
        WHERE people <> (SELECT count(*) FROM users)""",
    "who was updated is as many versions further": """
        SELECT updates FROM (SELECT sum(updated) FROM runs) AS told (updates)
        WHERE updates <> (SELECT sum(version - 1) FROM users)""",
    "everybody has an address": """
        SELECT uid FROM users FULL JOIN users_address USING (uid)
        WHERE users.uid IS NULL OR users_address.uid IS NULL""",
    "no run is left open": "SELECT run_id FROM runs WHERE status = 'running'",
}


def broken_laws(sql: Sql) -> list[str]:
    return [f"it is not so that {law}" for law, counterexamples in _LAWS.items() if sql(counterexamples)]


def differences(sql: Sql, undisturbed: Sql) -> list[str]:
    """Differences between two databases that were sent the same people, except times and run ids."""
    found, expected = (_people(one) for one in (sql, undisturbed))
    told = [f"{uid} is lost" for uid in expected.keys() - found.keys()]
    told += [f"{uid} is one too many" for uid in found.keys() - expected.keys()]
    for uid in found.keys() & expected.keys():
        if found[uid] != expected[uid]:
            versions = [person["version"] for person, _ in (expected[uid], found[uid])]
            told.append(f"{uid} has {'lost a change' if versions[0] >= versions[1] else 'changed too often'}")
    if sql(_REJECTS) != undisturbed(_REJECTS):
        told.append("the rejects are others")
    return told


def raw_values(secrets: Iterable[str], sql: Sql, client: redis.Redis, log: Path) -> list[str]:
    """The places that hold a personal value, which none may."""
    places = {
        "Postgres": "".join(str(sql(f"SELECT {table}::text FROM {table}")) for table in _TABLES),
        "Redis": "".join(value.decode(errors="replace") for value, _ in held(client).values()),
        "the log": log.read_text("utf-8", "replace"),
    }
    return [place for place, text in places.items() if any(secret in text for secret in secrets)]


def _people(sql: Sql) -> dict[str, Any]:
    return {uid: row for uid, *row in sql(_PEOPLE)}


Held = Mapping[bytes, tuple[bytes, int]]


def held(client: redis.Redis) -> Held:
    """The people in Redis: each body, and the time at which it expires."""
    keys = list(client.scan_iter("user:*", count=1000))
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.get(key).pexpiretime(key)
        answers = pipeline.execute()
    return dict(zip(keys, zip(answers[::2], answers[1::2], strict=True), strict=True))


def stale(client: redis.Redis, store: Store, before: Held) -> list[str]:
    """Bodies that differ from Postgres, unless they were there before and still expire at the same time."""
    told = []
    for key, (body, goes) in held(client).items():
        is_left = before.get(key) == (body, goes)
        if not is_left and body != store.get_user(key.decode().partition(":")[2]):
            told.append(f"{key.decode()} is too old")
    return told


def everlasting(client: redis.Redis) -> list[str]:
    """Entries that do not expire, or not soon enough."""
    latest = (client.time()[0] + LONGEST_TTL_SECONDS) * 1000
    return [f"{key.decode()} will stay" for key, (_, goes) in held(client).items() if not 0 < goes < latest]
