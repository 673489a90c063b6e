"""`make run`: before it starts anything, it reports a malformed setting by name; and its last words."""

import os

import pytest

from chalicelib.errors import ConfigError, Stopped
from local import run
from local.errors import LocalError
from tests.checkout import environment


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    monkeypatch.setattr(os, "environ", environment())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "s3cret"),
        ("DATABASE_URL", "postgresql://127.0.0.1/decant?foo=s3cret"),
        ("REDIS_URL", "redis://:s3cret@127.0.0.1:abc"),
        ("REDIS_URL", "redis://127.0.0.1?socket_timeout=s3cret"),
        ("SOURCE_URL", "http://"),
        ("SOURCE_DIALECT", "s3cret"),
        ("SOURCE_PAGES", "s3cret"),
        ("PII_KEYS", "s3cret"),
        ("API_KEYS", "s3cret"),
        ("QUEUE_URL", "s3cret"),
        ("QUEUE_NAME", "s3cret pages"),
        ("INGEST_SCHEDULE", "s3cret"),
        ("LOG_LEVEL", "s3cret"),
        ("ALLOWED_ORIGIN", "s3cret"),
    ],
)
def test_a_malformed_setting_is_named_and_not_shown(name, value):
    with pytest.raises((ConfigError, LocalError)) as refused:
        run._refuse_malformed({name: value})

    assert str(refused.value).startswith(name)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    "chosen", [{}, {"SOURCE_PAGES": "3"}, {"SECRET_ID": "a-secret", "SOURCE_PAGES": "many"}]
)
def test_settings_that_are_unset_or_may_be_in_a_secret_are_not_checked(chosen):
    run._refuse_malformed(chosen)


def test_a_stop_that_nobody_reads_of_is_still_a_stop(monkeypatch, tmp_path, unread_stdout, capsys):
    def stopped(*_):
        raise Stopped("SIGINT")

    monkeypatch.setitem(os.environ, "DECANT_LOCAL_DIR", str(tmp_path))
    monkeypatch.setattr(run.signals, "defer", lambda: None)
    monkeypatch.setattr(run, "_run", stopped)

    with unread_stdout():
        assert run.main() == 0
    assert capsys.readouterr().err == ""
