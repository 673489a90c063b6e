"""Settings: their defaults, their bounds, and that no error or repr shows a value."""

import base64
import dataclasses
import json
import logging
from collections.abc import Callable
from typing import Any

import boto3
import moto
import pytest

from chalicelib import config
from chalicelib.access import key_hash
from chalicelib.errors import ConfigError
from tests.keys import pii_keys

KEY, OTHER_KEY = bytes(range(32)), bytes(range(32, 64))
NEEDED = {
    "DATABASE_URL": "postgresql://decant:db-password@db.example/decant",
    "REDIS_URL": "rediss://:redis-password@cache.example:6379/0",
    "SOURCE_URL": "https://user:source-password@api.example/users?seed=source-seed",
    "PII_KEYS": pii_keys({1: KEY}),
}
READER = key_hash("reader-key")
IN_LAMBDA = NEEDED | {
    "AWS_LAMBDA_FUNCTION_NAME": "decant-prod",
    "DATABASE_URL": NEEDED["DATABASE_URL"] + "?sslmode=verify-full",
}


def read(**changed: str) -> config.Settings:
    return config.read(NEEDED | changed)


def refusal(environ: dict[str, str]) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        config.read(environ)
    return caught.value


def keys(*versions: object, key: object = base64.b64encode(KEY).decode()) -> str:
    return json.dumps({str(version): key for version in versions})


# Defaults and values


def test_every_setting_that_is_not_required_has_a_default():
    assert config.read(NEEDED) == config.Settings(
        database_url=NEEDED["DATABASE_URL"],
        redis_url=NEEDED["REDIS_URL"],
        source_url=NEEDED["SOURCE_URL"],
        source_dialect="random-data-api",
        source_pages=1,
        source_page_size=100,
        pii_keys={1: KEY},
        api_keys={},
        cache_ttl_seconds=120,
        max_reject_ratio=0.2,
        queue_url=None,
    )


def test_the_class_and_the_reader_have_the_same_defaults():
    defaults = dataclasses.asdict(config.Settings("", "", ""))
    settings = dataclasses.asdict(config.read(NEEDED))
    needed = {"database_url", "redis_url", "source_url", "pii_keys"}
    assert {name: settings[name] for name in settings if name not in needed} == {
        name: defaults[name] for name in defaults if name not in needed
    }


@pytest.mark.parametrize("name", sorted({*config.NAMES, "SECRET_ID"} - set(NEEDED)))
def test_an_empty_value_counts_as_unset(name):
    assert read(**{name: ""}) == config.read(NEEDED)


@pytest.mark.parametrize("name", NEEDED)
@pytest.mark.parametrize("value", [None, ""], ids=["missing", "empty"])
def test_a_missing_required_setting_is_named(name, value):
    environ = {**NEEDED, name: value} if value is not None else {n: v for n, v in NEEDED.items() if n != name}
    assert str(refusal(environ)) == f"{name}: is not set"


