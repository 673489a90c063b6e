"""What `make run` and `make localstack` start, what that is told, and how signals reach it."""

import json
import os
import signal
import sys

import pytest

from chalicelib.access import key_hash
from chalicelib.errors import Stopped
from local import clean, deployment, keys, processes, run, signals
from local.errors import LocalError, PortTaken
from local.stack import Stack, record_file, running_stack
from tests.waiting import recognisable

DATABASE = {"DATABASE_URL": "postgresql://127.0.0.1/theirs"}


@pytest.mark.parametrize(
    ("chosen", "missing"),
    [
        ({}, "PII_KEYS and SOURCE_URL"),
        ({"PII_KEYS": "{}"}, "SOURCE_URL"),
        ({"SOURCE_URL": "https://users.example"}, "PII_KEYS"),
    ],
)
def test_a_database_of_ones_own_gets_no_laptops_keys_and_no_invented_people(tmp_path, chosen, missing):
    with (
        pytest.raises(LocalError, match=f"^DATABASE_URL is set, so {missing} must be set too$"),
        running_stack(tmp_path, DATABASE | chosen),
    ):
        pass

    assert list(tmp_path.iterdir()) == []


def test_with_a_secret_nothing_is_added_and_nothing_starts(tmp_path):
    with running_stack(tmp_path, {"SECRET_ID": "decant/prod"}) as stack:
        assert (stack.settings, stack.servers) == ({"SECRET_ID": "decant/prod"}, [])


@pytest.fixture
def sleeper(tmp_path):
    """Starts a child that is recorded, as if by a run that was then killed."""
    argv = [sys.executable, "-c", "import time; time.sleep(600)"]
    child = recognisable(processes.Child("sleeper", argv, env={}, cwd=tmp_path))
    processes.record(record_file(tmp_path), child)
    yield child
    child.stop()


def test_what_a_killed_run_left_behind_ends_before_the_next_starts_anything(tmp_path, sleeper):
    with running_stack(tmp_path, {"SECRET_ID": "decant/prod"}):
        assert not sleeper.running


def test_what_a_killed_run_left_behind_ends_before_its_port_is_checked(tmp_path, sleeper, monkeypatch):
    def refuse(port, command):
        assert not sleeper.running
        raise PortTaken(port, command)

    monkeypatch.setattr(run.ports, "refuse_taken", refuse)

    with pytest.raises(PortTaken):
        run._run(tmp_path, 8000)


def test_what_a_killed_run_left_behind_ends_with_its_data(tmp_path, sleeper):
    clean.remove(tmp_path)

    assert not sleeper.running
    assert not tmp_path.exists()


def test_a_child_that_cannot_be_recorded_is_ended(tmp_path, monkeypatch):
    """Otherwise nobody would find it if this run were killed."""
    children = []

    def fail(path, child):
        children.append(child)
        raise OSError("No space left on device")

    monkeypatch.setattr(processes, "record", fail)

    with pytest.raises(OSError, match="No space left"):
        Stack(tmp_path, {}).start("sleeper", ["-c", "import time; time.sleep(600)"], "sleeper.log")

    assert [child.running for child in children] == [False]


def test_a_child_that_was_restarted_is_recorded_anew(tmp_path):
    stack = Stack(tmp_path, {})
    with stack.running("mayfly", ["-c", "import sys; sys.stdin.read()"], "mayfly.log") as child:
        child.wait()
        stack.restart(child)

        assert json.loads(record_file(tmp_path).read_text())[-1]["pid"] == child.pid


def test_the_link_has_a_key_of_its_own_unless_the_user_has_set_the_keys(tmp_path):
    ours = Stack(tmp_path, {"API_KEYS": keys.api_keys(tmp_path)})
    theirs = Stack(tmp_path, {"API_KEYS": "{}"})

    link_key = run._link_key(tmp_path, ours)

    assert link_key != keys.api_key(tmp_path)
    assert all(key_hash(key) in ours.settings["API_KEYS"] for key in (link_key, keys.api_key(tmp_path)))
    assert run._link_key(tmp_path, theirs) is None
    assert theirs.settings == {"API_KEYS": "{}"}


def test_a_deployment_into_localstack_is_told_nothing_of_a_real_account(tmp_path, monkeypatch):
    told = {}

    class Child:
        def __init__(self, name, argv, *, env, **_):
            told.update(env)

        def wait(self):
            return 0

    monkeypatch.setattr(deployment, "Child", Child)
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_LAMBDA", "AWS_ACCESS_KEY_ID"):
        monkeypatch.setenv(name, "real")

    deployment._chalice(tmp_path, "http://127.0.0.1:4566", tmp_path / "log")

    assert "real" not in told.values()
    assert told["AWS_ENDPOINT_URL"] == "http://127.0.0.1:4566"


# Signals


@pytest.fixture
def handled(monkeypatch):
    """The handlers of signals, which are as before after the test."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    monkeypatch.setattr(signals, "_received", [])
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handled")
def test_a_second_signal_does_not_break_the_cleanup_after_the_first():
    signals.interrupt()

    with pytest.raises(Stopped, match="SIGTERM"):
        os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.usefixtures("handled")
@pytest.mark.parametrize(
    ("before", "after"), [(signal.SIG_DFL, signals._record), (signal.SIG_IGN, signal.SIG_IGN)]
)
def test_a_closed_terminal_stops_a_command_unless_nohup_has_started_it(before, after):
    signal.signal(signal.SIGHUP, before)

    signals.defer()

    assert signal.getsignal(signal.SIGHUP) == after


@pytest.mark.usefixtures("handled")
def test_a_child_that_the_same_signal_has_ended_did_not_fail(sleeper):
    signals.defer()
    sleeper._process.terminate()
    sleeper._process.wait(10)
    os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Stopped, match="SIGTERM"):
        sleeper.wait()
