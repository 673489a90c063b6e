"""The store against a real Postgres."""

import contextlib
import json
import re
import shutil
import socket
import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from functools import partial
from pathlib import Path

import msgspec
import psycopg2
import pytest
from tenacity import wait_none

from chalicelib import answers, privacy, queries, retries, views
from chalicelib import pool as pool_module
from chalicelib import store as store_module
from chalicelib.clean import clean
from chalicelib.errors import (
    STOPPED_ON_REQUEST,
    ConfigError,
    LeaseLost,
    StopRequested,
    StoreError,
    StoreUnavailable,
)
from chalicelib.ledger import OUTCOMES, Counts, Ending, RunRequest
from chalicelib.store import LEASE_SECONDS, Store
from chalicelib.validation import validate
from tests.builders import RANDOM_DATA_API
from tests.concurrency import at_once
from tests.conftest import Sql
from tests.fakes import KEY, key, page_load, person, reject, token, uid
from tests.faults.faults import paused
from tests.waiting import seconds_of, until

SQL_FOLDER = Path(store_module.__file__).parent / "sql"
MIGRATIONS = sorted(file.stem for file in (SQL_FOLDER / "migrations").glob("*.sql"))


@pytest.fixture
def run_id(store):
    return open_run(store)


def open_run(store, source="here"):
    opened = store.open_run(RunRequest(source, "manual", 2), "a hash", 1)
    assert opened.status == "running"
    return opened.run_id


# Migrations


def tables(url):
    statement = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1"
    with contextlib.closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return [name for (name,) in cursor.fetchall()]


@pytest.fixture
def fresh(empty_database_url):
    with contextlib.closing(Store(empty_database_url)) as opened:
        yield opened


def test_migrations_create_all_tables_including_their_own(fresh, empty_database_url):
    assert fresh.migrate() == MIGRATIONS
    assert tables(empty_database_url) == sorted(
        ["users", "users_address", "runs", "rejects", "erasures", "key_versions", "migrations", "pages"]
    )


@pytest.mark.parametrize("by", ["the URL", "the role"])
def test_a_schema_of_its_own_keeps_decant_apart_from_tables_of_the_same_name(empty_database_url, by):
    with contextlib.closing(Sql(empty_database_url)) as sql:
        sql("CREATE TABLE users (name text)")
        sql("CREATE SCHEMA decant")
        if by == "the role":
            sql("ALTER ROLE CURRENT_USER IN DATABASE empty SET search_path = decant")
        query = "?options=-csearch_path%3Ddecant" if by == "the URL" else ""
        with contextlib.closing(Store(f"{empty_database_url}{query}")) as apart:
            apart.migrate()
            apart.load_page(page_load(open_run(apart), person(1)))
            found = apart.get_user(uid(1))

        assert json.loads(found)["uid"] == uid(1)
        assert sql("SELECT schemaname FROM pg_tables WHERE tablename = 'users' ORDER BY 1") == [
            ("decant",),
            ("public",),
        ]
        assert sql("SELECT count(*) FROM public.users") == [(0,)]


def test_a_table_of_the_same_name_in_the_same_schema_stops_the_migration(fresh, empty_database_url):
    with contextlib.closing(Sql(empty_database_url)) as sql:
        sql("CREATE TABLE users (name text)")

        with pytest.raises(StoreError, match="query migrate failed: SQLSTATE 42P07"):
            fresh.migrate()

        assert tables(empty_database_url) == ["users"]


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("log_min_error_statement", "error"),
        ("log_error_verbosity", "default"),
        ("log_statement", "all"),
        ("log_min_duration_statement", "5s"),
    ],
)
def test_a_migration_warns_if_postgres_logs_what_is_stored(empty_database_url, sql, caplog, setting, value):
    sql(f"ALTER DATABASE empty SET {setting} = '{value}'")

    with contextlib.closing(Store(empty_database_url)) as store:
        store.migrate()

    assert caplog.messages == [f"Postgres may log what is stored; see docs/configuration.md: {setting}"]


def test_a_migration_does_not_warn_of_the_servers_that_decant_starts(fresh, caplog):
    fresh.migrate()

    assert caplog.messages == []


def test_migrating_again_changes_nothing(fresh):
    fresh.migrate()

    assert fresh.migrate() == []


def functions(url):
    """The definitions of all functions in the database, by name."""
    connection = psycopg2.connect(url)
    with contextlib.closing(connection), connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT proname, pg_get_functiondef(oid) FROM pg_proc WHERE pronamespace = 'public'::regnamespace"
        )
        return dict(cursor.fetchall())


def test_migrating_redefines_all_functions(fresh, empty_database_url):
    fresh.migrate()
    defined = functions(empty_database_url)
    with psycopg2.connect(empty_database_url) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE OR REPLACE FUNCTION key_version(made token) RETURNS integer RETURN 0")
    connection.close()
    assert functions(empty_database_url) != defined

    assert fresh.migrate() == []
    assert functions(empty_database_url) == defined
    assert defined.keys() == {path.stem for path in (SQL_FOLDER / "functions").glob("*.sql")}


def test_of_two_concurrent_migrators_each_applies_what_the_other_has_not(empty_database_url):
    with contextlib.ExitStack() as opened:
        stores = [opened.enter_context(contextlib.closing(Store(empty_database_url))) for _ in range(2)]

        applied = at_once(*(store.migrate for store in stores))

    assert sorted(name for names in applied for name in names) == MIGRATIONS


@pytest.fixture
def migrated_up_to(empty_database_url, tmp_path, monkeypatch):
    """Migrates an empty database to the named migration; leaves a store that knows all migrations."""

    @contextlib.contextmanager
    def migrate(last):
        shutil.copytree(SQL_FOLDER, tmp_path / "sql")
        for path in (tmp_path / "sql/migrations").glob("*.sql"):
            if path.stem > last:
                path.unlink()
        shutil.rmtree(tmp_path / "sql/functions")
        with contextlib.closing(Store(empty_database_url)) as store:
            with monkeypatch.context() as patched:
                patched.setattr(queries, "_SQL", tmp_path / "sql")
                store.migrate()
            yield store

    return migrate


def test_a_migration_does_not_keep_readers_waiting_and_tries_again(migrated_up_to, empty_database_url):
    """As beside a dump, which reads all tables in one transaction."""
    with migrated_up_to("0007_droppable") as store, ThreadPoolExecutor() as pool:
        with contextlib.closing(psycopg2.connect(empty_database_url)) as dump:
            dump.cursor().execute("LOCK TABLE users, runs, pages IN ACCESS SHARE MODE")
            migration = pool.submit(store.migrate)
            with contextlib.closing(Sql(empty_database_url)) as reader:
                reader("SET statement_timeout = '4s'")
                for _ in range(30):
                    reader("SELECT count(*) FROM users")
                    time.sleep(0.1)
            assert not migration.done()

        assert migration.result(30)[-1] == MIGRATIONS[-1]


def test_a_migration_that_loses_a_deadlock_is_tried_again(fresh, empty_database_url, tmp_path, monkeypatch):
    """A load locks first its run, and then people."""
    fresh.migrate()
    shutil.copytree(SQL_FOLDER, tmp_path / "sql")
    both = "ALTER TABLE users ADD COLUMN one text; ALTER TABLE runs ADD COLUMN one text"
    (tmp_path / "sql/migrations/9999_both.sql").write_text(both)
    monkeypatch.setattr(queries, "_SQL", tmp_path / "sql")
    load, observer = psycopg2.connect(empty_database_url), Sql(empty_database_url)
    with ThreadPoolExecutor() as pool, contextlib.closing(observer), contextlib.closing(load):
        with load.cursor() as cursor:
            cursor.execute("SET deadlock_timeout = '1min'")  # the migration notices
            cursor.execute("SELECT FROM runs FOR UPDATE")
            migration = pool.submit(fresh.migrate)
            until(lambda: observer("SELECT 1 FROM pg_locks WHERE NOT granted"))
            cursor.execute("SELECT FROM users FOR UPDATE")
        load.rollback()

        assert migration.result(30) == ["9999_both"]


INSERTED = """
INSERT INTO users (uid, gender, employment_title, key_version, content_hash, first_run_id, last_run_id)
VALUES (%(uid)s, %(gender)s, %(title)s, 1, 'hash', %(run_id)s, %(run_id)s);
INSERT INTO users_address (uid, city, state) VALUES (%(uid)s, %(city)s, %(state)s);
"""


def test_texts_that_an_earlier_version_should_not_have_kept_are_cleared(migrated_up_to, empty_database_url):
    texts = {"gender": "Female", "title": "Engineer @ Large", "city": "Linz", "state": "24. 12. 1999"}
    raw = [
        {},
        {"city": "mail jane.doe@example.com"},
        {"title": "call 0049 170 1234567"},
        {"city": "٠٧٨٠٥١١٢٠", "title": "०९१२३४५६७८"},
        {"gender": "０９０－１２３４－５６７８", "state": "taro＠example.jp"},
    ]
    with migrated_up_to("0007_droppable") as store:
        with contextlib.closing(psycopg2.connect(empty_database_url)) as old, old, old.cursor() as cursor:
            for number, changed in enumerate(raw):
                cursor.execute(INSERTED, {**texts, **changed, "uid": uid(number), "run_id": uid(99)})

        store.migrate()

        for number, changed in enumerate(raw):
            found = json.loads(store.get_user(uid(number)))
            home, work = found["address"], found["employment"]
            left = (found["gender"], work["title"], home["city"], home["state"])
            assert left == tuple(None if name in changed else text for name, text in texts.items())
            assert found["version"] == (2 if changed else 1)
        assert store.load_page(page_load(open_run(store), person(1, city="Linz"))).updated == 1