@pytest.mark.parametrize(
    ("name", "attribute", "text", "value"),
    [
        ("DATABASE_URL", "database_url", "postgres://db/decant", "postgres://db/decant"),
        ("DATABASE_URL", "database_url", "postgresql://u@/d?host=%2Ftmp", "postgresql://u@/d?host=%2Ftmp"),
        ("DATABASE_URL", "database_url", "postgresql://a:1,b:2/d", "postgresql://a:1,b:2/d"),
        ("DATABASE_URL", "database_url", "postgresql://u:p#?@host/d", "postgresql://u:p#?@host/d"),
        ("REDIS_URL", "redis_url", "redis://cache", "redis://cache"),
        ("REDIS_URL", "redis_url", "unix:///tmp/valkey.sock", "unix:///tmp/valkey.sock"),
        ("SOURCE_URL", "source_url", "http://api.example", "http://api.example"),
        ("SOURCE_TOKEN_URL", "source_token_url", "https://a:b@c/d?e=f", "https://a:b@c/d?e=f"),
        ("SOURCE_TOKEN_URL", "source_token_url", "", None),
        ("SOURCE_URL", "source_url", "HTTPS://api.example", "HTTPS://api.example"),
        ("SOURCE_DIALECT", "source_dialect", "randomuser", "randomuser"),
        ("SOURCE_PAGES", "source_pages", "1", 1),
        ("SOURCE_PAGES", "source_pages", "100000", 100_000),
        ("SOURCE_PAGE_SIZE", "source_page_size", "1", 1),
        ("SOURCE_PAGE_SIZE", "source_page_size", "5000", 5_000),
        ("CACHE_TTL_SECONDS", "cache_ttl_seconds", "1", 1),
        ("CACHE_TTL_SECONDS", "cache_ttl_seconds", "86400", 86_400),
        ("MAX_REJECT_RATIO", "max_reject_ratio", "0", 0.0),
        ("MAX_REJECT_RATIO", "max_reject_ratio", "1", 1.0),
        ("MAX_REJECT_RATIO", "max_reject_ratio", "1.0", 1.0),
        ("MAX_REJECT_RATIO", "max_reject_ratio", ".05", 0.05),
        ("MAX_REJECT_RATIO", "max_reject_ratio", "0.05", 0.05),
        ("QUEUE_URL", "queue_url", "https://sqs.example/1/pages", "https://sqs.example/1/pages"),
        ("QUEUE_URL", "queue_url", "http://127.0.0.1:4566/1/pages", "http://127.0.0.1:4566/1/pages"),
        ("PII_KEYS", "pii_keys", keys(1, 9999), {1: KEY, 9999: KEY}),
        ("API_KEYS", "api_keys", "{}", {}),
        ("API_KEYS", "api_keys", json.dumps({READER: []}), {READER: frozenset()}),
        (
            "API_KEYS",
            "api_keys",
            json.dumps({READER: ["read", "operate", "erase", "read"]}),
            {READER: frozenset({"read", "operate", "erase"})},
        ),
    ],
)
def test_a_setting_may_have_any_value_within_its_bounds(name, attribute, text, value):
    assert getattr(read(**{name: text}), attribute) == value


MALFORMED = [
    *(
        ("DATABASE_URL", url)
        for url in ("db.example", "mysql://s3cret@db", "postgresql", "//s3cret", "http://[s3cret")
    ),
    *(
        ("QUEUE_URL", url)
        for url in ("s3cret", "http://s3cret", "ftp://s3cret/pages", "https:///s3cret", "https://sqs/s3 cret")
    ),
    *(("REDIS_URL", url) for url in ("cache.example:6379", "http://s3cret", "redis+s3cret://cache")),
    *(("REDIS_URL", f"redis://:s3cret@cache:{port}") for port in ("65536", "abc")),
    *(("SOURCE_URL", url) for url in ("http://", "https:///s3cret", "http://:80", "http://s3cret@api:abc/")),
    *(
        ("SOURCE_AUTHORIZATION", text)
        for text in ("s3cret\n", "Bearer\ns3cret: x", " s3cret", "s3crét", "\x7f")
    ),
    *(
        ("SOURCE_TOKEN_URL", url)
        for url in ("s3cret", "ftp://s3cret", "https:///s3cret", "https://s3c/ret@x")
    ),
    *(("SOURCE_URL", url) for url in ("api.example", "ftp://s3cret", "file:///s3cret", "https//s3cret")),
    *(("SOURCE_URL", f"https://user:1{sign}s3cret@api.example/users") for sign in "/?#"),  # not escaped
    *(
        ("SOURCE_PAGES", text)
        for text in ("0", "100001", "-1", "+1", "1.0", "1e3", "s3cret", " 1", "1 ", "1\n", "١")
    ),
    *(("SOURCE_PAGE_SIZE", text) for text in ("0", "5001", "-5", "many", "9" * 5_000)),
    *(("CACHE_TTL_SECONDS", text) for text in ("0", "86401", "0.5", "0x10", "1_0")),
    *(
        ("MAX_REJECT_RATIO", text)
        for text in ("1.01", "2", "-0.1", "20%", "nan", "inf", "1e-1", ".", "0.", "٠.٢")
    ),
    *(("PII_KEYS", text) for text in ("s3cret", "[]", '"s3cret"', "1", "null", '{"1": ', '{"1": "s3cret"}')),
    *((name, "[" * 200_000) for name in ("PII_KEYS", "API_KEYS")),
    *(("PII_KEYS", keys(version)) for version in (0, -1, "01", "1.0", "v1", "", " 1", "10000", "١")),
    *(("PII_KEYS", keys(1, key=key)) for key in (5, "", [], {}, "schlüssel")),
    *(("PII_KEYS", keys(1, key=base64.b64encode(bytes(size)).decode())) for size in (16, 31, 33, 64)),
    ("PII_KEYS", keys(1, key=base64.b64encode(KEY).decode().rstrip("="))),
    ("PII_KEYS", keys(1, key=base64.urlsafe_b64encode(b"\xff" * 32).decode())),
    ("PII_KEYS", keys(1, key=base64.b64encode(KEY).decode() + "\n")),
    *(("API_KEYS", text) for text in ("s3cret", "[]", "5", "null", '{"s3cret": ["read"]}')),
    *(
        ("API_KEYS", json.dumps({digest: ["read"]}))
        for digest in (READER.upper(), READER[1:], READER + "0", "g" * 64)
    ),
    *(
        ("API_KEYS", json.dumps({READER: scopes}))
        for scopes in ("read", None, {"read": 1}, ["s3cret"], [["read"]], [5])
    ),
    ("API_KEYS", json.dumps({READER: ["read", "s3cret"]})),
]


