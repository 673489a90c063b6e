"""Failures of Postgres during a run: transient ones are waited out, others are recorded if possible."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg2
import pytest

from local import installation
from tests.faults.child import Order, Run
from tests.faults.trial import Trial
from tests.faults.wire import cut

THEIRS = "FROM pg_stat_activity WHERE datname = 'trial' AND application_name = 'decant'"


def end_sessions(trial: Trial) -> None:
    trial.sql(f"SELECT pg_terminate_backend(pid, 5000) {THEIRS}")


def restart(trial: Trial) -> None:
    trial.hang_up()
    trial.postgres.stop()
    trial.postgres.start()


def kill(trial: Trial) -> None:
    trial.hang_up()
    os.kill(trial.postgres.pid or 0, signal.SIGKILL)
    trial.postgres.start()


passing = pytest.mark.parametrize("happen", [end_sessions, restart, kill])


@contextlib.contextmanager
def people_locked(trial: Trial) -> Iterator[None]:
    """Makes every load wait."""
    with contextlib.closing(psycopg2.connect(trial.url)) as holder:
        holder.cursor().execute("LOCK TABLE users IN EXCLUSIVE MODE")
        yield


def stopped_at(trial: Trial, step: str) -> Run:
    """The run of a new day, stopped exactly at this step."""
    steps = trial.recover().steps
    trial.begin_day()
    run = trial.start(Order(step=steps.index(step) + 1, sends=signal.SIGSTOP))
    run.wait_until_stopped()
    return run


@passing
def test_a_load_whose_session_ends_midway_is_retried(trial: Trial, happen: Callable[[Trial], None]):
    trial.begin_day()
    with people_locked(trial):
        run = trial.start()
        while not trial.sql(f"SELECT pid {THEIRS} AND wait_event_type = 'Lock'"):
            time.sleep(0.01)
        happen(trial)

    assert run.wait().ended == "succeeded"
    assert trial.problems() == []


@pytest.mark.parametrize(
    ("happen", "step"),
    [(end_sessions, "after fetch"), (end_sessions, "before finish_run"), (restart, "before finish_run")],
)
def test_connections_that_died_while_a_lambda_was_frozen_cause_no_failure(
    trial: Trial, happen: Callable[[Trial], None], step: str
):
    run = stopped_at(trial, step)
    happen(trial)
    run.resume()

    assert run.wait().ended == "succeeded"
    assert trial.problems() == []


def test_a_run_that_could_not_record_its_end_is_marked_lost_by_the_next_run(trial: Trial):
    run = stopped_at(trial, "before finish_run")
    trial.wires["Postgres"].begin(cut)
    run.resume()

    assert run.wait().ended == "StoreUnavailable"
    assert trial.recover().ended == "succeeded"
    assert trial.statuses(2) == ["lost", "succeeded"]
    assert trial.problems() == []


# A failover


@contextlib.contextmanager
def a_standby(trial: Trial) -> Iterator[None]:
    """New connections reach a standby from now on."""
    trial.sql("ALTER DATABASE trial SET default_transaction_read_only = on")
    end_sessions(trial)
    try:
        yield
    finally:
        trial.sql("ALTER DATABASE trial RESET default_transaction_read_only")


def test_no_run_starts_on_a_standby(trial: Trial):
    trial.begin_day()
    before = trial.sql("SELECT count(*) FROM runs")
    with a_standby(trial):
        assert trial.start().wait().ended == "StoreUnavailable"

    assert trial.sql("SELECT count(*) FROM runs") == before
    assert trial.recover().ended == "succeeded"
    assert trial.problems() == []


def test_a_run_that_meets_a_standby_midway_waits_for_the_primary(trial: Trial):
    run = stopped_at(trial, "before load_page")
    with a_standby(trial):
        run.resume()
        time.sleep(0.3)

    assert run.wait().ended == "succeeded"
    assert trial.problems() == []


# No connection left


@pytest.fixture
def crowded(trial: Trial) -> Iterator[str]:
    """The URL, through the wire, of a role that may have only one connection."""
    trial.sql("CREATE ROLE crowded LOGIN PASSWORD 'crowded' CONNECTION LIMIT 1")
    trial.sql("GRANT ALL ON ALL TABLES IN SCHEMA public TO crowded")
    yield f"postgresql://crowded:crowded@127.0.0.1:{trial.wires['Postgres'].port}/trial"
    trial.sql("DROP OWNED BY crowded; DROP ROLE crowded")


def test_without_a_free_connection_no_run_starts(trial: Trial, crowded: str):
    trial.begin_day()
    with contextlib.closing(psycopg2.connect(crowded)):
        outcome = trial.start(DATABASE_URL=crowded).wait()

    assert (outcome.ended, outcome.error) == ("StoreUnavailable", "query connect failed: SQLSTATE 53300")
    assert trial.recover().ended == "succeeded"
    assert trial.problems() == []


def test_a_run_waits_for_a_connection_that_another_client_holds(trial: Trial, crowded: str):
    steps = trial.recover().steps
    trial.begin_day()
    order = Order(step=steps.index("before load_page") + 1, sends=signal.SIGSTOP)
    run = trial.start(order, DATABASE_URL=crowded)
    run.wait_until_stopped()
    end_sessions(trial)
    with contextlib.closing(psycopg2.connect(crowded)):
        run.resume()
        time.sleep(0.2)

    assert run.wait().ended == "succeeded"
    assert trial.problems() == []


# A full disk

MOUNT, UMOUNT = shutil.which("mount") or "", shutil.which("umount") or ""


@pytest.fixture
def small_disk(trial: Trial) -> Iterator[None]:
    """A disk that holds the people and has no room for more."""
    folder = Path("/var/tmp") / f"decant-small-disk-{os.getpid()}"  # noqa: S108  Postgres must reach it
    folder.mkdir()
    try:
        if os.geteuid() != 0 or not mounted(folder):
            pytest.skip("no small disk can be mounted here")
        owner = installation.choose(folder).user
        if owner:
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        trial.sql(f"CREATE TABLESPACE small LOCATION '{folder}'")
        trial.sql("ALTER TABLE users SET TABLESPACE small")
        trial.sql("VACUUM FULL users")
        trial.sql("CREATE TABLE filler (nothing text) TABLESPACE small")
        yield
        trial.sql("ALTER TABLE users SET TABLESPACE pg_default")
        trial.sql("DROP TABLE IF EXISTS filler")
        trial.sql("DROP TABLESPACE small")
    finally:
        subprocess.run([UMOUNT, folder], check=False, stderr=subprocess.DEVNULL)
        folder.rmdir()


def mounted(folder: Path) -> bool:
    if not (MOUNT and UMOUNT):
        return False
    command = [MOUNT, "-t", "tmpfs", "-o", "size=1m", "small", str(folder)]
    return subprocess.run(command, check=False, stderr=subprocess.DEVNULL).returncode == 0


def test_a_full_disk_fails_the_run_with_its_reason_and_nothing_is_half_done(trial: Trial, small_disk: None):
    trial.begin_day()
    with contextlib.suppress(psycopg2.errors.DiskFull):
        while True:
            trial.sql("INSERT INTO filler SELECT repeat(md5(n::text), 10) FROM generate_series(1, 20) AS n")

    outcome = trial.start().wait()
    assert (outcome.ended, outcome.error) == ("failed", "query load_page failed: SQLSTATE 53100")
    assert trial.sql("SELECT status, error, fetched FROM runs ORDER BY started_at DESC LIMIT 1") == [
        (*outcome[1:], 0)
    ]

    trial.sql("DROP TABLE filler")
    assert trial.recover().ended == "succeeded"
    assert trial.problems() == []


# Conflicts between loads


def test_two_sources_of_the_same_people_under_the_strictest_isolation(trial: Trial):
    """Postgres keeps aborting one of two such loads with a serialisation failure; both succeed in the end."""
    other = {"SOURCE_URL": trial.source.url("random-data-api")}  # not the wire: another name in the ledger
    trial.sql("ALTER DATABASE trial SET default_transaction_isolation = serializable")
    try:
        for _ in range(3):
            trial.begin_day()
            runs = [trial.start(), trial.start(**other)]
            assert [run.wait().ended for run in runs] == ["succeeded"] * 2
            assert trial.problems() == []
    finally:
        trial.sql("ALTER DATABASE trial RESET default_transaction_isolation")
