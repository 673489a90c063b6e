"""The queries and commands of docs/operating.md with which somebody finds out what happened, as written."""

import contextlib
import os
import re
import subprocess

import psycopg2
import pytest

from chalicelib import runs, wiring
from tests.conftest import Sql
from tests.fakes import uid
from tests.integration.api_support import API_KEY, READ, ROOT

OPERATING = (ROOT / "docs/operating.md").read_text(encoding="utf-8")


def section(title):
    return re.split(r"^##+ ", OPERATING.partition(f" {title}\n")[2], flags=re.MULTILINE)[0]


def block(title, language):
    return re.search(rf"```{language}\n(.*?)```", section(title), re.DOTALL)[1]


@pytest.fixture
def forgotten(postgres, sql):
    """The process id of a session that holds a lock on the people, and has been forgotten."""
    with contextlib.closing(psycopg2.connect(postgres.url, application_name="forgotten")) as session:
        with session.cursor() as cursor:
            cursor.execute("SELECT FROM users FOR UPDATE")
        yield session.info.backend_pid


def test_who_holds_a_lock_is_found_and_ended(forgotten, sql):
    (found,) = sql(block("Who holds a lock", "sql"))

    pid, _, application, _, state, since, locks = found
    assert (pid, application, state, locks) == (
        forgotten,
        "forgotten",
        "idle in transaction",
        "users RowShareLock",
    )
    assert since.total_seconds() > 0
    assert sql(f"SELECT {re.search(r'`SELECT (pg_terminate_backend)', OPERATING)[1]}({pid})") == [(True,)]


def test_a_role_without_rights_finds_them_too(forgotten, sql, postgres):
    sql("CREATE ROLE nobodys LOGIN PASSWORD 'x'")
    try:
        url = re.sub("//[^@]*@", "//nobodys:x@", postgres.url)
        with contextlib.closing(Sql(url)) as nobodys:
            (found,) = nobodys(block("Who holds a lock", "sql"))
    finally:
        sql("DROP ROLE nobodys")

    assert (found[0], found[4:6]) == (forgotten, (None, None))


def test_what_a_leaked_key_was_used_for_is_found(api, capfd, tmp_path):
    api.get("/runs", key=READ)
    api.get("/contract", key=API_KEY)
    logs = tmp_path / ".local/logs"
    logs.mkdir(parents=True)
    (logs / "http.log").write_text(capfd.readouterr().out)

    found = subprocess.run(
        ["/bin/sh", "-ec", block("If a key has leaked", "sh")],
        cwd=tmp_path,
        env=os.environ | {"KEY": READ},
        capture_output=True,
        check=True,
        text=True,
    ).stdout

    assert re.findall('"route":"([^"]*)"', found) == ["GET /runs"]
    used = re.search(
        r"filter (\w+) = .* by (\w+), (\w+)$", section("If a key has leaked"), re.MULTILINE
    ).groups()
    assert set(used) == {"caller", "route", "status"}
    assert all(f'"{name}":' in found for name in ("caller", "route", "status", "Timestamp"))


def test_whom_a_wrong_dialect_left_behind_is_removed(sql, app_environment, user_api):
    ran = runs.run_ingest("manual")
    statement = block("After a wrong dialect", "sql").strip()
    sql("UPDATE users SET last_run_id = %s WHERE uid <> (SELECT min(uid::text)::uuid FROM users)", uid(1))

    sql(statement.replace("'…'", "'-infinity'", 1).replace("'…'", "'infinity'", 1))

    assert sql("SELECT count(*) FROM users") == [(ran.inserted - 1,)]
    assert runs.run_ingest("manual").inserted == 1


def test_an_erasure_is_found_by_its_token(api, sql):
    api.delete(f"/users/{uid(7)}")
    query = re.search(r"`(SELECT erased_at [^`]*)`", section("Questions about a person"))[1]

    assert len(sql(query.replace("…", wiring.tokeniser().token("uid", uid(7))))) == 1


def test_since_when_a_person_is_known_is_in_the_row(app_environment, sql):
    runs.run_ingest("manual")
    query = re.search(r"`(SELECT created_at[^`]*)`", section("Questions about a person"))[1]

    (row,) = sql(query.replace("…", sql("SELECT uid::text FROM users LIMIT 1")[0][0]))

    assert row[2] == 1
