"""Settings, read from the environment or one Secrets Manager secret; the only file that knows os.environ.

Read on first use, not at import. An error names the setting and never shows its value.
"""

import base64
import binascii
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from chalicelib.access import SCOPES
from chalicelib.errors import ConfigError

DEFAULT_SCHEDULE = "rate(5 minutes)"

_SECRET_TIMEOUT_SECONDS = 3


@dataclass(frozen=True)
class Settings:
    """All settings. Fields that hold secrets are not in the repr; times are in seconds."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    source_url: str = field(repr=False)
    source_dialect: str = "random-data-api"
    source_pages: int = 1
    source_page_size: int = 100
    pii_keys: Mapping[int, bytes] = field(default_factory=dict, repr=False)
    api_keys: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    cache_ttl_seconds: int = 120
    max_reject_ratio: float = 0.2
    queue_url: str | None = None


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """The settings as they stand now. Raises ConfigError for the first that is missing or malformed."""
    values = dict(os.environ if environ is None else environ)
    if secret_id := values.get("SECRET_ID"):
        values |= _secret(secret_id)
    get = _Reader(values)
    return Settings(
        database_url=get.url("DATABASE_URL", "postgresql", "postgres"),
        redis_url=get.url("REDIS_URL", "redis", "rediss", "unix"),
        source_url=get.url("SOURCE_URL", "http", "https"),
        source_dialect=values.get("SOURCE_DIALECT") or "random-data-api",
        source_pages=get.whole("SOURCE_PAGES", 1, 1, 100_000),
        source_page_size=get.whole("SOURCE_PAGE_SIZE", 100, 1, 5_000),
        pii_keys=get.pii_keys("PII_KEYS"),
        api_keys=get.api_keys("API_KEYS"),
        cache_ttl_seconds=get.whole("CACHE_TTL_SECONDS", 120, 1, 86_400),
        max_reject_ratio=get.ratio("MAX_REJECT_RATIO", 0.2),
        queue_url=values.get("QUEUE_URL") or None,
    )


def ingest_schedule() -> str:
    """Chalice wants it at import, before any other setting can be asked for."""
    return os.environ.get("INGEST_SCHEDULE") or DEFAULT_SCHEDULE


def log_level() -> str:
    level = (os.environ.get("LOG_LEVEL") or "INFO").upper()
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ConfigError("LOG_LEVEL", "must be DEBUG, INFO, WARNING or ERROR")
    return level


@dataclass(frozen=True)
class _Reader:
    values: Mapping[str, str] = field(repr=False)

    def url(self, name: str, *schemes: str) -> str:
        value = self.values.get(name)
        if not value:
            raise ConfigError(name, "is not set")
        try:
            scheme = urlsplit(value).scheme
        except ValueError:
            scheme = ""
        if scheme not in schemes:
            raise ConfigError(name, f"must be a URL; its scheme is {' or '.join(schemes)}")
        return value

    def whole(self, name: str, default: int, least: int, most: int) -> int:
        text = self.values.get(name) or str(default)
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not least <= int(text) <= most:
            raise ConfigError(name, f"must be a whole number from {least} to {most}")
        return int(text)

    def ratio(self, name: str, default: float) -> float:
        text = self.values.get(name) or str(default)
        if not re.fullmatch(r"[01]?\.?\d{1,9}", text, re.ASCII) or float(text) > 1:
            raise ConfigError(name, "must be a number from 0 to 1")
        return float(text)

    def pii_keys(self, name: str) -> dict[int, bytes]:
        problem = 'must be JSON: key version (from 1) to base64 of 32 bytes, as in {"1": "…"}'
        table = self._table(name, problem)
        if not table:
            raise ConfigError(name, "is not set")
        return {_version(name, version, problem): _key(name, key, problem) for version, key in table.items()}

    def api_keys(self, name: str) -> dict[str, frozenset[str]]:
        problem = f"must be JSON: SHA-256 in hex to a list of scopes from {', '.join(sorted(SCOPES))}"
        table = self._table(name, problem)
        for digest, scopes in table.items():
            if not re.fullmatch(r"[0-9a-f]{64}", digest) or not isinstance(scopes, list):
                raise ConfigError(name, problem)
            if not all(isinstance(scope, str) and scope in SCOPES for scope in scopes):
                raise ConfigError(name, problem)
        return {digest: frozenset(scopes) for digest, scopes in table.items()}

    def _table(self, name: str, problem: str) -> dict[str, Any]:
        try:
            table = json.loads(self.values.get(name) or "{}")
        except ValueError:
            raise ConfigError(name, problem) from None
        if not isinstance(table, dict):
            raise ConfigError(name, problem)
        return table


def _version(name: str, version: str, problem: str) -> int:
    if not re.fullmatch(r"[1-9]\d{0,3}", version, re.ASCII):
        raise ConfigError(name, problem)
    return int(version)


def _key(name: str, key: Any, problem: str) -> bytes:
    try:
        decoded = base64.b64decode(key, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise ConfigError(name, problem) from None
    if len(decoded) != 32:
        raise ConfigError(name, problem)
    return decoded


def _secret(secret_id: str) -> dict[str, str]:
    """The secret's values, as the environment would hold them. boto3 is imported only if there is one."""
    import logging

    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    logging.getLogger("botocore").setLevel(logging.INFO)  # at DEBUG it logs the secret itself
    timeouts = Config(connect_timeout=_SECRET_TIMEOUT_SECONDS, read_timeout=_SECRET_TIMEOUT_SECONDS)
    try:
        client = boto3.client("secretsmanager", config=timeouts)
        secret = json.loads(client.get_secret_value(SecretId=secret_id)["SecretString"])
    except ClientError as error:
        raise ConfigError("SECRET_ID", f"cannot be read: {error.response['Error']['Code']}") from None
    except BotoCoreError as error:
        raise ConfigError("SECRET_ID", f"cannot be read: {type(error).__name__}") from None
    except (KeyError, ValueError):
        raise ConfigError("SECRET_ID", "must name a secret that holds a JSON object") from None
    if not isinstance(secret, dict):
        raise ConfigError("SECRET_ID", "must name a secret that holds a JSON object")
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in secret.items()}
