"""The secret that holds a stage's settings: completes it and never shows its contents.

Settings that a user put in stay. The stores' addresses follow the base stack. The token key is made once.
"""

import base64
import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from chalicelib import config, sources
from chalicelib.errors import ConfigError
from infra.contents import IN_LAMBDA
from infra.errors import DeployError

# The cache and the proxy present certificates of Amazon Trust Services. The libpq in psycopg2's wheel knows
# no CA ("system" finds none), so both clients get certifi's CA bundle, which is in the package.
AUTHORITIES = PurePosixPath(IN_LAMBDA, "certifi/cacert.pem")


def complete(
    secretsmanager: Any,
    base: Mapping[str, str],
    given: Mapping[str, Any],
    approve: Callable[[Sequence[str]], bool] = lambda _names: True,
) -> list[str]:
    """Brings the secret up to date and returns the names that changed. Raises DeployError.

    ``base`` are the base stack's outputs, ``given`` are settings to set. ``approve`` is asked first.
    """
    current = _read(secretsmanager, base["SettingsSecretArn"])
    _refuse_misplaced(given)
    wanted = {"PII_KEYS": {"1": _new_key()}} | current | dict(given) | _stores(secretsmanager, base)
    _check(current, wanted)
    changed = sorted(name for name in wanted if wanted[name] != current.get(name))
    if changed:
        if not approve(changed):
            raise DeployError("the settings were not changed")
        secretsmanager.put_secret_value(SecretId=base["SettingsSecretArn"], SecretString=json.dumps(wanted))
    return changed


def check_new(given: Mapping[str, Any]) -> None:
    """Checks settings for a stage that has no stores yet. Raises DeployError."""
    unknown = {"DatabaseHost": "database", "DatabaseAuthorities": "certifi/cacert.pem", "CacheHost": "cache"}
    _refuse_misplaced(given)
    stores = _addresses({"username": "decant", "password": "unknown"}, {"token": "unknown"}, unknown)
    _check({}, {"PII_KEYS": {"1": _new_key()}} | dict(given) | stores)


def _refuse_misplaced(given: Mapping[str, Any]) -> None:
    if misplaced := sorted(set(given) & set(config.NOT_IN_SETTINGS)):
        where = "environment_variables in .chalice/config.json"
        raise DeployError(f"{', '.join(misplaced)}: not read from the secret; set it under {where}")


def _read(secretsmanager: Any, secret: str) -> dict[str, Any]:
    settings = _parsed(secretsmanager.get_secret_value(SecretId=secret)["SecretString"])
    if not isinstance(settings, dict):
        raise DeployError(f"the secret {secret} does not hold a JSON object; correct it by hand")
    return settings


def _parsed(text: str) -> Any:
    """JSON, or None for a text that is none."""
    try:
        return json.loads(text)
    except ValueError:
        return None


def _new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def _stores(secretsmanager: Any, base: Mapping[str, str]) -> dict[str, str]:
    database, cache = (_read(secretsmanager, base[name]) for name in ("DatabaseSecretArn", "CacheSecretArn"))
    return _addresses(database, cache, base)


def _addresses(
    database: Mapping[str, str], cache: Mapping[str, str], base: Mapping[str, str]
) -> dict[str, str]:
    tls = f"sslmode=verify-full&sslrootcert={PurePosixPath(IN_LAMBDA, base['DatabaseAuthorities'])}"
    login = f"{database['username']}:{database['password']}"
    return {
        "DATABASE_URL": f"postgresql://{login}@{base['DatabaseHost']}:5432/decant?{tls}",
        "REDIS_URL": f"rediss://:{cache['token']}@{base['CacheHost']}:6379/0?ssl_ca_certs={AUTHORITIES}",
    }


def _check(current: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Checks that the functions could start with it, and that no existing version's key is replaced."""
    if unknown := sorted(set(wanted) - set(config.NAMES)):
        raise DeployError(f"unknown setting {', '.join(unknown)}")
    values = config.texts(wanted)
    try:
        sources.named(config.read(values | {"AWS_LAMBDA_FUNCTION_NAME": "any"}).source_dialect)
    except ConfigError as error:
        raise DeployError(f"the functions could not start with these settings: {error}") from None
    after = _keys(wanted)
    for version, key in _keys(current).items():
        if key is not None and after.get(version, key) not in {key, None}:
            raise DeployError(
                f"PII_KEYS: version {version} already has another key; a new key needs a new version"
            )


def _keys(settings: Mapping[str, Any]) -> dict[str, str | None]:
    """The keys by version. Malformed ones may hold the only copy of a key, so nothing replaces them."""
    keys = settings.get("PII_KEYS") or {}
    versions = _parsed(keys) if isinstance(keys, str) else keys
    if not isinstance(versions, dict):
        raise DeployError("PII_KEYS in the secret is not a JSON object; correct it by hand")
    return versions