@pytest.mark.parametrize(
    ("text", "stays"),
    [
        ("jane%40example.com", False),
        ("jane&#64;example.com", False),
        ("jane&#x40;example.com", False),
        ("jane&commat;example.com", False),
        ("jane%2540example.com", False),
        ("jane&amp;#64;example.com", False),
        ("%E5%B1%B1%E7%94%B0%40example.jp", False),
        ("%30%31%35%31%32%33%34%35%36", False),
        ("+49&nbsp;171&nbsp;5550123", False),
        ("%2530%2531%2535%2531%2532%2533%2534%2535%2536", False),
        ("0151%2F23456789", False),
        ("0151%252F23456789", False),
        ("0151%20%E2%80%93%2023456789", False),
        ("Research & Development, 100%", True),
        ("R&amp;D %26 Sales", True),
        ("S%C3%A3o Paulo", True),
    ],
)
def test_encoded_texts_that_an_earlier_version_should_not_have_kept_are_cleared(
    migrated_up_to, empty_database_url, text, stays
):
    """The next load corrects it, and whom a text was cleared of is no newer than before."""
    texts = {"gender": "Female", "title": "Engineer", "city": "Linz", "state": "Linz", "run_id": uid(99)}
    with migrated_up_to("0019_custom") as store, contextlib.closing(Sql(empty_database_url)) as sql:
        with contextlib.closing(psycopg2.connect(empty_database_url)) as old, old, old.cursor() as cursor:
            cursor.execute(INSERTED, {**texts, "uid": uid(1), "title": text})
            cursor.execute(INSERTED, {**texts, "uid": uid(2), "city": text})

        store.migrate()

        left = text if stays else None
        found = "SELECT gender, employment_title, city, state FROM users JOIN users_address USING (uid)"
        assert sql(f"{found} ORDER BY uid") == [
            ("Female", left, "Linz", "Linz"),
            ("Female", "Engineer", left, "Linz"),
        ]
        state = (1, "hash", None) if stays else (2, "", True)
        changed = "SELECT version, convert_from(content_hash, 'UTF8'), sealed_at < updated_at FROM users"
        assert sql(changed) == [state, state]


def test_a_person_whose_text_was_cleared_is_as_old_as_before(migrated_up_to, empty_database_url):
    """Otherwise the replay of a record that was sealed since would be dropped."""
    with migrated_up_to("0007_droppable") as store, contextlib.closing(Sql(empty_database_url)) as sql:
        texts = {"gender": None, "title": None, "city": "a@b.example", "state": None}
        with contextlib.closing(psycopg2.connect(empty_database_url)) as old, old, old.cursor() as cursor:
            cursor.execute(INSERTED, {**texts, "uid": uid(1), "run_id": uid(99)})
        sql("UPDATE users SET updated_at = '2026-01-01'")

        store.migrate()

        assert sql("SELECT sealed_at::date::text, updated_at > '2026-01-02' FROM users") == [
            ("2026-01-01", True)
        ]


def test_what_is_loaded_while_texts_are_cleared_is_kept(migrated_up_to, empty_database_url):
    """The migration waits for the row, and meets a newer record than it found."""
    with migrated_up_to("0011_full_pages") as store, contextlib.closing(Sql(empty_database_url)) as sql:
        texts = {"gender": "call 0049 170 1234567", "title": "old", "city": "old", "state": None}
        with contextlib.closing(psycopg2.connect(empty_database_url)) as old, old, old.cursor() as cursor:
            cursor.execute(INSERTED, {**texts, "uid": uid(1), "run_id": uid(99)})
        with contextlib.closing(psycopg2.connect(empty_database_url)) as load, ThreadPoolExecutor() as pool:
            newer = "UPDATE users SET gender = 'new', employment_title = 'new', content_hash = 'new'"
            load.cursor().execute(newer)
            migration = pool.submit(store.migrate)
            until(lambda: sql("SELECT 1 FROM pg_locks WHERE NOT granted"))
            load.commit()
            assert migration.result(30)[0] == "0012_stored_by_0_1_0"

        held = sql("SELECT gender, employment_title, content_hash = 'new' FROM users")
        assert held == [("new", "new", True)]


def test_people_whom_an_earlier_version_replayed_are_as_old_as_their_seal(migrated_up_to, empty_database_url):
    with migrated_up_to("0007_droppable") as store, contextlib.closing(Sql(empty_database_url)) as sql:
        runs = "INSERT INTO runs (run_id, source, trigger, status, contract_hash, key_version, pages_planned,"
        sealed = "started_at, finished_at) VALUES (%s, '', 'manual', 'failed', '', 1, 1, '2026-01-02', now())"
        sql(f"{runs} {sealed}", uid(1))
        replay = "replay_of, finished_at) VALUES (%s, '', 'replay', 'succeeded', '', 1, 1, %s, now())"
        sql(f"{runs} {replay}", uid(2), uid(1))
        for number in (1, 2):
            texts = {"gender": None, "title": None, "city": None, "state": None}
            with contextlib.closing(psycopg2.connect(empty_database_url)) as old, old, old.cursor() as cursor:
                cursor.execute(INSERTED, {**texts, "uid": uid(number), "run_id": uid(number)})

        store.migrate()

        assert sql("SELECT sealed_at::date::text FROM users ORDER BY uid") == [(None,), ("2026-01-02",)]


def test_after_a_migration_that_failed_the_next_start_goes_on_with_it(
    fresh, empty_database_url, tmp_path, monkeypatch
):
    shutil.copytree(SQL_FOLDER, tmp_path / "sql")
    broken = tmp_path / "sql/migrations/9999_broken.sql"
    broken.write_text("CREATE TABLE half_done (n int); SELECT no_such_column FROM users")
    monkeypatch.setattr(queries, "_SQL", tmp_path / "sql")

    with pytest.raises(StoreError, match="query migrate failed: SQLSTATE 42703"):
        fresh.migrate()
    assert "half_done" not in tables(empty_database_url)
    assert functions(empty_database_url) == {}

    broken.write_text("CREATE TABLE whole (n int)")
    assert fresh.migrate() == ["9999_broken"]


@pytest.fixture
def refusing():
    """The URL of a server that refuses connections in German and Latin 1."""
    text = b"SFATAL\0C28P01\0MPasswort-Authentifizierung f\xfcr Benutzer fehlgeschlagen\0\0"
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def refuse():
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    with client:
                        client.recv(1_000)
                        client.sendall(b"E" + (len(text) + 4).to_bytes(4, "big") + text)

        thread = threading.Thread(target=refuse)
        thread.start()
        yield f"postgresql://x:x@127.0.0.1:{listening.getsockname()[1]}/x?sslmode=disable"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_refusal_in_another_encoding_means_that_postgres_is_unavailable(refusing):
    with contextlib.closing(Store(refusing)) as store, pytest.raises(StoreUnavailable):
        store.last_success_age()


def test_a_watchdog_that_cannot_be_started_is_started_with_the_next_query(store, monkeypatch):
    start, refusals = threading.Thread.start, [RuntimeError("can't start new thread")]

    def start_late(thread):
        if thread.name == "postgres-watch" and refusals:
            raise refusals.pop()
        start(thread)

    until(lambda: not store._pool._watchdog._is_watching)
    monkeypatch.setattr(threading.Thread, "start", start_late)
    with pytest.raises(RuntimeError):
        store.last_success_age()

    store.last_success_age()

    assert store._pool._watchdog._is_watching
    assert refusals == []


def test_a_connection_is_not_cut_after_its_work(store):
    def used(conn):
        conn.cursor().execute("SELECT")
        return conn

    conn = store._pool.run("user", used, 0.1)
    time.sleep(0.6)

    assert store._pool.run("user", used, 5) is conn


# Loading people


def states(sql):
    """The physical state of every row, which any write changes."""
    return [
        sql(f"SELECT uid, xmin::text, ctid::text FROM {table} ORDER BY uid")
        for table in ("users", "users_address")
    ]


def test_a_person_is_stored_with_the_address_in_its_own_table(store, sql, run_id):
    store.load_page(page_load(run_id, person(1), key=key(7)))

    (row,) = sql("SELECT * FROM users")
    (address,) = sql(
        "SELECT uid, city, state, country, zip_prefix, lat::text, lng::text, street FROM users_address"
    )
    assert row[:3] == (uid(1), token("f"), token("l"))
    assert sql("SELECT key_version, version, first_run_id, last_run_id FROM users") == [
        (7, 1, run_id, run_id)
    ]
    assert address == (uid(1), "Ærøskøbing", "Syddanmark", "Denmark", "597", "54.9", "10.4", token("a"))


def test_missing_values_are_stored_as_null(store, sql, run_id):
    nothing = dict.fromkeys(set(person(1)) - {"uid", "birth_year", "lat", "lng"})

    store.load_page(page_load(run_id, person(1, **nothing)))

    (row,) = sql(
        "SELECT to_jsonb(users) || to_jsonb(users_address) FROM users JOIN users_address USING (uid)"
    )
    assert {name for name in nothing if row[0][name] is not None} == set()


def test_loading_the_same_people_again_touches_no_row(store, sql, run_id):
    store.load_page(page_load(run_id, person(1), person(2)))
    before = states(sql)

    loaded = store.load_page(page_load(run_id, person(1), person(2), page=2))

    assert (loaded.unchanged, loaded.versions) == (2, {})
    assert states(sql) == before


