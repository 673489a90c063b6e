"""Runs in threads: what becomes of their errors."""

import pytest

from chalicelib import background
from chalicelib.errors import StoreError
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
