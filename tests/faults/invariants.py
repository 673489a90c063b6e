"""Invariants of the tables and of Redis, whatever happened; every violation is reported as a Problem."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

import redis

from chalicelib.store import Store
from tests.conftest import Sql

LONGEST_TTL_SECONDS = 133

_TABLES = ("runs", "pages", "rejects", "erasures", "users", "users_address", "key_versions")
_TIMES_AND_RUNS = "'{created_at,updated_at,last_seen_at,first_run_id,last_run_id}'::text[]"
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

# What is wrong, and a query that finds where; none may return a row.
_VIOLATIONS = {
    "the counts of a run do not add up to the records that it fetched": """
        SELECT run_id FROM runs
        WHERE fetched <> inserted + updated + unchanged + duplicate + rejected + suppressed + filtered""",
    "a run counted more or fewer pages than it has": """
        SELECT run_id FROM runs
        WHERE pages_done <> (SELECT count(*) FROM pages WHERE pages.run_id = runs.run_id)""",
    "a run counted more or fewer rejects than it has": """
        SELECT run_id FROM runs
        WHERE rejected <> (SELECT count(*) FROM rejects WHERE rejects.run_id = runs.run_id)""",
    "the runs inserted more or fewer people than are stored": """
        SELECT people FROM (SELECT sum(inserted) FROM runs) AS counted (people)
        WHERE people <> (SELECT count(*) FROM users)""",
    "the runs updated people more or less often than their versions say": """
        SELECT updates FROM (SELECT sum(updated) FROM runs) AS counted (updates)
        WHERE updates <> (SELECT sum(version - 1) FROM users)""",
    "a person has no address, or an address has no person": """
        SELECT uid FROM users FULL JOIN users_address USING (uid)
        WHERE users.uid IS NULL OR users_address.uid IS NULL""",
    "a run is still marked as running": "SELECT run_id FROM runs WHERE status = 'running'",
}


class Problem(NamedTuple):
    """A violation. ``kind``: a person or change was lost, one was stored or applied twice, or neither."""

    kind: Literal["lost", "double", "other"]
    text: str

    def __str__(self) -> str:
        return self.text


def violations(sql: Sql) -> list[Problem]:
    return [Problem("other", text) for text, query in _VIOLATIONS.items() if sql(query)]


def differences(sql: Sql, undisturbed: Sql) -> list[Problem]:
    """Differences between two databases that were sent the same people, except times and run ids."""
    found, expected = (_people(one) for one in (sql, undisturbed))
    problems = [Problem("lost", f"{uid} is missing") for uid in expected.keys() - found.keys()]
    problems += [Problem("double", f"{uid} should not be there") for uid in found.keys() - expected.keys()]
    for uid in found.keys() & expected.keys():
        if found[uid] != expected[uid]:
            due, version = (person["version"] for person, _ in (expected[uid], found[uid]))
            problems.append(
                Problem("lost", f"{uid} misses a change")
                if due >= version
                else Problem("double", f"{uid} was changed too often")
            )
    if sql(_REJECTS) != undisturbed(_REJECTS):
        problems.append(Problem("other", "the rejects differ"))
    return problems


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
    """The people in Redis: each body, and when it expires, in milliseconds since 1970."""
    keys = list(client.scan_iter("user:*", count=1000))
    with client.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.get(key).pexpiretime(key)
        answers = pipeline.execute()
    return dict(zip(keys, zip(answers[::2], answers[1::2], strict=True), strict=True))


def stale(client: redis.Redis, store: Store, before: Held) -> list[Problem]:
    """Bodies that differ from Postgres, unless they were there before and still expire at the same time."""
    problems = []
    for key, (body, expires_at) in held(client).items():
        is_unchanged = before.get(key) == (body, expires_at)
        if not is_unchanged and body != store.get_user(key.decode().partition(":")[2]):
            problems.append(Problem("other", f"{key.decode()} is outdated"))
    return problems


def lasting(client: redis.Redis) -> list[Problem]:
    """Entries that do not expire, or not soon enough."""
    latest = (client.time()[0] + LONGEST_TTL_SECONDS) * 1000
    return [
        Problem("other", f"{key.decode()} does not expire in time")
        for key, (_, expires_at) in held(client).items()
        if not 0 < expires_at < latest
    ]