@pytest.mark.parametrize(
    "change",
    [{"email": token("x")}, {"gender": None}, {"birth_year": 1971}, {"city": "Å"}, {"lat": -54.9}],
    ids=lambda change: next(iter(change)),
)
def test_changed_content_gets_the_next_version_and_a_new_timestamp(store, sql, run_id, change):
    first = store.load_page(page_load(run_id, person(1), person(2)))
    later = store.load_page(page_load(run_id, person(1, **change), person(2), page=2))

    assert (later.updated, later.unchanged, later.versions) == (1, 1, {uid(1): 2})
    assert later.updated_at > first.updated_at
    ((_, version, moment, created), (_, other_version, other_moment, _)) = sql(
        "SELECT uid, version, iso_utc(updated_at), iso_utc(created_at) FROM users ORDER BY uid"
    )
    assert (version, moment, created) == (2, later.updated_at, first.updated_at)
    assert (other_version, other_moment) == (1, first.updated_at)


@pytest.mark.parametrize("column", [name for name in person(0) if name != "uid"])
def test_an_update_changes_each_column_to_what_was_loaded(store, sql, run_id, column):
    changed = {"birth_year": 2001, "lat": 1.5, "lng": -1.5, "zip_prefix": "1"}.get(column, token("z"))
    store.load_page(page_load(run_id, person(1)))

    store.load_page(page_load(run_id, person(1, **{column: changed}), page=2))

    ((stored,),) = sql(
        "SELECT to_jsonb(users) || to_jsonb(users_address) FROM users JOIN users_address USING (uid)"
    )
    assert {name: stored[name] for name in person(0)} == person(1, **{column: changed})


def test_a_row_names_the_run_that_inserted_it_and_the_one_that_changed_it_last(store, sql):
    runs = []
    for load in (person(1), person(1, city="Å"), person(1, city="Å")):
        runs.append(open_run(store))
        store.load_page(page_load(runs[-1], load))
        store.finish_run(runs[-1], Ending("succeeded"))

    assert sql("SELECT first_run_id, last_run_id FROM users") == [(runs[0], runs[1])]


def test_a_new_key_version_is_stored_with_the_tokens_made_under_it(store, sql, run_id):
    store.load_page(page_load(run_id, person(1)))

    store.load_page(page_load(run_id, person(1, email=token("e", 2)), key=key(2), page=2))

    assert sql("SELECT key_version, version FROM users") == [(2, 2)]


def test_a_person_without_tokens_moves_to_the_new_key_once(store, sql, run_id):
    """Otherwise the old key could never be removed: nothing in the person's content depends on it."""
    store.load_page(page_load(run_id, person(1)))

    moved = store.load_page(page_load(run_id, person(1), key=key(2), page=2))
    again = store.load_page(page_load(run_id, person(1), key=key(2), page=3))

    assert (moved.updated, again.unchanged) == (1, 1)
    assert sql("SELECT key_version, version FROM users") == [(2, 2)]


def test_everybody_has_one_address_which_is_deleted_with_the_person(store, sql, run_id):
    store.load_page(page_load(run_id, person(1), person(2)))
    with pytest.raises(psycopg2.errors.UniqueViolation):
        sql("INSERT INTO users_address (uid, lat, lng) VALUES (%s, 0, 0)", uid(1))
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        sql("INSERT INTO users_address (uid, lat, lng) VALUES (%s, 0, 0)", uid(3))

    sql("DELETE FROM users WHERE uid = %s", uid(1))

    assert sql("SELECT uid FROM users_address") == [(uid(2),)]


@pytest.mark.parametrize("version", [1, 2])
def test_an_erased_person_stays_out_whichever_key_made_the_token(store, sql, run_id, version):
    tokeniser = privacy.Tokeniser({1: b"1" * 32, 2: b"2" * 32})
    made_then = privacy.Tokeniser({version: str(version).encode() * 32})
    sql("INSERT INTO erasures (uid_token) VALUES (%s)", made_then.token("uid", uid(1)))

    loaded = store.load_page(
        page_load(
            run_id,
            person(1),
            person(2),
            erasure_tokens=tokeniser.all_candidates("uid", [uid(1), uid(2)]),
        )
    )

    assert (loaded.suppressed, loaded.inserted) == (1, 1)
    assert sql("SELECT uid FROM users") == [(uid(2),)]


def test_a_page_of_only_rejects_and_duplicates_is_counted(store, sql, run_id):
    loaded = store.load_page(page_load(run_id, rejects=[reject(0)], duplicates=2))

    assert (loaded.rejected, loaded.versions) == (1, {})
    assert sql("SELECT pages_done, fetched, duplicate, rejected FROM runs") == [(1, 3, 2, 1)]


def test_the_ledger_counts_what_became_of_every_record(store, run_id):
    store.load_page(page_load(run_id, person(1), person(2), rejects=[reject(2)], duplicates=1))
    second = page_load(run_id, person(1), person(2, city="Å"), person(3), page=2)
    store.load_page(replace(second, filtered=4))
    store.finish_run(run_id, Ending("succeeded", timings={"fetch": 1.5}))

    run = store.get_run(run_id)

    assert {name: getattr(run, name) for name in OUTCOMES} == {
        "inserted": 3,
        "updated": 1,
        "unchanged": 1,
        "duplicate": 1,
        "rejected": 1,
        "suppressed": 0,
        "filtered": 4,
    }
    assert (run.fetched, run.pages_done, run.pages_planned, run.status) == (11, 2, 2, "succeeded")
    assert run.timings == {"fetch": 1.5}
    assert run.finished_at >= run.started_at


def test_rejects_are_listed_in_the_order_of_the_source(store, run_id):
    store.load_page(page_load(run_id, rejects=[reject(9, letter="n"), reject(2)], page=2))
    store.note_rejects(run_id, 1, [reject(30)], KEY)

    listed = store.list_rejects(run_id, 3)

    assert [(row.page, row.position) for row in listed] == [(1, 30), (2, 2), (2, 9)]
    assert json.loads(views.encode(listed[2])) == {
        "page": 2,
        "position": 9,
        "issues": [{"path": "email", "rule": "format"}],
        "fingerprint": token("n"),
        "sealed_until": None,
        "replayed_by": None,
    }
    assert len(store.list_rejects(run_id, 2)) == 2


def test_the_sealed_rejects_of_a_page_are_those_of_no_other(store, run_id):
    for page in (1, 2):
        store.note_rejects(run_id, page, [replace(reject(page), sealed=b"sealed")], KEY, 7)

    assert [row.position for row in store.sealed_rejects(run_id, 2)] == [2]


def test_the_recorded_rejects_of_a_page_are_those_of_its_last_try(store, sql, run_id):
    for rejects in ([reject(0), reject(1), reject(2)], [reject(1), reject(3)], []):
        store.note_rejects(run_id, 1, rejects, KEY)
        noted = sql("SELECT position FROM rejects ORDER BY position")
        assert noted == [(row.position,) for row in rejects]


def test_a_page_does_not_replace_the_rejects_of_another(store, sql, run_id):
    for page in (1, 2):
        store.load_page(page_load(run_id, rejects=[reject(0)], page=page))

    assert sql("SELECT page FROM rejects ORDER BY page") == [(1,), (2,)]


def test_the_rejects_of_a_loaded_page_are_not_replaced(store, sql, run_id):
    """As when another worker, whose answer of the source was worse, is late."""
    store.load_page(page_load(run_id, person(1), rejects=[reject(1)]))
    store.note_rejects(run_id, 1, [reject(0), reject(1)], KEY)

    assert sql("SELECT position FROM rejects") == [(1,)]


def test_a_run_that_ended_otherwise_still_knows_its_pages_that_were_given_up(store, sql):
    run_id = store.open_run(RunRequest("here", "manual", 2, queued=True), "a hash", 1).run_id
    store.load_page(page_load(run_id, person(1)))
    store.fail_page(run_id, 2, "status 500")
    assert store.finish_page(run_id, {}).status == "partial"

    assert store.finish_run(run_id, Ending("failed", "the queue did not accept all messages")) is None
    assert sql("SELECT page, error FROM pages WHERE error IS NOT NULL") == [(2, "status 500")]


def test_the_ledger_sums_dropped_fields_and_withheld_texts_over_all_pages(store, run_id):
    for number in (1, 2):
        load = page_load(run_id, person(number), page=number)
        store.load_page(replace(load, unknown_fields=number, withheld=10 * number))

    run = store.get_run(run_id)
    assert (run.unknown_fields, run.withheld) == (3, 30)


@pytest.mark.parametrize("days", [("2026-01-01", "2026-01-02"), ("2026-01-02", "2026-01-01")])
def test_an_erasure_that_is_remembered_under_two_keys_moves_to_the_newer_token(store, sql, run_id, days):
    """So it is if the key of the older one was given up meanwhile, and put back. The earlier time stays."""
    old, new = token("e", 1), token("e", 2)
    for made, day in zip((old, new), days, strict=True):
        sql("INSERT INTO erasures (uid_token, erased_at) VALUES (%s, %s)", made, day)

    loaded = store.load_page(page_load(run_id, person(1), erasure_tokens=[[new, old]], key=key(2)))

    assert loaded.suppressed == 1
    held = sql("SELECT uid_token, erased_at::date::text FROM erasures WHERE moved_to IS NULL")
    assert held == [(new, "2026-01-01")]


