"""The backup and clean-up commands of docs/operating.md, run exactly as written."""

import base64
import contextlib
import functools
import os
import re
import subprocess
import sys

import pytest

from chalicelib import people, runs, wiring
from chalicelib.store import Store
from local import installation
from tests.builders import RANDOM_DATA_API
from tests.conftest import Sql
from tests.fakes import uid
from tests.integration.api_support import ROOT

OPERATING = (ROOT / "docs/operating.md").read_text(encoding="utf-8")


def section(title):
    return re.split(r"^## ", OPERATING.partition(f"\n## {title}\n")[2], flags=re.MULTILINE)[0]


@pytest.fixture
def stored(app_environment, empty_database_url):
    """A separate database with people in it; yields direct access to it."""
    app_environment(DATABASE_URL=empty_database_url)
    wiring.store().migrate()
    assert runs.run_ingest("manual").status == "succeeded"
    with contextlib.closing(Sql(empty_database_url)) as run:
        yield run


def kept(sql):
    tables = ("users", "users_address", "runs", "pages", "rejects", "key_versions", "migrations")
    return {table: sql(f"SELECT * FROM {table} ORDER BY 1, 2") for table in tables}


def commands(schema="public"):
    """The commands that dump a schema, save its erasures, restore it, and repeat the erasures."""
    found = re.findall(r"```sh\n(.*?)```", section("Backup and restore"), re.DOTALL)
    tokens = f"PYTHONPATH={ROOT} {sys.executable} -m local.tokens uid"
    changes = {"SCHEMA=public": f"SCHEMA={schema}", "make -s tokens FIELD=uid": tokens}
    return [
        functools.reduce(lambda text, change: text.replace(*change), changes.items(), text) for text in found
    ]


@pytest.fixture
def command(tmp_path):
    path = f"{installation._programs()}:{os.environ['PATH']}"

    def run(line, url):
        environment = os.environ | {"DATABASE_URL": url, "PATH": path}
        subprocess.run(["/bin/sh", "-ec", line], cwd=tmp_path, env=environment, check=True)

    return run


def test_a_backup_is_restored_by_the_two_commands(stored, empty_database_url, command, tmp_path):
    dump, _, restore, _ = commands()

    before = kept(stored)
    command(dump, empty_database_url)
    stored("DELETE FROM users; DELETE FROM runs; DROP TABLE erasures CASCADE")
    stored.close()
    wiring.reset()
    command(restore, empty_database_url)

    assert kept(stored) == before
    files = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.glob("decant.*")}
    assert files == {"decant.dump": 0o600, "decant.sql": 0o600}
    report = runs.run_ingest("manual")
    assert (report.status, report.unchanged) == ("succeeded", report.fetched)


def test_a_backup_from_before_an_upgrade_is_restored_and_migrated(stored, empty_database_url, command):
    dump, _, restore, _ = commands()
    command(dump, empty_database_url)
    before = kept(stored)
    stored(
        "CREATE TABLE added (uid_token token REFERENCES erasures); ALTER TABLE erasures ADD COLUMN more int;"
        "CREATE FUNCTION newer(run runs, made token) RETURNS runs LANGUAGE sql BEGIN ATOMIC SELECT run; END"
    )
    stored.close()
    wiring.reset()

    command(restore, empty_database_url)

    assert kept(stored) == before
    assert stored("SELECT to_regclass('added')") == [(None,)]
    assert wiring.store().migrate() == []


@pytest.mark.parametrize("broken", ["absent", "cut off"])
def test_a_restore_that_fails_changes_nothing(stored, empty_database_url, command, tmp_path, broken):
    dump, _, restore, _ = commands()
    command(dump, empty_database_url)
    file, before = tmp_path / "decant.dump", kept(stored)
    if broken == "absent":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-500])

    with pytest.raises(subprocess.CalledProcessError):
        command(restore, empty_database_url)

    assert kept(stored) == before


@pytest.fixture
def erased_since(stored, empty_database_url, command, app_environment, user_api):
    """A restored backup, which has a person, and the sealed record of another, who were erased after it."""
    page = [RANDOM_DATA_API.record({"uid": uid(1)}), RANDOM_DATA_API.record({"uid": uid(2), "email": "x"})]
    user_api.script(RANDOM_DATA_API.page(*page), times=2)
    app_environment(QUARANTINE_KEY=base64.b64encode(bytes(32)).decode(), MAX_REJECT_RATIO="1")
    assert runs.run_ingest("manual").rejected == 1
    dump, save, restore, _ = commands()
    command(dump, empty_database_url)
    for number in (1, 2, 3):  # the third is not in the dump at all
        people.erase(wiring.store(), wiring.cache(), wiring.tokeniser(), uid(number))
    command(save, empty_database_url)
    stored.close()
    wiring.reset()
    command(restore, empty_database_url)
    assert stored(
        "SELECT (SELECT count(*) FROM users WHERE uid = %s), count(sealed) FROM rejects", uid(1)
    ) == [(1, 1)]
    return stored


def test_erasures_that_were_made_since_the_dump_are_repeated(erased_since, empty_database_url, command):
    others = erased_since("SELECT count(*) - 1 FROM users")

    command(commands()[3], empty_database_url)

    assert erased_since("SELECT count(*) FROM users WHERE uid = %s", uid(1)) == [(0,)]
    assert erased_since("SELECT count(*) FROM users") == others
    assert erased_since("SELECT count(sealed) FROM rejects") == [(0,)]
    assert erased_since("SELECT count(*) FROM erasures") == [(3,)]
    report = runs.run_ingest("manual")
    assert (report.suppressed, report.rejected) == (1, 1)


def test_without_the_keys_no_erasure_is_repeated_and_that_is_an_error(
    erased_since, empty_database_url, command, monkeypatch
):
    monkeypatch.setenv("PII_KEYS", "{}")

    with pytest.raises(subprocess.CalledProcessError):
        command(commands()[3], empty_database_url)

    assert erased_since("SELECT count(*) FROM erasures") == [(0,)]


def test_in_a_shared_database_only_decants_schema_is_restored(app_environment, empty_database_url, command):
    dump, _, restore, _ = commands("decant")
    its_own = f"{empty_database_url}?options=-csearch_path%3Ddecant"
    app_environment(DATABASE_URL=its_own)
    with contextlib.closing(Sql(empty_database_url)) as company, contextlib.closing(Sql(its_own)) as sql:
        company("CREATE SCHEMA decant; CREATE TABLE orders (id int)")
        wiring.store().migrate()
        assert runs.run_ingest("manual").status == "succeeded"
        before = kept(sql)
        command(dump, its_own)
        sql("DELETE FROM users; DELETE FROM runs")
        company("INSERT INTO orders VALUES (1)")
        sql.close()
        wiring.reset()
        command(restore, its_own)

        assert kept(sql) == before
        assert company("SELECT id FROM orders") == [(1,)]


def test_old_runs_are_deleted_by_the_statement(stored):
    stored("UPDATE runs SET started_at = now() - interval '2 years'")
    statement = re.search(r"`(DELETE FROM runs[^`]*)`", section("Growth"))[1]

    people = stored("SELECT count(*) FROM users")
    stored(" ".join(statement.split()))

    assert stored("SELECT (SELECT count(*) FROM runs) + (SELECT count(*) FROM pages)") == [(0,)]
    assert stored("SELECT count(*) FROM users") == people
    with contextlib.closing(Store(os.environ["DATABASE_URL"])) as store:
        assert store.list_runs(5) == []
