"""The backup and clean-up commands of docs/operating.md, run exactly as written."""

import contextlib
import os
import re
import subprocess

import pytest

from chalicelib import runs, wiring
from chalicelib.store import Store
from local import installation
from tests.conftest import Sql
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
    """The commands that dump and that restore a schema."""
    found = re.findall(r"```sh\n(.*?)```", section("Backup and restore"), re.DOTALL)
    return [text.replace("SCHEMA=public", f"SCHEMA={schema}") for text in found]


@pytest.fixture
def command(tmp_path):
    path = f"{installation._programs()}:{os.environ['PATH']}"

    def run(line, url):
        environment = os.environ | {"DATABASE_URL": url, "PATH": path}
        subprocess.run(["/bin/sh", "-ec", line], cwd=tmp_path, env=environment, check=True)

    return run


def test_a_backup_is_restored_by_the_two_commands(stored, empty_database_url, command, tmp_path):
    dump, restore = commands()

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
    dump, restore = commands()
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
    dump, restore = commands()
    command(dump, empty_database_url)
    file, before = tmp_path / "decant.dump", kept(stored)
    if broken == "absent":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-500])

    with pytest.raises(subprocess.CalledProcessError):
        command(restore, empty_database_url)

    assert kept(stored) == before


def test_in_a_shared_database_only_decants_schema_is_restored(app_environment, empty_database_url, command):
    dump, restore = commands("decant")
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