def test_an_erasure_that_is_remembered_under_two_older_keys_moves_with_the_earlier_time(store, sql, run_id):
    tokens = [token("e", version) for version in (3, 2, 1)]
    for made, day in zip(tokens[1:], ("2026-01-01", "2026-01-02"), strict=True):
        sql("INSERT INTO erasures (uid_token, erased_at) VALUES (%s, %s)", made, day)

    store.load_page(page_load(run_id, person(1), erasure_tokens=[tokens], key=key(3)))

    held = sql("SELECT uid_token, erased_at::date::text FROM erasures WHERE moved_to IS NULL")
    assert held == [(tokens[0], "2026-01-01")]


# A page is loaded completely or not at all


def test_one_bad_row_rolls_back_its_whole_page_including_the_counts(store, sql, run_id):
    store.load_page(page_load(run_id, person(1)))
    kept = ("users", "users_address", "runs", "rejects", "pages")
    before = [sql(f"SELECT * FROM {table}") for table in kept]

    bad = page_load(
        run_id, person(1, city="Å"), person(2), person(3, street="a raw street"), rejects=[reject(5)], page=2
    )
    with pytest.raises(StoreError):
        store.load_page(bad)

    assert before == [sql(f"SELECT * FROM {table}") for table in kept]


def test_a_corrected_page_can_be_loaded(store, run_id):
    with pytest.raises(StoreError):
        store.load_page(page_load(run_id, person(1, email="raw")))

    assert store.load_page(page_load(run_id, person(1))).inserted == 1


@pytest.mark.parametrize("count", ["fetched", *OUTCOMES])
def test_the_database_refuses_a_run_whose_counts_do_not_add_up(store, sql, run_id, count):
    store.load_page(page_load(run_id, person(1)))
    store.finish_run(run_id, Ending("succeeded"))

    with pytest.raises(psycopg2.errors.CheckViolation, match="conservation"):
        sql(f"UPDATE runs SET {count} = {count} + 1")


def test_the_database_refuses_a_page_that_holds_others_than_it_counts(store, sql, run_id):
    with pytest.raises(StoreError, match="conservation"):
        store.load_page(replace(page_load(run_id, person(1), person(2)), drafts={uid(1): b""}))
    assert sql("SELECT count(*) FROM users") == [(0,)]


TOKENISED = [name for name, treatment in privacy.TREATMENT_OF.items() if treatment == "token"]


@pytest.mark.parametrize(
    "raw", ["hush@example.com", "Hush", "+45 (502) 916-5132", "", "v1_" + "x" * 23, "v1_" + "x" * 25]
)
@pytest.mark.parametrize("column", TOKENISED)
def test_the_database_refuses_anything_but_a_token_in_a_tokenised_column(store, sql, run_id, column, raw):
    with pytest.raises(StoreError, match="SQLSTATE 23514"):
        store.load_page(page_load(run_id, person(1, **{column: raw})))
    assert sql("SELECT count(*) FROM users") == [(0,)]


def test_the_database_refuses_a_fingerprint_or_an_erasure_that_is_not_a_token(store, sql, run_id):
    with pytest.raises(StoreError, match="SQLSTATE 23514"):
        store.note_rejects(run_id, 1, [reject(0, letter="hush@example.com")], KEY)
    with pytest.raises(psycopg2.errors.CheckViolation):
        sql("INSERT INTO erasures (uid_token) VALUES (%s)", uid(1))


def test_the_database_rounds_coordinates_to_a_tenth_of_a_degree(store, sql, run_id):
    store.load_page(page_load(run_id, person(1, lat=54.89612, lng=10.41288)))

    assert sql("SELECT lat::text, lng::text FROM users_address") == [("54.9", "10.4")]


def test_a_page_that_is_loaded_after_it_was_given_up_counts_its_records(store, sql):
    """Its worker was slow, and the queue had meanwhile delivered its message for the last time."""
    run_id = store.open_run(RunRequest("here", "manual", 2, page_size=2, queued=True), "a hash", 1).run_id
    store.fail_page(run_id, 1, "status 500")

    store.load_page(page_load(run_id, person(1), page=1))
    store.load_page(page_load(run_id, person(2), person(3), page=2))

    assert sql("SELECT page, fetched, error FROM pages ORDER BY page") == [(1, 1, None), (2, 2, None)]


# Leases


def test_a_second_run_of_a_source_is_recorded_as_skipped(store, run_id):
    second = store.open_run(RunRequest("here", "schedule", 1), "a hash", 1)

    assert (second.status, store.get_run(second.run_id).status) == ("skipped", "skipped")
    assert (
        store.get_run(second.run_id).error
        == "another run of this source is in progress, or died and its lease has not expired"
    )
    assert store.get_run(run_id).status == "running"


def test_of_many_concurrent_openings_one_gets_the_lease(store):
    opened = at_once(*[lambda: store.open_run(RunRequest("here", "manual", 1), "a hash", 1)] * 6)

    assert sorted(run.status for run in opened) == ["running", *["skipped"] * 5]


def test_a_run_whose_lease_expired_is_lost_once_another_starts(store, sql, run_id):
    sql.expire_leases()

    second = store.open_run(RunRequest("here", "manual", 1), "a hash", 1)

    assert (store.get_run(run_id).status, store.get_run(run_id).error) == ("lost", "the lease ran out")
    assert second.status == "running"


def test_opening_a_run_also_marks_the_lost_runs_of_other_sources(store, sql, run_id):
    sql.expire_leases()

    open_run(store, "there")

    assert sql("SELECT status FROM runs WHERE run_id = %s", run_id) == [("lost",)]


def test_a_run_whose_lease_expired_is_shown_as_lost_before_another_starts(store, sql, run_id):
    sql.expire_leases()

    assert store.get_run(run_id).status == "lost"
    assert [run.status for run in store.list_runs(5)] == ["lost"]


def test_a_run_that_loaded_all_its_pages_and_was_never_ended_is_lost(store, sql):
    """Only its worker could say whether the source has more."""
    run_id = store.open_run(RunRequest("here", "manual", 1), "a hash", 1).run_id
    store.load_page(page_load(run_id, person(1)))
    sql.expire_leases()

    assert store.get_run(run_id).status == "lost"


def test_a_lease_is_not_taken_over_before_it_expires(store, sql, run_id):
    sql("UPDATE runs SET lease_expires_at = now() + interval '2 seconds'")

    assert store.open_run(RunRequest("here", "manual", 1), "a hash", 1).status == "skipped"


def test_a_load_renews_the_lease(store, sql, run_id):
    sql("UPDATE runs SET lease_expires_at = now() + interval '2 seconds'")

    store.load_page(page_load(run_id, person(1)))

    ((left,),) = sql("SELECT extract(epoch FROM lease_expires_at - now())::float8 FROM runs")
    assert LEASE_SECONDS - 2 < left <= LEASE_SECONDS


def test_a_lost_run_writes_nothing_more(store, sql, run_id):
    sql.expire_leases()
    second = open_run(store)

    with pytest.raises(LeaseLost):
        store.load_page(page_load(run_id, person(1), rejects=[reject(3)]))

    assert sql("SELECT count(*) FROM users") == sql("SELECT count(*) FROM rejects") == [(0,)]
    assert sql("SELECT run_id FROM runs WHERE fetched > 0 OR pages_done > 0") == []
    assert store.get_run(second).status == "running"


def test_a_lost_run_cannot_be_finished(store, sql, run_id):
    sql.expire_leases()
    second = open_run(store)

    assert store.finish_run(run_id, Ending("succeeded")) is None
    assert store.get_run(run_id).status == "lost"
    assert store.get_run(second).status == "running"


def test_a_stopped_run_writes_nothing_more_and_its_worker_adds_only_its_timings(store, sql, run_id):
    stopped = store.stop_run(run_id)

    with pytest.raises(StopRequested) as error:
        store.load_page(page_load(run_id, person(1)))
    counts = store.finish_run(run_id, Ending("failed", str(error.value), {"fetch": 1.0}))

    assert sql("SELECT count(*) FROM users") == [(0,)]
    assert counts.status == "failed"
    assert store.get_run(run_id) == msgspec.structs.replace(stopped, timings={"fetch": 1.0})


def test_a_stopped_run_keeps_its_reason_however_its_worker_ends(store, run_id):
    stopped = store.stop_run(run_id)

    for status in ("failed", "partial", "lost"):
        ending = Ending(status, "page 1: status 500", {"fetch": 1.0}, next_page=4)
        assert store.finish_run(run_id, ending) is None
    assert store.get_run(run_id) == stopped


def test_a_finished_run_frees_its_source_and_says_why_it_ended(store, run_id):
    assert store.finish_run(run_id, Ending("failed", "page 1: status 503", {"fetch": 20.25}))

    run = store.get_run(run_id)
    assert (run.status, run.error, run.timings) == ("failed", "page 1: status 503", {"fetch": 20.25})
    assert store.open_run(RunRequest("here", "manual", 1), "a hash", 1).status == "running"


def test_the_newest_runs_are_listed_first(store):
    opened = [open_run(store, source) for source in ("a", "b", "c")]

    assert [run.run_id for run in store.list_runs(2)] == [opened[2], opened[1]]


def test_the_age_of_the_last_success_counts_from_its_end_and_only_from_a_success(store, sql, run_id):
    assert store.last_success_age() is None
    store.finish_run(run_id, Ending("succeeded"))
    sql("UPDATE runs SET finished_at = now() - interval '1 hour'")
    store.finish_run(open_run(store), Ending("failed", "why"))

    assert store.last_success_age() == pytest.approx(3600, abs=30)


def test_an_unknown_id_gives_none(store):
    assert store.get_user(uid(1)) is None
    assert store.get_run(uid(1)) is None
    assert store.list_rejects(uid(1), 10) == []