@pytest.mark.parametrize(("name", "text"), MALFORMED, ids=lambda value: ascii(value)[:60])
def test_a_malformed_setting_is_named_and_never_shown(name, text):
    error = refusal(NEEDED | {name: text})
    shown = f"{error} {error!r} {error.args} {error.__cause__!r}"
    assert str(error).startswith(f"{name}: must be ")
    assert "s3cret" not in shown
    assert len(text) < 11 or text not in shown  # a shorter text may occur in the message by chance


def test_a_malformed_key_does_not_expose_the_other_keys():
    good = base64.b64encode(KEY).decode()
    error = refusal(NEEDED | {"PII_KEYS": json.dumps({"1": good, "2": "short"})})
    assert good not in f"{error!r} {error.__cause__!r}"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("SOURCE_PAGES", "must be a whole number from 1 to 100000"),
        ("SOURCE_PAGE_SIZE", "must be a whole number from 1 to 5000"),
        ("CACHE_TTL_SECONDS", "must be a whole number from 1 to 86400"),
        ("MAX_REJECT_RATIO", "must be a number from 0 to 1"),
        ("DATABASE_URL", "must be a well-formed URL with the scheme postgresql or postgres"),
        ("REDIS_URL", "must be a well-formed URL with the scheme redis or rediss or unix"),
        ("SOURCE_URL", "must be a well-formed URL with the scheme http or https"),
        ("PII_KEYS", 'must be JSON: key versions (from 1) to 32 bytes in base64, as in {"1": "…"}'),
        ("API_KEYS", "must be JSON: SHA-256 hashes in hex to lists of scopes from erase, operate, read"),
    ],
)
def test_an_error_says_what_a_setting_must_be(name, problem):
    assert str(refusal(NEEDED | {name: "x"})) == f"{name}: {problem}"


def test_no_repr_of_settings_shows_a_secret():
    settings = read(API_KEYS=json.dumps({READER: ["read"]}))
    shown = f"{settings!r} {settings}"
    secrets = ["db-password", "redis-password", "source-password", "source-seed", READER]
    secrets += [repr(KEY), KEY.hex(), base64.b64encode(KEY).decode()]
    assert [secret for secret in secrets if secret in shown] == []
    assert "source_page_size=100" in shown  # values that are not secret may be shown


def test_settings_are_immutable():
    with pytest.raises(dataclasses.FrozenInstanceError):
        read().source_pages = 2


# The environment


