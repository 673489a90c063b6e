"""The settings' secret: completed, checked, and never shown."""

import base64
import json

import boto3
import moto
import pytest

from chalicelib import config
from infra import secret
from infra.errors import DeployError

SOURCE = {"SOURCE_URL": "https://example.com/users"}
BASE = {
    "SettingsSecretArn": "decant-prod",
    "DatabaseSecretArn": "decant-prod-database",
    "CacheSecretArn": "decant-prod-cache",
    "DatabaseHost": "decant.proxy-x.us-east-1.rds.amazonaws.com",
    "DatabaseAuthorities": "certifi/cacert.pem",
    "CacheHost": "master.decant.x.use1.cache.amazonaws.com",
}
KEY = base64.b64encode(bytes(32)).decode()
OTHER_KEY = base64.b64encode(bytes([1] * 32)).decode()


@pytest.fixture
def manager():
    with moto.mock_aws():
        client = boto3.client("secretsmanager", region_name="us-east-1")
        client.create_secret(Name="decant-prod", SecretString="{}")
        login = json.dumps({"username": "decant", "password": "a-password"})
        client.create_secret(Name="decant-prod-database", SecretString=login)
        client.create_secret(Name="decant-prod-cache", SecretString=json.dumps({"token": "a-token"}))
        yield client


def held(manager):
    return json.loads(manager.get_secret_value(SecretId="decant-prod")["SecretString"])


def test_an_empty_secret_is_completed_so_that_the_app_can_start(manager):
    changed = secret.complete(manager, BASE, SOURCE)

    values = {name: one if isinstance(one, str) else json.dumps(one) for name, one in held(manager).items()}
    settings = config.read(values | {"AWS_LAMBDA_FUNCTION_NAME": "decant-prod"})
    assert changed == ["DATABASE_URL", "PII_KEYS", "REDIS_URL", "SOURCE_URL"]
    assert len(settings.pii_keys[1]) == 32


def test_the_stores_are_reached_with_verified_tls(manager):
    secret.complete(manager, BASE, SOURCE)

    assert held(manager)["DATABASE_URL"] == (
        "postgresql://decant:a-password@decant.proxy-x.us-east-1.rds.amazonaws.com:5432/decant"
        "?sslmode=verify-full&sslrootcert=/var/task/certifi/cacert.pem"
    )
    assert held(manager)["REDIS_URL"] == (
        "rediss://:a-token@master.decant.x.use1.cache.amazonaws.com:6379/0"
        "?ssl_ca_certs=/var/task/certifi/cacert.pem"
    )


def test_without_the_proxy_postgres_is_verified_with_the_ca_certificates_of_rds(manager):
    secret.complete(manager, BASE | {"DatabaseAuthorities": "chalicelib/rds.pem"}, SOURCE)

    assert held(manager)["DATABASE_URL"].endswith(
        "?sslmode=verify-full&sslrootcert=/var/task/chalicelib/rds.pem"
    )


def test_a_source_without_tls_is_refused(manager):
    with pytest.raises(DeployError, match=r"SOURCE_URL: must begin with https://"):
        secret.complete(manager, BASE, {"SOURCE_URL": "http://example.com/users"})


def test_a_second_time_nothing_changes(manager):
    secret.complete(manager, BASE, SOURCE)
    before = held(manager)

    assert secret.complete(manager, BASE, {}, lambda _: pytest.fail("nothing to approve")) == []
    assert held(manager) == before


def test_the_addresses_of_the_stores_follow_the_base(manager):
    secret.complete(manager, BASE, SOURCE)

    assert secret.complete(manager, BASE | {"CacheHost": "moved.example"}, {}) == ["REDIS_URL"]
    assert "@moved.example:" in held(manager)["REDIS_URL"]


def test_existing_settings_stay_and_given_ones_are_set(manager):
    manager.put_secret_value(SecretId="decant-prod", SecretString=json.dumps(SOURCE | {"SOURCE_PAGES": "3"}))

    changed = secret.complete(manager, BASE, {"SOURCE_PAGE_SIZE": 500})

    assert "SOURCE_PAGE_SIZE" in changed
    assert held(manager)["SOURCE_PAGES"] == "3"
    assert held(manager)["SOURCE_PAGE_SIZE"] == 500