@pytest.fixture
def in_latin(monkeypatch):
    """Sets the encoding as a user's shell might, before the first connection."""
    monkeypatch.setenv("PGCLIENTENCODING", "LATIN1")


def test_an_encoding_in_the_shell_changes_nothing(in_latin, store, run_id):
    store.load_page(page_load(run_id, person(1, city="Łódź")))

    assert json.loads(store.get_user(uid(1)))["address"]["city"] == "Łódź"


def test_a_queued_run_starts_from_the_first_page(store):
    """Its pages are sent as messages, all of them."""
    stopped = store.open_run(RunRequest("here", "schedule", 3, page_size=100), "hash", 1).run_id
    store.finish_run(stopped, Ending("partial", "the run ran out of time", next_page=2))

    opened = store.open_run(RunRequest("here", "schedule", 3, page_size=100, queued=True), "hash", 1)

    assert opened.first_page == 1
    assert store.get_run(opened.run_id).pages_planned == 3


def test_a_run_does_not_continue_where_one_of_another_source_stopped(store):
    stopped = store.open_run(RunRequest("there", "schedule", 3, page_size=100), "hash", 1).run_id
    store.finish_run(stopped, Ending("partial", "the run ran out of time", next_page=2))

    assert store.open_run(RunRequest("here", "schedule", 3, page_size=100), "hash", 1).first_page == 1


def test_a_lost_run_records_no_rejects(store, sql, run_id):
    store.note_rejects(run_id, 1, [reject(0)], KEY)
    sql.expire_leases()

    store.note_rejects(run_id, 1, [reject(3)], KEY)

    assert sql("SELECT position FROM rejects") == [(0,)]


def test_a_queued_run_may_wait_for_its_next_page_as_long_as_its_queue_hides_a_message(store, sql):
    store.open_run(RunRequest("here", "manual", 2, queued=True), "a hash", 1)

    ((left,),) = sql("SELECT extract(epoch FROM lease_expires_at - now())::float8 FROM runs")
    assert left > 720  # VisibilityTimeout in infra/app.yaml


# Errors of the driver

HUSH = "hush@example.com"  # in the driver's error, and must not be in ours


def unhashed(load):
    return replace(load, columns={**load.columns, "content_hash": "[null]"})


REFUSED = {
    "a domain's check": (
        lambda store, run_id: store.load_page(page_load(run_id, person(1, email=HUSH))),
        ("load_page", "23514", HUSH),
    ),
    "a table's check": (
        lambda store, run_id: store.load_page(page_load(run_id, person(1, zip_prefix="98765"))),
        ("load_page", "23514", "98765"),
    ),
    "a missing value": (
        lambda store, run_id: store.load_page(unhashed(page_load(run_id, person(1, gender=HUSH)))),
        ("load_page", "23502", HUSH),
    ),
    "a primary key": (
        lambda store, run_id: store.note_rejects(run_id, 98765, [reject(0), reject(0)], KEY),
        ("note_rejects", "23505", "98765"),
    ),
    "no uuid": (lambda store, run_id: store.get_user(HUSH), ("user", "22P02", HUSH)),
    "no number": (
        lambda store, run_id: store.load_page(page_load(run_id, person(1, birth_year=HUSH))),
        ("load_page", "22P02", HUSH),
    ),
    "a number out of range": (
        lambda store, run_id: store.load_page(page_load(run_id, person(1, lat=98765.4))),
        ("load_page", "22003", "98765"),
    ),
    "a NUL": (
        lambda store, run_id: store.load_page(page_load(run_id, person(1, city=f"{HUSH}\0"))),
        ("load_page", "22P05", HUSH),
    ),
}
refusals = pytest.mark.parametrize(("work", "expected"), REFUSED.values(), ids=REFUSED)


@refusals
def test_a_refusal_names_the_query_and_the_sqlstate_and_no_value(store, run_id, work, expected):
    query, sqlstate, value = expected

    with pytest.raises(StoreError) as refused:
        work(store, run_id)

    error = refused.value
    assert not isinstance(error, StoreUnavailable)
    assert (error.query, error.sqlstate) == (query, sqlstate)
    assert str(error).startswith(f"query {query} failed: SQLSTATE {sqlstate}")
    assert value not in f"{error!s} {error!r} {error.args} {vars(error)}"


@refusals
def test_a_refusal_does_not_chain_the_drivers_error(store, run_id, work, expected):
    with pytest.raises(StoreError) as refused:
        work(store, run_id)

    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


def test_a_refusal_names_the_constraint(store, run_id):
    with pytest.raises(StoreError, match="constraint token_check"):
        store.load_page(page_load(run_id, person(1, email=HUSH)))


def test_a_refused_statement_leaves_the_connection_usable(store, run_id):
    for _ in range(20):  # more often than there are connections
        with pytest.raises(StoreError):
            store.get_user(HUSH)

    assert store.get_user(uid(1)) is None


# Postgres goes down and comes back


def expect_unavailable(work):
    with pytest.raises(StoreUnavailable):
        work()


def fill_pool(store):
    """Opens all the connections that the pool may hold."""
    at_once(*[lambda: [store.get_user(uid(1)) for _ in range(5)]] * 8)


def test_without_postgres_every_query_fails_within_seconds(store, postgres_down):
    fill_pool(store)

    with postgres_down():
        for _ in range(3):
            assert seconds_of(lambda: expect_unavailable(lambda: store.get_user(uid(1)))) < 4


def test_the_error_of_an_outage_does_not_show_the_url_and_its_password(store, postgres, postgres_down):
    password = postgres.url.split(":")[2].partition("@")[0]

    with postgres_down(), pytest.raises(StoreUnavailable) as failed:
        store.get_user(uid(1))

    error = failed.value
    assert password not in f"{error!r} {vars(error)} {traceback.format_exception(error)}"
    assert str(postgres.port) not in str(error)


def test_a_store_that_noticed_an_outage_works_as_soon_as_postgres_is_back(store, postgres_down):
    fill_pool(store)
    with postgres_down(), pytest.raises(StoreUnavailable):
        store.get_user(uid(1))

    assert at_once(*[lambda: store.get_user(uid(1))] * 8) == [None] * 8


def test_a_store_that_was_idle_during_an_outage_notices_its_dead_connections(
    store, postgres_down, monkeypatch
):
    monkeypatch.setattr(pool_module, "_TRUSTED_IDLE_SECONDS", 0)
    fill_pool(store)
    with postgres_down():
        pass

    assert at_once(*[lambda: store.get_user(uid(1))] * 8) == [None] * 8


def test_a_connection_that_was_idle_for_long_and_is_alive_is_used_again(store, sql, monkeypatch):
    monkeypatch.setattr(pool_module, "_TRUSTED_IDLE_SECONDS", 0)
    started = "SELECT max(backend_start) FROM pg_stat_activity WHERE application_name = 'decant'"
    store.get_user(uid(1))
    before = sql(started)

    store.get_user(uid(1))

    assert sql(started) == before


def test_a_query_right_after_a_restart_is_retried(store, postgres_down):
    fill_pool(store)
    with postgres_down():
        pass

    assert store.get_user(uid(1)) is None


@pytest.mark.timeout(120, method="thread")  # a signal does not interrupt libpq while it connects
@pytest.mark.parametrize("trusted", [True, False], ids=["just used", "long idle"])
def test_a_query_to_a_hanging_postgres_times_out_and_works_again_later(store, postgres, monkeypatch, trusted):
    monkeypatch.setattr(store_module, "_READ_SECONDS", 0.5)
    monkeypatch.setattr(pool_module, "_PROBE_SECONDS", 0.5)
    monkeypatch.setattr(pool_module, "_TRUSTED_IDLE_SECONDS", 60 if trusted else 0)
    fill_pool(store)

    began = time.monotonic()
    with paused(postgres.pid), pytest.raises(StoreUnavailable):
        store.get_user(uid(1))

    assert time.monotonic() - began < 6
    assert store.get_user(uid(1)) is None


def test_a_run_continues_after_an_outage_with_its_lease(store, postgres_down, run_id, monkeypatch):
    with monkeypatch.context() as hasty, postgres_down():
        hasty.setattr(retries.retrying(), "wait", wait_none())
        with pytest.raises(StoreUnavailable):
            store.load_page(page_load(run_id, person(1)))

    assert store.load_page(page_load(run_id, person(1))).inserted == 1


@pytest.mark.parametrize("url", ["postgresql://decant:hush@[::1/decant", "hush", "host=localhost hush=hush"])
def test_an_invalid_url_is_refused_without_showing_its_password(url):
    with pytest.raises(ConfigError) as refused:
        Store(url)

    assert str(refused.value) == "DATABASE_URL: is not a valid URL"
    assert refused.value.__context__ is None


def test_a_wrong_password_is_not_shown(postgres):
    url = postgres.url.replace("postgres:", "postgres:hush-", 1)
    with contextlib.closing(Store(url)) as store, pytest.raises(StoreUnavailable) as refused:
        store.get_user(uid(1))
    assert "hush" not in "".join(traceback.format_exception(refused.value))


# Threads


def test_many_threads_share_one_store_over_a_few_connections(store, sql, run_id):
    def work(number):
        loaded = store.load_page(page_load(run_id, person(number), page=number))
        return loaded.inserted, store.get_user(uid(number)) is not None

    done = at_once(*[lambda number=number: work(number) for number in range(20)])

    assert done == [(1, True)] * 20
    assert sql("SELECT pages_done, fetched, inserted FROM runs") == [(20, 20, 20)]
    ((connections,),) = sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'decant'")
    assert 1 <= connections <= 8