@pytest.fixture
def environ(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Sets only the required and the given settings."""

    def change(**values: str) -> None:
        for name, value in (NEEDED | values).items():
            monkeypatch.setenv(name, value)

    for name in {*config.NAMES, "SECRET_ID", "AWS_LAMBDA_FUNCTION_NAME"}:
        monkeypatch.delenv(name, raising=False)
    return change


def test_settings_are_read_from_the_environment_at_each_call(environ):
    environ(SOURCE_PAGES="2")
    assert config.read().source_pages == 2
    environ(SOURCE_PAGES="3")
    assert config.read().source_pages == 3


def test_a_given_environment_replaces_the_real_one(environ):
    environ(SOURCE_PAGES="2")
    assert config.read(NEEDED).source_pages == 1


def test_the_schedule_is_every_five_minutes_unless_it_is_set(environ):
    environ()
    assert config.ingest_schedule() == "rate(5 minutes)"
    environ(INGEST_SCHEDULE="")
    assert config.ingest_schedule() == "rate(5 minutes)"
    environ(INGEST_SCHEDULE="cron(0 6 * * ? *)")
    assert config.ingest_schedule() == "cron(0 6 * * ? *)"


def test_the_queue_has_a_name_that_sqs_accepts(environ, monkeypatch):
    monkeypatch.delenv("QUEUE_NAME", raising=False)
    assert config.queue_name() == "decant-local-pages"
    environ(QUEUE_NAME="Pages_of-2026")
    assert config.queue_name() == "Pages_of-2026"
    for name in ("s3cret pages", "s3cret.fifo", "s3cret\n", "ä", "s" * 81):
        environ(QUEUE_NAME=name)
        with pytest.raises(ConfigError) as caught:
            config.queue_name()
        assert str(caught.value) == "QUEUE_NAME: must be up to 80 letters, digits, - and _"


def test_outside_lambda_there_is_no_function_name(environ):
    environ()
    assert config.function_name() is None
    environ(AWS_LAMBDA_FUNCTION_NAME="")
    assert config.function_name() is None
    environ(AWS_LAMBDA_FUNCTION_NAME="decant-prod-ingest")
    assert config.function_name() == "decant-prod-ingest"


@pytest.mark.parametrize(
    ("text", "level"), [("", "INFO"), ("DEBUG", "DEBUG"), ("warning", "WARNING"), ("Error", "ERROR")]
)
def test_the_log_level_may_be_written_in_any_case(environ, text, level):
    environ(LOG_LEVEL=text)
    assert config.log_level() == level


def test_an_unknown_log_level_is_refused(environ):
    environ(LOG_LEVEL="s3cret")
    with pytest.raises(ConfigError) as caught:
        config.log_level()
    assert str(caught.value) == "LOG_LEVEL: must be DEBUG, INFO, WARNING or ERROR"


@pytest.mark.parametrize(
    "origin",
    ["https://example.com", "http://localhost:8000", "https://a-b.example:65535", "http://127.0.0.1:1"],
)
def test_an_origin_has_a_scheme_a_host_and_an_optional_port(environ, origin):
    environ(ALLOWED_ORIGIN=origin)
    assert config.allowed_origin() == origin


def test_by_default_no_origin_is_allowed(environ):
    environ(ALLOWED_ORIGIN="")
    assert config.allowed_origin() is None


@pytest.mark.parametrize(
    "origin",
    [
        "*",  # never every origin
        "null",
        "example.com",
        "https://",
        "https://example.com/",
        "https://example.com/s3cret",
        "https://user:s3cret@example.com",
        "https://a.example,https://b.example",
        "https://*.example",
        "https://a.example\r\nSet-Cookie: s3cret",
        "https://a.example\n",
        "https://a.example:123456",
    ],
    ids=ascii,
)
def test_anything_but_a_single_origin_is_refused(environ, origin):
    environ(ALLOWED_ORIGIN=origin)
    with pytest.raises(ConfigError) as caught:
        config.allowed_origin()
    assert str(caught.value) == "ALLOWED_ORIGIN: must be one origin, as in https://example.com"


# A secret


@pytest.fixture
def secret(environ: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> Any:
    """Creates a secret in a fake Secrets Manager, and points the environment to it."""
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    environ(SECRET_ID="decant/test")

    def make(**held: Any) -> None:
        boto3.client("secretsmanager").create_secret(Name="decant/test", **held)

    with moto.mock_aws():
        yield make


def test_settings_may_come_from_a_secret(secret, monkeypatch):
    for name in NEEDED:
        monkeypatch.delenv(name)
    secret(SecretString=json.dumps(NEEDED | {"SOURCE_PAGES": "7"}))
    assert config.read() == read(SOURCE_PAGES="7")


def test_a_secret_overrides_only_what_it_holds(secret, environ):
    environ(SOURCE_PAGES="2", SOURCE_PAGE_SIZE="3")
    secret(SecretString=json.dumps({"SOURCE_PAGES": "7"}))
    settings = config.read()
    assert (settings.source_pages, settings.source_page_size) == (7, 3)


def test_a_secret_may_hold_json_numbers_and_objects(secret):
    held = {"SOURCE_PAGES": 7, "MAX_REJECT_RATIO": 0.5, "API_KEYS": {READER: ["read"]}}
    secret(SecretString=json.dumps(held | {"PII_KEYS": {"3": base64.b64encode(OTHER_KEY).decode()}}))
    settings = config.read()
    assert (settings.source_pages, settings.max_reject_ratio) == (7, 0.5)
    assert settings.api_keys == {READER: frozenset({"read"})}
    assert settings.pii_keys == {3: OTHER_KEY}


def test_null_in_a_secret_counts_as_unset(secret):
    secret(SecretString=json.dumps({"QUEUE_URL": None}))
    assert config.read().queue_url is None


@pytest.mark.parametrize(
    "held",
    [
        {"SecretString": "s3cret"},
        {"SecretString": '"s3cret"'},
        {"SecretString": '["s3cret"]'},
        {"SecretString": "null"},
        {"SecretString": '{"DATABASE_URL": "s3cret'},
        {"SecretBinary": b'{"DATABASE_URL": "s3cret"}'},
    ],
    ids=str,
)
def test_a_secret_that_is_not_a_json_object_is_refused_and_not_shown(secret, held):
    secret(**held)
    with pytest.raises(ConfigError) as caught:
        config.read()
    error = caught.value
    assert str(error) == "SECRET_ID: must name a secret that holds a JSON object"
    assert "s3cret" not in f"{error!r} {error.__cause__!r} {error.__context__!r}"


def test_a_missing_secret_is_reported_with_the_error_code_of_aws(secret):
    with pytest.raises(ConfigError) as caught:
        config.read()
    assert str(caught.value) == "SECRET_ID: cannot be read: ResourceNotFoundException"


def test_if_aws_cannot_be_asked_the_type_of_error_is_reported(secret, monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(ConfigError) as caught:
        config.read()
    assert str(caught.value) == "SECRET_ID: cannot be read: NoRegionError"


def test_a_malformed_setting_in_a_secret_is_named_and_never_shown(secret):
    secret(SecretString=json.dumps({"SOURCE_PAGES": "s3cret"}))
    with pytest.raises(ConfigError, match=r"^SOURCE_PAGES: ") as caught:
        config.read()
    assert "s3cret" not in repr(caught.value)


def test_no_log_shows_what_a_secret_holds_even_at_debug(secret, caplog):
    secret(SecretString=json.dumps({"SOURCE_DIALECT": "s3cret"}))
    config.read()  # the first call silences the library
    caplog.clear()
    with caplog.at_level(logging.DEBUG):
        assert config.read().source_dialect == "s3cret"
    assert "s3cret" not in caplog.text


# In a Lambda


@pytest.mark.parametrize(
    ("name", "url", "problem"),
    [
        ("DATABASE_URL", "postgresql://decant:s3cret@db.example/decant", "must set sslmode=verify-full"),
        (
            "REDIS_URL",
            "redis://:s3cret@cache.example",
            "must begin with rediss:// and not turn off certificate checks",
        ),
        ("SOURCE_URL", "http://s3cret@api.example", "must begin with https://"),
        ("SOURCE_TOKEN_URL", "http://s3cret@auth.example", "must begin with https://"),
    ],
)
def test_a_lambda_refuses_remote_servers_without_verified_tls(name, url, problem):
    error = refusal(IN_LAMBDA | {name: url})
    assert str(error) == f"{name}: {problem}, because the server is not on this machine"
    assert config.read(NEEDED | {name: url})  # on a laptop it is allowed: the network is the user's own


def test_servers_on_the_lambdas_own_machine_need_no_certificate():
    here = {
        "DATABASE_URL": "postgresql://decant@127.0.0.1:5432/decant",
        "REDIS_URL": "redis://localhost",
        "SOURCE_URL": "http://[::1]:9000",
    }
    assert config.read(IN_LAMBDA | here).database_url == here["DATABASE_URL"]


def test_a_secret_cannot_deny_that_this_is_a_lambda(secret, monkeypatch):
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "decant-prod")
    secret(SecretString=json.dumps({"AWS_LAMBDA_FUNCTION_NAME": ""}))
    with pytest.raises(ConfigError, match="DATABASE_URL: must set sslmode=verify-full"):
        config.read()


def test_a_fixed_key_and_access_tokens_for_the_source_exclude_each_other():
    both = {"SOURCE_AUTHORIZATION": "Bearer s3cret", "SOURCE_TOKEN_URL": "https://s3cret:s3cret@auth.example"}

    assert str(refusal(NEEDED | both)) == (
        "SOURCE_AUTHORIZATION: must not be set together with SOURCE_TOKEN_URL"
    )
