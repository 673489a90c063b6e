"""What `make run` starts, in a copy of the checkout: over HTTP, under signals, and with a second run."""

import contextlib
import http.client
import json
import queue
import signal
import socket
import stat
import subprocess
import sys
import threading
import time

import psutil
import pytest

from local.processes import free_port
from tests.checkout import copied, environment
from tests.waiting import until

START_SECONDS = 60
STOP_SECONDS = 30


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    with copied(tmp_path_factory.mktemp("decant")) as copy:
        yield copy.folder
    assert not (copy.folder / ".local").exists()


def command(checkout, module, *argv, **changes):
    """Runs one of the checkout's commands to its end."""
    return subprocess.run(
        [sys.executable, "-m", module, *argv],
        cwd=checkout, env=environment(**changes), capture_output=True, text=True, check=False,
        timeout=START_SECONDS,
    )  # fmt: skip


class Run:
    """A running `make run`."""

    def __init__(self, checkout, **changes):
        self.checkout, self.port = checkout, free_port()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "local.run"],
            cwd=checkout, env=environment(PORT=str(self.port), **changes), text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.lines, self.said = queue.Queue(), []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.put(line.rstrip())
        self.lines.put(None)

    def wait_until_it_serves(self):
        deadline = time.monotonic() + START_SECONDS
        while (line := self.lines.get(timeout=max(deadline - time.monotonic(), 0.01))) is not None:
            self.said.append(line)
            if line.startswith("Decant is running at"):
                return self
        raise AssertionError("it ended: " + "\n".join(self.said))

    def family(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self, number):
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        status = self.process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        with contextlib.suppress(queue.Empty):
            while (line := self.lines.get_nowait()) is not None:
                self.said.append(line)
        self.process.stdout.close()
        return status

    @property
    def key(self):
        return (self.checkout / ".local" / "api-key").read_text().strip()

    def get(self, path, key=None):
        return self.ask("GET", path, key)

    def ask(self, method, path, key, body=None):
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)) as line:
            line.request(method, path, body and json.dumps(body), headers)
            answer = line.getresponse()
            return answer.status, answer.read()