def test_loads_of_the_same_people_in_opposite_orders_do_not_deadlock(store, sql, postgres):
    runs = [open_run(store, source) for source in ("here", "there")]
    store.load_page(page_load(runs[0], person(1), person(2), person(3)))
    people = [person(number, city="Å") for number in (1, 2, 3)]
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

    with ThreadPoolExecutor(2) as threads, contextlib.closing(psycopg2.connect(postgres.url)) as holder:
        holder.cursor().execute("SELECT FROM users WHERE uid = %s FOR UPDATE", (uid(2),))
        loads = []
        for run_id, ordered in zip(runs, (people, people[::-1]), strict=True):
            loads.append(threads.submit(store.load_page, page_load(run_id, *ordered, page=2)))
            until(lambda: sql(waiting) == [(len(loads),)])
        holder.rollback()

    assert [load.result().updated for load in loads] == [3, 0]


def test_of_concurrent_loads_that_change_a_person_the_later_wins(store, sql, postgres):
    runs = [open_run(store, source) for source in ("here", "there")]
    store.load_page(page_load(runs[0], person(1)))
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"

    with ThreadPoolExecutor(2) as threads, contextlib.closing(psycopg2.connect(postgres.url)) as holder:
        holder.cursor().execute("SELECT FROM users WHERE uid = %s FOR UPDATE", (uid(1),))
        loads = []
        for run_id, city in zip(runs, ("Ålesund", "Łódź"), strict=True):
            loads.append(threads.submit(store.load_page, page_load(run_id, person(1, city=city), page=2)))
            until(lambda: sql(waiting) == [(len(loads),)])
        holder.rollback()

    versions = [load.result().versions[uid(1)] for load in loads]
    last = ("Ålesund", "Łódź")[versions.index(3)]
    assert sorted(versions) == [2, 3]
    assert sql("SELECT version, city FROM users JOIN users_address USING (uid)") == [(3, last)]
    ((kept,),) = sql("SELECT content_hash FROM users")
    store.load_page(page_load(runs[0], person(1, city=last), page=3))
    assert sql("SELECT content_hash, version FROM users") == [(kept, 3)]


def test_of_concurrent_loads_of_the_same_new_people_one_inserts_them(store, sql, postgres):
    runs = [open_run(store, source) for source in ("here", "there")]
    people = [person(number) for number in (1, 2, 3)]
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    somebody = (
        "INSERT INTO users (uid, birth_year, key_version, content_hash, first_run_id, last_run_id) "
        "VALUES (%s, 1987, 1, '', %s, %s)"
    )

    with ThreadPoolExecutor(2) as threads, contextlib.closing(psycopg2.connect(postgres.url)) as holder:
        holder.cursor().execute(somebody, (uid(2), runs[0], runs[0]))
        loads = []
        for run_id, ordered in zip(runs, (people, people[::-1]), strict=True):
            loads.append(threads.submit(store.load_page, page_load(run_id, *ordered)))
            until(lambda: sql(waiting) == [(len(loads),)])
        holder.rollback()

    assert [(load.result().inserted, load.result().unchanged) for load in loads] == [(3, 0), (0, 3)]
    assert sql("SELECT count(*), sum(version) FROM users JOIN users_address USING (uid)") == [(3, 3)]
    assert sql("SELECT sum(fetched), sum(inserted), sum(unchanged) FROM runs") == [(6, 3, 3)]


def test_no_query_scans_all_people_even_if_planned_on_empty_tables(postgres, sql):
    sql("TRUNCATE users, users_address")  # deleted rows leave pages, which make a scan look dear
    sql("ANALYZE users, users_address")
    sql("SELECT pg_stat_force_next_flush()")  # counts what this connection did so far
    scans = "SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE relname IN ('users', 'users_address')"
    connected = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'decant'"
    before, others = sql(scans), sql(connected)

    with contextlib.closing(Store(postgres.url)) as store:  # on new connections, which have no cached plans
        run = store.open_run(RunRequest("source", "manual", 3), "hash", 1)
        for number in range(3):
            for _ in range(10):  # after a few executions, Postgres caches the plan
                store.get_user(uid(1))
            people = [person(100 * number + place) for place in range(100)]
            store.load_page(page_load(run.run_id, *people, page=number + 1))

    until(lambda: sql(connected) == others)  # a connection reports its reads when it closes
    assert sql(scans) == before
    assert sql("SELECT count(*) FROM users") == [(300,)]


GROW = """
INSERT INTO users (uid, birth_year, key_version, content_hash, first_run_id, last_run_id)
SELECT gen_random_uuid(), 1987, 1, '', gen_random_uuid(), gen_random_uuid() FROM generate_series(1, {many});
INSERT INTO users_address (uid, lat, lng) SELECT uid, 0, 0 FROM users ON CONFLICT DO NOTHING;
INSERT INTO erasures (uid_token)
SELECT 'v1_' || lpad(n::text, 24, '-') FROM generate_series(1, {many}) AS n ON CONFLICT DO NOTHING;
INSERT INTO runs (source, trigger, status, contract_hash, key_version, pages_planned, finished_at)
SELECT 'there', 'manual', 'succeeded', '', 1, 1, now() FROM generate_series(1, {many});
INSERT INTO rejects (run_id, page, position, issues, fingerprint, sealed, sealed_until)
SELECT run_id, 1, 0, '[]', 'v1_' || repeat('-', 24), {sealed}
FROM runs WHERE source = 'there' ON CONFLICT DO NOTHING;
"""


@pytest.mark.parametrize("few", [0, 1, 100])
def test_a_load_planned_on_small_tables_reads_only_the_rows_of_its_page(postgres, sql, few):
    tables = "('users', 'users_address', 'erasures', 'runs', 'rejects')"
    rows = f"SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_user_tables WHERE relname IN {tables}"
    entries = f"SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname IN {tables}"
    connected = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'decant'"
    last = {"uid": "ffffffff-ffff-4fff-bfff-ffffffffffff"}
    many = 3_000
    sql(GROW.format(many=few, sealed="NULL, NULL"))
    sql("VACUUM ANALYZE")  # otherwise dead rows of earlier tests would be read too
    others = sql(connected)

    with contextlib.closing(Store(postgres.url)) as store:
        run = store.open_run(RunRequest("here", "manual", 2), "hash", 1)
        store.load_page(page_load(run.run_id, person(1), person(2, **last)))
        sql(GROW.format(many=many, sealed="'sealed', now()"))
        sql("SELECT pg_stat_force_next_flush()")  # counts what this connection did so far
        before = sql(rows)[0][0], sql(entries)[0][0]
        people = [person(1, city="Å"), person(2, city="Å", **last), person(3), person(4)]
        tokens = [[f"v2_{n:->24}", f"v1_{n:->24}"] for n in (many + 1, many + 2, many - 1, many)]
        loaded = store.load_page(page_load(run.run_id, *people, page=2, erasure_tokens=tokens))

    assert (loaded.updated, loaded.suppressed) == (2, 2)
    until(lambda: sql(connected) == others)  # a connection reports its reads when it closes
    after = sql(rows)[0][0], sql(entries)[0][0]
    assert [now - then < 100 for now, then in zip(after, before, strict=True)] == [True, True]


ERASING = "INSERT INTO erasures (uid_token) VALUES (%s)"


@pytest.fixture(params=["repeatable read", "serializable"])
def after_waiting(request, postgres, sql):
    """Makes a store with this isolation level wait for another transaction's commit; returns its answer."""

    def wait(work, done_meanwhile, *values):
        isolation = request.param.replace(" ", "%5C%20")
        strict = f"{postgres.url}?options=-c%20default_transaction_isolation%3D{isolation}"
        with (
            contextlib.closing(Store(strict)) as stricter,
            ThreadPoolExecutor(1) as thread,
            contextlib.closing(psycopg2.connect(postgres.url)) as other,
        ):
            cursor = other.cursor()
            cursor.execute("SELECT pg_advisory_xact_lock(hashtext('decant.erasures'))")
            waiting = thread.submit(work, stricter)
            until(lambda: sql("SELECT count(*) FROM pg_locks WHERE NOT granted") == [(1,)])
            cursor.execute(done_meanwhile, values)
            other.commit()
            return waiting.result(20)

    return wait


def test_a_load_that_waited_for_an_erasure_respects_it_in_any_isolation(after_waiting, run_id, tokeniser):
    token = tokeniser.token("uid", uid(1))
    load = page_load(run_id, person(1), erasure_tokens=[[token]])

    loaded = after_waiting(lambda stricter: stricter.load_page(load), ERASING, token)

    assert (loaded.suppressed, loaded.inserted) == (1, 0)


def test_rejects_that_waited_for_an_erasure_respect_it_in_any_isolation(
    after_waiting, sql, run_id, tokeniser
):
    token = tokeniser.token("uid", uid(1))
    sealed = replace(reject(0), sealed=b"sealed", uid_tokens=[token])

    after_waiting(lambda stricter: stricter.note_rejects(run_id, 1, [sealed], KEY, 7), ERASING, token)

    assert sql("SELECT sealed FROM rejects") == [(None,)]


def test_an_erasure_that_waited_for_a_load_deletes_its_people_in_any_isolation(after_waiting, sql):
    bringing = """
        INSERT INTO users (uid, birth_year, key_version, content_hash, first_run_id, last_run_id)
        VALUES (%s, 2000, 1, '', gen_random_uuid(), gen_random_uuid())
    """

    erased = after_waiting(lambda stricter: stricter.erase(uid(1), [token("e")], KEY), bringing, uid(1))

    assert (erased.users, sql("SELECT count(*) FROM users")) == (1, [(0,)])


