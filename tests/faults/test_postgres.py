"""What Postgres may do to a run: what passes is waited for, the rest is told in the ledger, if it can be."""

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

from local import quarters
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
    """Whoever loads must wait."""
    with contextlib.closing(psycopg2.connect(trial.url)) as holder:
        holder.cursor().execute("LOCK TABLE users IN EXCLUSIVE MODE")
        yield


def stopped_at(trial: Trial, step: str) -> Run:
    """The run of a new day, asleep just there."""
    steps = trial.recover().steps
    trial.begin_day()
    run = trial.start(Order(step=steps.index(step) + 1, sends=signal.SIGSTOP))
    run.wait_until_stopped()
    return run


@passing
def test_a_load_whose_session_ends_midway_is_made_anew(trial: Trial, happen: Callable[[Trial], None]):
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
def test_connections_that_died_while_a_lambda_was_frozen_cost_nothing(
    trial: Trial, happen: Callable[[Trial], None], step: str
):
    run = stopped_at(trial, step)
    happen(trial)
    run.go_on()

    assert run.wait().ended == "succeeded"
    assert trial.problems() == []


def test_a_ledger_that_cannot_be_written_any_more_is_told_by_the_next_run(trial: Trial):
    run = stopped_at(trial, "before finish_run")
    trial.wires["Postgres"].begin(cut)
    run.go_on()

    assert run.wait().ended == "StoreUnavailable"
    assert trial.recover().ended == "succeeded"
    assert trial.statuses(2) == ["lost", "succeeded"]
    assert trial.problems() == []


# A failover


@contextlib.contextmanager
def a_standby(trial: Trial) -> Iterator[None]:
    """Is what answers whoever connects from now on."""
    trial.sql("ALTER DATABASE trial SET default_transaction_read_only = on")
    end_sessions(trial)
    try:
        yield
    finally:
        trial.sql("ALTER DATABASE trial RESET default_transaction_read_only")


def test_a_standby_takes_no_run(trial: Trial):
    trial.begin_day()
    before = trial.sql("SELECT count(*) FROM runs")
    with a_standby(trial):
        assert trial.start().wait().ended == "StoreUnavailable"

    assert trial.sql("SELECT count(*) FROM runs") == before
    assert trial.recover().ended == "succeeded"
    assert trial.problems() == []


def test_a_run_in_the_midst_of_which_a_standby_answers_waits_for_the_primary(trial: Trial):
    run = stopped_at(trial, "before load_page")
    with a_standby(trial):
        run.go_on()
        time.sleep(0.3)

    assert run.wait().ended == "succeeded"
    assert trial.problems() == []


# No connection left


@pytest.fixture
def crowded(trial: Trial) -> Iterator[str]:
    """The URL of one who may have a single connection, by way of the wire."""
    trial.sql("CREATE ROLE crowded LOGIN PASSWORD 'crowded' CONNECTION LIMIT 1")
    trial.sql("GRANT ALL ON ALL TABLES IN SCHEMA public TO crowded")
    yield f"postgresql://crowded:crowded@127.0.0.1:{trial.wires['Postgres'].port}/trial"
    trial.sql("DROP OWNED BY crowded; DROP ROLE crowded")


def test_without_a_connection_no_run_begins(trial: Trial, crowded: str):
    trial.begin_day()
    with contextlib.closing(psycopg2.connect(crowded)):
        told = trial.start(DATABASE_URL=crowded).wait()

    assert (told.ended, told.error) == ("StoreUnavailable", "query connect failed: SQLSTATE 53300")
    assert trial.recover().ended == "succeeded"
    assert trial.problems() == []


def test_a_run_waits_for_a_connection_that_others_took(trial: Trial, crowded: str):
    steps = trial.recover().steps
    trial.begin_day()
    order = Order(step=steps.index("before load_page") + 1, sends=signal.SIGSTOP)
    run = trial.start(order, DATABASE_URL=crowded)
    run.wait_until_stopped()
    end_sessions(trial)
    with contextlib.closing(psycopg2.connect(crowded)):
        run.go_on()
        time.sleep(0.2)

    assert run.wait().ended == "succeeded"
    assert trial.problems() == []


# A full disk

MOUNT, UMOUNT = shutil.which("mount") or "", shutil.which("umount") or ""


@pytest.fixture
def small_disk(trial: Trial) -> Iterator[None]:
    """Holds the people, and nothing more has a place on it."""
    folder = Path("/var/tmp") / f"decant-small-disk-{os.getpid()}"  # noqa: S108  Postgres must reach it
    folder.mkdir()
    try:
        if os.geteuid() != 0 or not mounted(folder):
            pytest.skip("no small disk can be mounted here")
        owner = quarters.choose(folder).user
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

    told = trial.start().wait()
    assert (told.ended, told.error) == ("failed", "query load_page failed: SQLSTATE 53100")
    assert trial.sql("SELECT status, error, fetched FROM runs ORDER BY started_at DESC LIMIT 1") == [
        (*told[1:], 0)
    ]

    trial.sql("DROP TABLE filler")
    assert trial.recover().ended == "succeeded"
    assert trial.problems() == []


# Each other


def test_two_sources_of_the_same_people_under_the_strictest_isolation(trial: Trial):
    """Postgres lets one of two such loads fail to serialise, again and again; both are made in the end."""
    other = {"SOURCE_URL": trial.days.url("random-data-api")}  # past the wire: another name in the ledger
    trial.sql("ALTER DATABASE trial SET default_transaction_isolation = serializable")
    try:
        for _ in range(3):
            trial.begin_day()
            runs = [trial.start(), trial.start(**other)]
            assert [run.wait().ended for run in runs] == ["succeeded"] * 2
            assert trial.problems() == []
    finally:
        trial.sql("ALTER DATABASE trial RESET default_transaction_isolation")