@pytest.mark.parametrize("name", config.NOT_IN_SETTINGS)
def test_a_setting_that_is_not_read_from_the_secret_is_refused(manager, name):
    with pytest.raises(DeployError, match=f"{name}: not read from the secret"):
        secret.complete(manager, BASE, SOURCE | {name: "any"})


def test_settings_that_the_app_could_not_start_with_are_not_written(manager):
    with pytest.raises(DeployError, match=r"SOURCE_URL: is not set"):
        secret.complete(manager, BASE, {})
    with pytest.raises(DeployError, match=r"unknown setting SOURCE_URI"):
        secret.complete(manager, BASE, SOURCE | {"SOURCE_URI": "x"})
    assert held(manager) == {}


@pytest.mark.parametrize("keys", [{"1": OTHER_KEY}, json.dumps({"1": OTHER_KEY, "2": KEY})])
def test_the_key_of_an_existing_version_cannot_be_changed(manager, keys):
    secret.complete(manager, BASE, SOURCE | {"PII_KEYS": {"1": KEY}})

    with pytest.raises(DeployError, match="version 1 already has another key") as refusal:
        secret.complete(manager, BASE, {"PII_KEYS": keys})
    assert KEY not in str(refusal.value)
    assert held(manager)["PII_KEYS"] == {"1": KEY}


def test_a_key_that_was_given_up_can_be_put_back(manager):
    secret.complete(manager, BASE, SOURCE | {"PII_KEYS": {"1": None, "2": OTHER_KEY}})

    secret.complete(manager, BASE, {"PII_KEYS": {"1": KEY, "2": OTHER_KEY}})

    assert held(manager)["PII_KEYS"]["1"] == KEY


@pytest.mark.parametrize("keys", [f'{{"1": "{KEY}",}}', [KEY], 5])
def test_malformed_keys_are_not_replaced_since_they_may_hold_the_only_copy(manager, keys):
    manager.put_secret_value(SecretId="decant-prod", SecretString=json.dumps(SOURCE | {"PII_KEYS": keys}))

    with pytest.raises(DeployError, match="PII_KEYS in the secret is not a JSON object") as refusal:
        secret.complete(manager, BASE, {"PII_KEYS": {"1": OTHER_KEY}})

    assert KEY not in str(refusal.value)
    assert held(manager)["PII_KEYS"] == keys


def test_empty_keys_can_be_set(manager):
    manager.put_secret_value(SecretId="decant-prod", SecretString=json.dumps(SOURCE | {"PII_KEYS": ""}))

    secret.complete(manager, BASE, {"PII_KEYS": {"1": KEY}})

    assert held(manager)["PII_KEYS"] == {"1": KEY}


@pytest.mark.parametrize("text", ["hush", "[]", "null"])
def test_a_secret_that_holds_no_settings_is_refused_without_showing_it(manager, text):
    manager.put_secret_value(SecretId="decant-prod", SecretString=text)

    with pytest.raises(DeployError, match="does not hold a JSON object") as refusal:
        secret.complete(manager, BASE, SOURCE)
    assert "hush" not in str(refusal.value)


def test_a_null_is_checked_as_the_functions_read_it(manager):
    assert "SOURCE_URL" in secret.complete(manager, BASE, SOURCE | {"SOURCE_PAGES": None})


@pytest.mark.parametrize("keys", [{"1": KEY, "2": OTHER_KEY}, {"1": None, "2": OTHER_KEY}, {"2": OTHER_KEY}])
def test_versions_can_be_added_given_up_and_removed(manager, keys):
    secret.complete(manager, BASE, SOURCE | {"PII_KEYS": {"1": KEY}})

    assert secret.complete(manager, BASE, {"PII_KEYS": keys}) == ["PII_KEYS"]