@pytest.mark.parametrize(
    ("lock", "work", "written"),
    [
        ("decant.opening", lambda store: open_run(store), "runs"),
        ("decant.erasures", lambda store: store.erase(uid(1), [token("e")], KEY), "erasures"),
    ],
    ids=["a run", "an erasure"],
)
def test_a_statement_given_up_because_of_a_lock_is_not_executed_later(
    postgres, store, sql, monkeypatch, lock, work, written
):
    as_it_is = store_module.sql
    sooner = partial(re.sub, r"lock_timeout = '\w+'", "lock_timeout = '0.5s'")
    monkeypatch.setattr(store_module, "sql", lambda query: sooner(as_it_is(query)))
    with contextlib.closing(psycopg2.connect(postgres.url)) as holder:
        holder.cursor().execute("SELECT pg_advisory_xact_lock(hashtext(%s))", (lock,))

        with pytest.raises(StoreError, match="SQLSTATE 55P03") as refused:
            work(store)

    until(lambda: sql("SELECT count(*) FROM pg_locks WHERE NOT granted") == [(0,)])
    assert sql(f"SELECT count(*) FROM {written}") == [(0,)]
    assert answers.problem_of(refused.value, "").status_code == 503


def test_a_thread_waits_for_a_connection_but_not_forever(store, monkeypatch):
    monkeypatch.setattr(pool_module, "_WAIT_SECONDS", 0.2)
    for _ in range(8):
        store._pool._slots.acquire(0)

    assert seconds_of(lambda: expect_unavailable(lambda: store.get_user(uid(1)))) < 1

    store._pool._slots.release()
    assert store.get_user(uid(1)) is None


# A load and a read build the same body

AWKWARD = {
    "as it comes": {},
    "negative zeros": {"address.coordinates": {"lat": -0.0, "lng": -0.04}},
    "the south-west corner": {"address.coordinates": {"lat": -90, "lng": -180}},
    "the north-east corner": {"address.coordinates": {"lat": 90.0, "lng": 180.0}},
    "halves": {"address.coordinates": {"lat": 0.25, "lng": 89.95}},
    "tiny numbers": {"address.coordinates": {"lat": 5e-324, "lng": 1e-7}},
    "integers": {"address.coordinates": {"lat": 7, "lng": -7}},
    "the first year": {"date_of_birth": "0001-01-01"},
    "nothing that can be left out": {
        "phone_number": None,
        "social_insurance_number": None,
        "gender": None,
        "employment": None,
        "subscription": None,
    },
    "nothing in anything": dict.fromkeys(
        [path for path in (*RANDOM_DATA_API.texts, *RANDOM_DATA_API.optional_texts)], " n/a "
    ),
    "an upper-case uuid": {"uid": "F80B9B0D-C04D-4A77-86B5-43981186A788"},
    "quotes and escapes": {"address.city": '"a" \\ / \b\f\n\t\r \x01\x1f\x7f %s {} $1'},
    "other scripts": {
        "address.city": "Ærøskøbing 東京 القاهرة 𠮷田 👩‍👩‍👧 e\u0301",
        "address.zip_code": "𠮷東京1",
    },
    "odd separators": {"address.city": "a\u2028b\u2029c\u0085d\ufeffe", "gender": "\u200b"},
    "HTML": {"address.city": "</script><b>&amp;", "address.state": "null", "address.country": "NaN"},
    "a backslash N": {"address.city": "\\N", "address.state": "\\u0000", "address.country": "{}"},
}


@pytest.mark.parametrize("changes", AWKWARD.values(), ids=AWKWARD)
def test_a_load_and_a_read_build_the_same_body(store, run_id, tokeniser, changes):
    page = RANDOM_DATA_API.page(RANDOM_DATA_API.record(changes))
    valid = validate(page, RANDOM_DATA_API.dialect, date(2026, 1, 31))
    assert not valid.rejects
    columns = privacy.protect(clean(valid.users).columns, tokeniser)
    (who,) = columns["uid"]

    load = page_load(run_id, dict(zip(columns, next(zip(*columns.values(), strict=True)), strict=True)))
    for number in (1, 2):
        loaded = store.load_page(replace(load, page=number))
        if loaded.versions:
            bodies = views.user_bodies(views.user_drafts(columns), loaded.versions, loaded.updated_at)

    assert bodies == {who: store.get_user(who)}
    (listed,) = store.list_users(10, None, {})
    assert views.encode(listed) == bodies[who]


def test_times_are_in_utc_whatever_the_time_zone_of_the_database(sql):
    sql("SET TIME ZONE 'Asia/Tokyo'")

    assert sql("SELECT iso_utc('2026-01-02 03:04:05.6Z')") == [("2026-01-02T03:04:05.600000Z",)]


def test_only_people_whose_row_was_written_get_a_body(store, run_id):
    store.load_page(page_load(run_id, person(1), person(2)))
    load = page_load(run_id, person(1), person(2, city="Å"), page=2)
    loaded = store.load_page(load)

    bodies = views.user_bodies(load.drafts, loaded.versions, loaded.updated_at)

    assert bodies == {uid(2): store.get_user(uid(2))}


# Transient failures are retried


@pytest.mark.parametrize("refusal", ["'40P01'", "'40001'", "'23505' USING CONSTRAINT = 'users_pkey'"])
def test_a_load_that_lost_against_another_is_retried(store, sql, run_id, refusal):
    sql("CREATE SEQUENCE tries")
    sql(
        "CREATE FUNCTION lose() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF nextval('tries') < 3 THEN RAISE SQLSTATE {refusal}; END IF; RETURN NEW; END $$"
    )
    sql("CREATE TRIGGER losing BEFORE INSERT ON users FOR EACH ROW EXECUTE FUNCTION lose()")
    try:
        loaded = store.load_page(page_load(run_id, person(1)))
    finally:
        sql("DROP FUNCTION lose CASCADE")
        sql("DROP SEQUENCE tries")

    assert loaded.inserted == 1
    assert sql("SELECT fetched, inserted FROM runs") == [(1, 1)]


def test_a_load_survives_a_restart_of_postgres(store, sql, run_id, postgres):
    def restart():
        sql.close()
        postgres.stop()
        time.sleep(0.5)
        postgres.start()

    store.load_page(page_load(run_id, person(1)))
    with ThreadPoolExecutor(1) as thread:
        restarted = thread.submit(restart)
        until(lambda: not postgres.running)
        loaded = store.load_page(page_load(run_id, person(2), page=2))
        restarted.result()

    assert loaded.inserted == 1
    assert sql("SELECT fetched, pages_done FROM runs") == [(2, 2)]


def test_a_load_whose_answer_was_lost_takes_effect_once(store, sql, run_id, monkeypatch):
    ask, answers = store._execute, iter([True, False])

    def lose_the_first_answer(query, values, conn):
        rows = ask(query, values, conn)
        if query == "load_page" and next(answers):
            raise psycopg2.OperationalError("server closed the connection unexpectedly")
        return rows

    monkeypatch.setattr(store, "_execute", lose_the_first_answer)

    assert store.load_page(page_load(run_id, person(1))) is None
    assert sql("SELECT fetched, inserted, pages_done FROM runs") == [(1, 1, 1)]


def test_repeating_an_ending_whose_answer_was_lost_succeeds(store, run_id):
    assert store.finish_run(run_id, Ending("succeeded"))
    assert store.finish_run(run_id, Ending("succeeded"))
    assert not store.finish_run(run_id, Ending("failed"))


def test_a_signal_after_an_ending_leaves_where_the_next_run_continues(store, run_id):
    store.finish_run(run_id, Ending("failed", "too early to count"))
    request = RunRequest("here", "schedule", 3, page_size=100)
    run_id = store.open_run(request, "hash", 1).run_id
    store.load_page(page_load(run_id, person(1)))
    store.finish_run(run_id, Ending("partial", "asked to wait", {"load": 5}, next_page=2))

    assert store.finish_run(run_id, Ending("partial", "stopped by SIGTERM")).error == "asked to wait"
    assert store.get_run(run_id).timings == {"load": 5}
    assert store.open_run(request, "hash", 1).first_page == 2


def test_repeating_an_ending_does_not_bring_back_a_cursor_that_was_erased(store, sql, run_id):
    ending = Ending("succeeded", next_page=2, next_cursor="sealed")
    store.finish_run(run_id, ending)
    assert sql("SELECT next_cursor FROM runs") == [("sealed",)]
    store.erase(uid(1), [token("e")], KEY)

    assert store.finish_run(run_id, ending)
    assert sql("SELECT next_cursor FROM runs") == [(None,)]


def cursors(sql):
    return sql("SELECT source, next_cursor FROM runs WHERE next_cursor IS NOT NULL ORDER BY started_at")


def test_a_cursor_is_forgotten_with_the_next_scheduled_run_of_its_own_source(store, sql):
    def run(source, cursor=None):
        request = RunRequest(source, "schedule", 3, page_size=1, by_cursor=True)
        run_id = store.open_run(request, "hash", 1).run_id
        store.load_page(page_load(run_id, person(1)))
        store.finish_run(run_id, Ending("partial", "late", next_page=cursor and 2, next_cursor=cursor))

    run("here", "sealed")
    run("there", "sealed too")
    assert cursors(sql) == [("here", "sealed"), ("there", "sealed too")]

    run("here")

    assert cursors(sql) == [("there", "sealed too")]


