"""The settings' secret: read once per container, and again when it has become old."""

import base64
import json
import logging

import boto3
import moto
import pytest

from chalicelib import aws, wiring
from chalicelib.access import key_hash
from tests.keys import API_KEY, PII_KEY, pii_keys

ROTATED = {1: PII_KEY, 2: b"2" * 32}


class Clock:
    """A monotonic clock that a test advances."""

    now = 1_000.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(wiring, "time", clock)
    return clock


@pytest.fixture
def secret(app_environment, monkeypatch):
    """Puts all keys into a secret; call it to change some."""
    held = {"PII_KEYS": json.loads(pii_keys({1: PII_KEY})), "API_KEYS": {key_hash(API_KEY): ["read"]}}
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    with moto.mock_aws():
        manager = boto3.client("secretsmanager")
        manager.create_secret(Name="decant/test", SecretString=json.dumps(held))

        def change(**values):
            manager.put_secret_value(SecretId="decant/test", SecretString=json.dumps({**held, **values}))

        app_environment(SECRET_ID="decant/test", PII_KEYS="", API_KEYS="")
        yield change


@pytest.fixture
def reads(monkeypatch):
    """Records every read of the secret."""
    counted, read = [], aws.secret
    monkeypatch.setattr(aws, "secret", lambda name: counted.append(name) or read(name))
    return counted


def test_the_secret_is_read_once_however_often_settings_are_used(secret, clock, reads):
    for _ in range(5):
        wiring.tokeniser(), wiring.store(), wiring.settings()
        clock.now += 59

    assert reads == ["decant/test"]


def test_a_changed_secret_takes_effect_when_the_old_one_has_become_old(secret, clock, reads):
    before = wiring.tokeniser()
    secret(PII_KEYS=json.loads(pii_keys(ROTATED)))
    clock.now += wiring.SECRET_SECONDS - 1
    assert wiring.tokeniser() is before

    clock.now += 1

    assert wiring.tokeniser().versions == [2, 1]
    assert len(reads) == 2


def test_unchanged_parts_are_not_rebuilt(secret, clock, reads):
    before = wiring.tokeniser(), wiring.store(), wiring.cache()

    clock.now += wiring.SECRET_SECONDS

    assert (wiring.tokeniser(), wiring.store(), wiring.cache()) == before
    assert len(reads) == 2


def test_a_removed_api_key_is_no_longer_accepted(api, app_environment, secret, clock):
    app_environment(API_KEYS="")
    assert api.get("/users").status == 200
    secret(API_KEYS={})

    clock.now += wiring.SECRET_SECONDS

    assert api.get("/users").status == 403


def test_if_the_secret_cannot_be_read_again_the_old_values_stay_and_the_log_says_so(
    secret, clock, reads, caplog
):
    before = wiring.tokeniser()
    secret(PII_KEYS={"1": base64.b64encode(b"too short").decode()})

    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            clock.now += wiring.SECRET_SECONDS
            assert wiring.tokeniser() is before
            wiring.tokeniser()

    assert len(reads) == 4
    assert all("PII_KEYS" in line and "dG9v" not in line for line in caplog.messages)
    assert len(caplog.messages) == 3

    secret(PII_KEYS=json.loads(pii_keys(ROTATED)))
    clock.now += wiring.SECRET_SECONDS
    assert wiring.tokeniser().version == 2


@pytest.mark.parametrize(
    "changed",
    [
        {"SOURCE_DIALECT": "nonsense"},
        {"REDIS_URL": "redis://host:port"},
        {"DATABASE_URL": "postgresql://host/db?nonsense=1"},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_an_unusable_secret_is_not_applied(secret, clock, changed):
    before = wiring.source(), wiring.store(), wiring.cache()
    secret(**changed)

    clock.now += wiring.SECRET_SECONDS

    assert (wiring.source(), wiring.store(), wiring.cache()) == before
    assert wiring.store().last_success_age() is None


def test_without_a_secret_nothing_is_reread(app_environment, clock):
    before = wiring.tokeniser()

    clock.now += 1e9

    assert wiring.tokeniser() is before


def test_an_unusable_database_is_not_applied_to_a_container_that_has_not_used_it_yet(secret, clock):
    before = wiring.cache()
    secret(DATABASE_URL="postgresql://host/db?nonsense=1")

    clock.now += wiring.SECRET_SECONDS

    assert wiring.cache() is before
    assert wiring.store().last_success_age() is None
