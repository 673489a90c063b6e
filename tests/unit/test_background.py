"""Runs in threads: what becomes of their errors, and how they end with the process."""

import signal
import subprocess
import sys
import threading
import time

import pytest

from chalicelib import background, wiring
from chalicelib.errors import Stopped, StoreError, StoreUnavailable
from chalicelib.report import Report
from local import http_server
from tests.checkout import ROOT
from tests.waiting import until


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (StoreError("open_run"), "run 7: query open_run failed"),
        (ValueError("ann@example.com"), "run 7: ValueError at test_background.py"),
    ],
)
def test_an_error_ends_in_the_log_and_shows_no_value(caplog, capfd, error, said):
    def fail():
        raise error

    background.start("7", fail)
    until(lambda: not background._threads)

    assert said in caplog.text
    assert "ann@" not in caplog.text + "".join(capfd.readouterr())


@pytest.fixture
def leaving(monkeypatch):
    event = threading.Event()
    event.set()
    monkeypatch.setattr(background, "_leaving", event)


def test_only_a_run_with_something_left_to_do_is_stopped(leaving):
    background.stop_if_leaving(3, Report("7", "running", pages=3))
    background.stop_if_leaving(3, Report("7", "running", pages=1, source_ended=True))

    with pytest.raises(Stopped):
        background.stop_if_leaving(3, Report("7", "running", pages=1))


def test_a_process_ends_its_other_runs_although_one_cannot_be_recorded(monkeypatch):
    ended, over = [], threading.Event()

    class Store:
        def finish_run(self, run_id, ending):
            ended.append(run_id)
            raise StoreUnavailable("finish_run")

    monkeypatch.setattr(background, "_leaving", threading.Event())
    monkeypatch.setattr(background, "_LEAVE_SECONDS", 0.01)
    monkeypatch.setattr(wiring, "store", Store)
    for run_id in ("7", "8"):
        background.start(run_id, over.wait)
    try:
        background.leave()
    finally:
        over.set()

    assert ended == ["7", "8"]
    until(lambda: not background._threads)


def test_a_run_that_ends_in_time_is_not_ended_again(monkeypatch):
    leaving = threading.Event()
    monkeypatch.setattr(background, "_leaving", leaving)
    monkeypatch.setattr(wiring, "store", lambda: pytest.fail("its own ending would be overwritten"))
    background.start("7", lambda: leaving.wait() and time.sleep(0.2))

    background.leave()

    assert not background._threads


def test_a_run_that_takes_too_long_does_not_keep_the_process_alive():
    imports = "import threading; from chalicelib import background"
    script = f"{imports}; background.start('7', threading.Event().wait)"

    subprocess.run([sys.executable, "-c", script], cwd=ROOT, timeout=60, check=True)


def test_a_second_sigterm_does_not_interrupt_the_ending_of_the_runs(monkeypatch):
    left = []

    def leave():
        signal.raise_signal(signal.SIGTERM)
        left.append(True)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(http_server.cli, "main", lambda: signal.raise_signal(signal.SIGTERM))
    monkeypatch.setattr(background, "leave", leave)
    try:
        with pytest.raises(SystemExit):
            http_server.main()
    finally:
        signal.signal(signal.SIGTERM, before)

    assert left