def test_a_run_that_was_lost_meanwhile_leaves_the_cursor_of_the_next_one(store, sql):
    request = RunRequest("here", "schedule", 3, page_size=1, by_cursor=True)
    lost = store.open_run(request, "hash", 1).run_id
    sql.expire_leases()
    later = store.open_run(request, "hash", 1).run_id
    store.load_page(page_load(later, person(1)))
    store.finish_run(later, Ending("partial", "late", next_page=2, next_cursor="sealed"))

    assert store.finish_run(lost, Ending("succeeded")) is None

    assert cursors(sql) == [("here", "sealed")]


def test_a_run_that_was_stopped_stays_so_whatever_its_worker_met_since(store, run_id):
    store.stop_run(run_id)

    assert store.finish_run(run_id, Ending("failed", "page 1: too many rejects")) is None
    assert store.get_run(run_id).error == STOPPED_ON_REQUEST


def test_a_queued_run_that_has_ended_cannot_be_stopped(store):
    """Its missing pages may still be processed again."""
    run_id = store.open_run(RunRequest("here", "manual", 2, queued=True), "a hash", 1).run_id
    store.load_page(page_load(run_id, person(1)))
    store.fail_page(run_id, 2, "status 500")
    store.finish_page(run_id, {})

    assert store.stop_run(run_id).status == "partial"
    assert store.claim_page(run_id, 2, "a hash", 1)


def test_a_page_that_was_given_up_is_not_taken_for_one_that_is_loaded(store, sql):
    run_id = store.open_run(RunRequest("here", "manual", 2, queued=True), "a hash", 1).run_id
    store.fail_page(run_id, 1, "status 500")
    sql.expire_leases()

    with pytest.raises(LeaseLost):
        store.load_page(page_load(run_id, person(1)))


def test_an_ended_run_still_knows_the_pages_that_it_has_loaded(store, sql, run_id):
    store.load_page(page_load(run_id, person(1)))

    store.finish_run(run_id, Ending("succeeded"))

    assert sql("SELECT page, fetched FROM pages") == [(1, 1)]


def test_of_a_queued_run_the_last_page_says_how_many_records_there_are(store):
    """Some may have been deleted while it was in progress."""
    request = RunRequest("here", "manual", 3, page_size=1, queued=True, total_at="total")
    run_id = store.open_run(request, "a hash", 1).run_id
    for number, total in ((1, 9), (2, 2)):
        store.load_page(replace(page_load(run_id, person(number), page=number), total=total))
    store.load_page(page_load(run_id, page=3))

    assert store.finish_page(run_id, {}).status == "succeeded"


def test_the_answer_to_the_last_page_is_what_the_ledger_has(store):
    run_id = store.open_run(RunRequest("here", "manual", 1, queued=True), "a hash", 1).run_id
    store.load_page(replace(page_load(run_id, person(1), person(2)), duplicate=3, filtered=4))

    counted = {"fetched": 9, "inserted": 2, "updated": 0, "unchanged": 0, "duplicate": 3, "rejected": 0}
    rest = {"suppressed": 0, "filtered": 4, "departed": 0, "error": None}
    assert store.finish_page(run_id, {}) == Counts("succeeded", 1, **counted, **rest)


def test_the_timings_of_a_queued_run_are_those_of_all_its_pages(store):
    run_id = store.open_run(RunRequest("here", "manual", 3, queued=True), "a hash", 1).run_id

    for timings in ({"fetch": 1.5}, {"fetch": 2.0, "load": 5.0}, {"load": 0.5}):
        store.finish_page(run_id, timings)

    assert store.get_run(run_id).timings == {"fetch": 3.5, "load": 5.5}


def test_repeating_an_opening_whose_answer_was_lost_succeeds(store, sql, monkeypatch):
    ask, answers = store._execute, iter([True, False])

    def lose_the_first_answer(query, values, conn):
        rows = ask(query, values, conn)
        if query == "open_run" and next(answers):
            raise psycopg2.OperationalError("server closed the connection unexpectedly")
        return rows

    monkeypatch.setattr(store, "_execute", lose_the_first_answer)

    opened = store.open_run(RunRequest("here", "manual", 3), "hash", 1)

    assert (opened.status, opened.first_page) == ("running", 1)
    assert sql("SELECT run_id::text, status, pages_planned FROM runs") == [(opened.run_id, "running", 3)]


def test_a_retried_opening_still_resumes_where_another_run_stopped(store, monkeypatch):
    stopped = store.open_run(RunRequest("here", "schedule", 3, page_size=100), "hash", 1).run_id
    store.finish_run(stopped, Ending("partial", "the run ran out of time", next_page=2))
    ask = store._execute

    def twice(query, values, conn):
        if query == "open_run":
            ask(query, values, conn)
        return ask(query, values, conn)

    monkeypatch.setattr(store, "_execute", twice)

    opened = store.open_run(RunRequest("here", "schedule", 3, page_size=100), "hash", 1)

    assert (opened.status, opened.first_page) == ("running", 2)


@pytest.fixture
def read_only(sql):
    """New connections find a standby from now on; call it to let later ones find the primary again."""
    change = "ALTER DATABASE postgres {} default_transaction_read_only"
    sql(change.format("SET") + " = on")
    yield lambda: sql(change.format("RESET"))
    sql(change.format("RESET"))


def test_a_standby_serves_reads_but_a_run_does_not_start(store, read_only):
    assert store.get_user(uid(1)) is None
    with pytest.raises(StoreUnavailable, match="SQLSTATE 25006"):
        open_run(store)


def test_a_store_that_is_connected_to_a_standby_looks_for_the_primary(store, read_only):
    fill_pool(store)

    read_only()

    assert store.open_run(RunRequest("here", "manual", 1), "hash", 1).status == "running"


def test_a_refused_connection_is_reported_with_its_sqlstate(postgres, store, sql):
    sql("CREATE ROLE crowded LOGIN PASSWORD 'crowded' CONNECTION LIMIT 0")
    url = f"postgresql://crowded:crowded@127.0.0.1:{postgres.port}/postgres"
    refusals = {
        url: "53300",
        postgres.url.replace("postgres:", "postgres:not-", 1): "28P01",
        postgres.url + "-of-others": "3D000",
    }
    try:
        for refused, sqlstate in refusals.items():
            with contextlib.closing(Store(refused)) as outside, pytest.raises(StoreUnavailable) as error:
                outside.get_user(uid(1))
            assert str(error.value) == f"query connect failed: SQLSTATE {sqlstate}"
    finally:
        sql("DROP ROLE crowded")


@pytest.mark.parametrize(
    ("query", "write"),
    [
        ("note_rejects", lambda store, run_id: store.note_rejects(run_id, 1, [reject(0)], KEY)),
        ("finish_run", lambda store, run_id: store.finish_run(run_id, Ending("succeeded"))),
    ],
)
def test_what_a_run_records_survives_a_short_outage(store, run_id, monkeypatch, query, write):
    execute, failures = store._execute, iter([True, True, True])

    def fail_at_first(name, values, conn):
        if name == query and next(failures, False):
            raise psycopg2.OperationalError("server closed the connection unexpectedly")
        return execute(name, values, conn)

    monkeypatch.setattr(store, "_execute", fail_at_first)
    monkeypatch.setattr(retries.retrying(), "wait", wait_none())

    write(store, run_id)

    assert next(failures, None) is None


def test_an_erasure_that_is_remembered_under_two_keys_keeps_the_time_of_the_first(store, sql):
    for made, day in ((token("e", 1), "2026-01-01"), (token("e", 2), "2026-01-02")):
        sql("INSERT INTO erasures (uid_token, erased_at) VALUES (%s, %s)", made, day)

    receipts = [store.erase(uid(1), [token("e", 2), token("e", 1)], key(2)) for _ in range(2)]

    assert [receipt.erased_at[:10] for receipt in receipts] == ["2026-01-01"] * 2
    assert sql("SELECT DISTINCT erased_at::date::text FROM erasures") == [("2026-01-01",)]


def test_an_erasure_whose_answer_was_lost_is_not_repeated(store, run_id, monkeypatch):
    """The receipt of a second try would say that nobody was stored."""
    store.load_page(page_load(run_id, person(1)))
    execute = store._execute

    def lose_the_answer(query, values, conn):
        execute(query, values, conn)
        raise psycopg2.OperationalError("server closed the connection unexpectedly")

    with monkeypatch.context() as patched:
        patched.setattr(store, "_execute", lose_the_answer)
        patched.setattr(store_module, "retry_once", lambda attempt: pytest.fail("a second try"))
        with pytest.raises(StoreUnavailable):
            store.erase(uid(1), [token("e")], KEY)

    assert store.get_user(uid(1)) is None


def test_the_end_of_a_page_whose_answer_was_lost_is_not_repeated(store, sql, monkeypatch):
    """A second try would say that the run had ended before: then no alarm would tell that it failed."""
    run_id = store.open_run(RunRequest("here", "manual", 1, queued=True), "a hash", 1).run_id
    store.fail_page(run_id, 1, "status 500")
    execute, tries = store._execute, []

    def lose_the_first_answer(query, values, conn):
        rows = execute(query, values, conn)
        tries.append(query)
        if len(tries) == 1:
            raise psycopg2.OperationalError("server closed the connection unexpectedly")
        return rows

    monkeypatch.setattr(store, "_execute", lose_the_first_answer)
    with pytest.raises(StoreUnavailable):
        store.finish_page(run_id, {"load": 5.0})

    assert tries == ["finish_page"]
    assert sql("SELECT status, timings ->> 'load' FROM runs") == [("failed", "5.000")]