def alive(processes):
    return [one for one in processes if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


@contextlib.contextmanager
def started(checkout):
    run = Run(checkout)
    family = []
    try:
        run.wait_until_it_serves()
        family = run.family()
        yield run
    finally:
        if run.process.poll() is None:
            run.end(signal.SIGTERM)
        for orphan in alive(family):
            orphan.kill()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run for the tests that do not end it, in a checkout of its own: the others start theirs beside it."""
    with copied(tmp_path_factory.mktemp("running")) as copy, started(copy.folder) as run:
        yield run


def test_the_last_line_is_the_url_and_the_key_is_printed(run):
    assert run.said[-1] == f"Decant is running at http://127.0.0.1:{run.port}"
    assert any(line.startswith(f"API key: {run.key} ") for line in run.said)


def test_the_link_has_its_own_key_which_is_not_stored(run):
    (link,) = [line for line in run.said if line.startswith("The page: ")]
    address, _, key = link.partition("#key=")

    assert address == f"The page: http://127.0.0.1:{run.port}/"
    assert key != run.key
    assert [run.get("/stats", one)[0] for one in (key, run.key, "another")] == [200, 200, 403]
    places = [path for path in (run.checkout / ".local").iterdir() if path.name != "postgres"]
    kept = [path for place in places for path in (place, *place.rglob("*")) if path.is_file()]
    assert "http.log" in {path.name for path in kept}
    assert [path.name for path in kept if key.encode() in path.read_bytes()] == []


def test_the_first_ingest_is_reported(run):
    assert any(line.startswith("Ingest succeeded in ") for line in run.said)


def test_secrets_in_the_local_folder_are_readable_only_by_their_owner(run):
    for name in ("api-key", "pii-keys.json", "env"):
        assert stat.S_IMODE((run.checkout / ".local" / name).stat().st_mode) == 0o600


def test_health_is_open(run):
    status, body = run.get("/health")

    assert status == 200
    assert isinstance(json.loads(body), dict)


def test_users_need_the_key(run):
    assert run.get("/users")[0] == 401
    assert run.get("/users", key="decant_guessed")[0] in (401, 403)


def test_users_are_served_to_the_key(run):
    status, body = run.get("/users", run.key)

    assert status == 200
    assert json.loads(body)["items"]


def test_everything_listens_only_on_loopback(run):
    listening = [
        connection.laddr.ip
        for process in run.family()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    ]

    assert len(listening) >= 4
    assert set(listening) == {"127.0.0.1"}


def test_a_second_run_in_the_same_checkout_says_so(run):
    second = command(run.checkout, "local.run", PORT=str(free_port()))

    assert second.returncode == 1
    assert f"this checkout is in use by `make run, process {run.process.pid}`" in second.stderr


def test_a_taken_port_is_reported_in_one_sentence(run, tmp_path):
    second = command(run.checkout, "local.run", PORT=str(run.port), DECANT_LOCAL_DIR=str(tmp_path / "other"))

    assert second.returncode == 1
    assert second.stderr == (
        f"make run: port {run.port} on 127.0.0.1 is taken; "
        f"choose another, as in `make run PORT={run.port + 1}`.\n"
    )


@pytest.mark.parametrize("port", ["0", "65536", "eighty", "-1"])
def test_an_invalid_port_is_refused(checkout, tmp_path, port):
    refused = command(checkout, "local.run", PORT=port, DECANT_LOCAL_DIR=str(tmp_path))

    assert refused.returncode == 1
    assert refused.stderr == "make run: PORT must be a number from 1 to 65535.\n"


def test_clean_leaves_a_running_stack_alone(run):
    refused = command(run.checkout, "local.clean")

    assert refused.returncode == 1
    assert "this checkout is in use by `make run" in refused.stderr
    assert run.get("/health")[0] == 200


def test_ingest_uses_the_running_servers(run):
    done = command(run.checkout, "local.ingest", "--pages", "2", "--size", "30")

    assert done.returncode == 0, done.stderr
    assert "fetched            60" in done.stdout
    assert not done.stderr
    runs = json.loads(run.get("/runs", run.key)[1])["items"]
    assert any(one["trigger"] == "backfill" and one["fetched"] == 60 for one in runs)


def uids(run):
    return sorted(user["uid"] for user in json.loads(run.get("/users", run.key)[1])["items"])


def test_sigterm_ends_everything_and_the_next_run_finds_the_data(checkout):
    with started(checkout) as first:
        before, key, family = uids(first), first.key, first.family()
        assert first.end(signal.SIGTERM) == 0

    assert len(family) >= 5
    assert not alive(family)
    assert not (checkout / ".local" / "env").exists()
    with started(checkout) as second:
        after, family = uids(second), second.family()
        assert second.key == key
        assert second.end(signal.SIGINT) == 0
        assert not alive(family)
    assert after == before


def test_a_run_in_progress_stops_after_a_page_and_does_not_hold_up_the_next(checkout):
    with started(checkout) as first:
        status, body = first.ask("POST", "/runs", first.key, {"pages": 10_000})
        assert status == 202
        path, key = f"/runs/{json.loads(body)['run_id']}", first.key
        until(lambda: json.loads(first.get(path, key)[1])["pages_done"] > 0)
        assert first.end(signal.SIGTERM) == 0
        assert first.said[-1].startswith("Stopped.")

    with started(checkout) as second:
        assert any(line.startswith("Ingest succeeded") for line in second.said)
        stopped = json.loads(second.get(path, key)[1])
    assert (stopped["status"], stopped["error"]) == ("partial", "stopped by SIGTERM")


def test_the_api_answers_while_the_first_ingest_goes_on(checkout):
    """After a restart of a service, whose ingest may take an hour."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        run = Run(checkout, SOURCE_URL=f"http://127.0.0.1:{silent.getsockname()[1]}/")
        try:
            silent.settimeout(START_SECONDS)
            with silent.accept()[0]:
                assert run.get("/health")[0] == 200
        finally:
            run.end(signal.SIGTERM)


def test_after_a_kill_the_next_run_ends_the_orphans_and_serves(checkout):
    with started(checkout) as killed:
        family = killed.family()
        killed.end(signal.SIGKILL)
        assert len(alive(family)) >= 5

        with started(checkout) as second:
            assert not alive(family)
            assert second.get("/users", second.key)[0] == 200


def member(family, name):
    return next(one for one in family if is_called(one, name))


def is_called(process, name):
    with contextlib.suppress(psutil.Error):  # it has ended
        return process.name() == name or name in " ".join(process.cmdline())
    return False


def revived(run):
    """The processes reported to be back so far."""
    with contextlib.suppress(queue.Empty):
        while line := run.lines.get_nowait():
            run.said.append(line)
    mark = " is running again."
    return {line.removesuffix(mark) for line in run.said if line.endswith(mark)}


def answers(run):
    with contextlib.suppress(OSError):
        return run.get("/health")[0] == 200
    return False


def test_any_process_that_ends_is_restarted_and_the_api_keeps_working(checkout):
    with started(checkout) as run:
        member(run.family(), "local.schedule").kill()
        member(run.family(), "local.user_api").kill()
        member(run.family(), "local.http_server").kill()
        until(lambda: revived(run) == {"the scheduler", "the user API's stand-in", "the HTTP server"})
        until(lambda: answers(run))
        known = json.loads(run.get("/users?limit=1", run.key)[1])["items"][0]["uid"]

        member(run.family(), "valkey-server").kill()
        assert run.get(f"/users/{known}", run.key)[0] == 200
        until(lambda: json.loads(run.get("/health")[1])["status"] == "ok")

        member(run.family(), "postgres").kill()
        until(lambda: run.get("/users", run.key)[0] == 503)
        until(lambda: run.get("/users", run.key)[0] == 200)
        assert run.get(f"/users/{known}", run.key)[0] == 200


def test_a_signal_during_the_start_leaves_nothing(checkout):
    """Sent at moments spread over the start, each of which could once have left a child behind."""
    for delay in (0.3, 0.6, 0.9, 1.2):
        run = Run(checkout)
        time.sleep(delay)
        family = run.family()
        status = run.end(signal.SIGTERM)
        assert status in (0, -signal.SIGTERM)  # the latter before Python has installed its signal handler
        assert not alive(family)
        assert not [one for one in psutil.process_iter() if _works_in(checkout, one)]


def _works_in(folder, process):
    with contextlib.suppress(psutil.Error):  # it has ended
        return str(folder) in process.cwd() or str(folder) in " ".join(process.cmdline())
    return False


def test_ingest_alone_starts_its_own_servers_and_stops_them(checkout):
    """Even if the shell has settings for other servers."""
    shell = {"PGSSLMODE": "require", "PGOPTIONS": "-c search_path=foo", "http_proxy": "http://127.0.0.1:9"}
    done = command(checkout, "local.ingest", "--pages", "1", "--size", "10", **shell)

    assert done.returncode == 0, done.stderr
    assert "fetched            10" in done.stdout
    assert not (checkout / ".local" / "children.json").exists()


def test_a_broken_data_folder_is_reported_in_one_sentence(checkout, tmp_path):
    (tmp_path / "postgres" / "data").mkdir(parents=True)

    refused = command(checkout, "local.run", PORT=str(free_port()), DECANT_LOCAL_DIR=str(tmp_path))

    assert refused.returncode == 1
    assert refused.stderr.startswith("make run: the Postgres data in ")
    assert "`make clean` removes it" in refused.stderr
