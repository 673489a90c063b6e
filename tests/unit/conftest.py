"""Hypothesis settings: enough examples to find what a reviewer would miss, few enough for every save. And a
stdout that nobody reads."""

import contextlib
import os
import sys

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "decant",
    max_examples=40,
    deadline=None,  # the machine may be busy with other work
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("decant")


@pytest.fixture
def unread_stdout(monkeypatch):
    """In the block, stdout is a pipe whose reader has gone. Its end writes what is left, as an exit does."""

    @contextlib.contextmanager
    def unread():
        reading, writing = os.pipe()
        os.close(reading)
        with os.fdopen(writing, "w") as stdout, monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", stdout)
            yield

    return unread
