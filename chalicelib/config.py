"""Settings, read from the environment or one Secrets Manager secret; the only file that knows os.environ.

Importing this module reads nothing. An error names the setting and never shows its value.
"""

import base64
import binascii
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from chalicelib import transport
from chalicelib.access import SCOPES
from chalicelib.errors import ConfigError
from chalicelib.users import MAX_PAGE_SIZE, MAX_PAGES

DEFAULT_SCHEDULE = "rate(5 minutes)"

# Needed before the others can be read, or independently of them.
NOT_IN_SETTINGS = ("SECRET_ID", "INGEST_SCHEDULE", "ALLOWED_ORIGIN", "LOG_LEVEL", "QUEUE_NAME")


@dataclass(frozen=True)
class Settings:
    """All settings. Fields that hold secrets are not in the repr."""

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    source_url: str = field(repr=False)
    source_authorization: str | None = field(default=None, repr=False)
    source_token_url: str | None = field(default=None, repr=False)
    source_token_key: str | None = field(default=None, repr=False)
    source_dialect: str = "random-data-api"
    source_pages: int = 1
    source_page_size: int = 100
    pii_keys: Mapping[int, bytes | None] = field(default_factory=dict, repr=False)
    api_keys: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    cache_ttl_seconds: int = 120
    max_reject_ratio: float = 0.2
    quarantine_key: bytes | None = field(default=None, repr=False)
    quarantine_days: int = 7
    retention_days: int = 0
    queue_url: str | None = None
    inline_pages: int = 10


# What a Lambda requires of URLs that lead to other machines.
_REMOTE_URL_RULES = {
    "DATABASE_URL": "must set sslmode=verify-full",
    "REDIS_URL": "must begin with rediss:// and not turn off certificate checks",
    "SOURCE_URL": "must begin with https://",
    "SOURCE_TOKEN_URL": "must begin with https://",
}

NAMES = (*(setting.name.upper() for setting in fields(Settings)), *NOT_IN_SETTINGS)


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """The current settings. Raises ConfigError for the first that is missing or malformed."""
    values = dict(os.environ if environ is None else environ)
    in_lambda = bool(values.get("AWS_LAMBDA_FUNCTION_NAME"))
    if secret_id := values.get("SECRET_ID"):
        values |= _secret(secret_id)
    get = _Reader(values, in_lambda)
    return Settings(
        database_url=get.url("DATABASE_URL", "postgresql", "postgres"),
        redis_url=get.url("REDIS_URL", "redis", "rediss", "unix"),
        source_url=get.url("SOURCE_URL", "http", "https"),
        source_authorization=get.header("SOURCE_AUTHORIZATION", instead_of="SOURCE_TOKEN_URL"),
        source_token_url=get.url("SOURCE_TOKEN_URL", "http", "https", required=False) or None,
        source_token_key=values.get("SOURCE_TOKEN_KEY") or None,
        source_dialect=values.get("SOURCE_DIALECT") or Settings.source_dialect,
        source_pages=get.integer("SOURCE_PAGES", Settings.source_pages, MAX_PAGES),
        source_page_size=get.integer("SOURCE_PAGE_SIZE", Settings.source_page_size, MAX_PAGE_SIZE),
        pii_keys=parse_pii_keys(values.get("PII_KEYS", "")),
        api_keys=parse_api_keys(values.get("API_KEYS", "")),
        cache_ttl_seconds=get.integer("CACHE_TTL_SECONDS", Settings.cache_ttl_seconds, 86_400),
        max_reject_ratio=get.ratio("MAX_REJECT_RATIO", Settings.max_reject_ratio),
        quarantine_key=get.quarantine_key("QUARANTINE_KEY"),
        quarantine_days=get.integer("QUARANTINE_DAYS", Settings.quarantine_days, 365),
        retention_days=get.integer("RETENTION_DAYS", Settings.retention_days, 3_650, least=0),
        queue_url=get.queue_url("QUEUE_URL"),
        inline_pages=get.integer("INLINE_PAGES", Settings.inline_pages, 1_000),
    )


def ingest_schedule() -> str:
    """The expression of the schedule; Chalice needs it at import, before other settings can be read."""
    return os.environ.get("INGEST_SCHEDULE") or DEFAULT_SCHEDULE


def queue_name() -> str:
    """The queue of pages; Chalice needs it at import, before the queue's URL can be known."""
    name = os.environ.get("QUEUE_NAME") or "decant-local-pages"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name):
        raise ConfigError("QUEUE_NAME", "must be up to 80 letters, digits, - and _")
    return name


def function_name() -> str | None:
    """The name of this Lambda function, or None outside Lambda."""
    return os.environ.get("AWS_LAMBDA_FUNCTION_NAME") or None


def has_secret() -> bool:
    """Whether settings come from a secret, which may change while a container lives."""
    return bool(os.environ.get("SECRET_ID"))


def allowed_origin() -> str | None:
    """The one origin whose pages may call the API, for CORS; Chalice needs it at import."""
    origin = os.environ.get("ALLOWED_ORIGIN") or None
    if origin and not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?", origin):
        raise ConfigError("ALLOWED_ORIGIN", "must be one origin, as in https://example.com")
    return origin


def log_level() -> str:
    level = (os.environ.get("LOG_LEVEL") or "INFO").upper()
    if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
        raise ConfigError("LOG_LEVEL", "must be DEBUG, INFO, WARNING or ERROR")
    return level


@dataclass(frozen=True)
class _Reader:
    values: Mapping[str, str] = field(repr=False)
    in_lambda: bool

    def url(self, name: str, *schemes: str, required: bool = True) -> str:
        value = self.values.get(name, "")
        if not value:
            if required:
                raise ConfigError(name, "is not set")
            return value
        try:
            scheme, is_safe = _scheme(value), transport.is_safe(value)
        except ValueError:
            scheme, is_safe = "", False
        if scheme not in schemes:
            raise ConfigError(name, f"must be a well-formed URL with the scheme {' or '.join(schemes)}")
        if self.in_lambda and not is_safe:
            raise ConfigError(name, f"{_REMOTE_URL_RULES[name]}, because the server is not on this machine")
        return value

    def queue_url(self, name: str) -> str | None:
        value = self.values.get(name) or None
        if value and not re.fullmatch(r"https?://[^/\s]+/\S+", value):
            raise ConfigError(name, "must be the URL of an SQS queue")
        return value

    def header(self, name: str, instead_of: str) -> str | None:
        value = self.values.get(name) or None
        if value and self.values.get(instead_of):
            raise ConfigError(name, f"must not be set together with {instead_of}")
        if value and not re.fullmatch(r"[!-~]([ -~]*[!-~])?", value):
            raise ConfigError(name, "must be the value of an Authorization header, as in Bearer … or Basic …")
        return value

    def integer(self, name: str, default: int, most: int, least: int = 1) -> int:
        text = self.values.get(name) or str(default)
        if not re.fullmatch(r"\d{1,9}", text, re.ASCII) or not least <= int(text) <= most:
            raise ConfigError(name, f"must be a whole number from {least} to {most}")
        return int(text)

    def ratio(self, name: str, default: float) -> float:
        text = self.values.get(name) or str(default)
        if not re.fullmatch(r"[01]?\.?\d{1,9}", text, re.ASCII) or float(text) > 1:
            raise ConfigError(name, "must be a number from 0 to 1")
        return float(text)

    def quarantine_key(self, name: str) -> bytes | None:
        text = self.values.get(name)
        return _key(name, text, "must be 32 bytes in base64") if text else None


def _scheme(url: str) -> str:
    """The scheme. Raises ValueError if the URL is malformed: HTTP without a host, or with an @ behind it, as
    after an unescaped / ? or # in a password; or an invalid port."""
    parts = urlsplit(url)
    behind = parts.path + parts.fragment + ("" if parts.path else parts.query)
    if parts.scheme in {"http", "https"} and (not parts.hostname or "@" in behind):
        raise ValueError
    if parts.scheme not in {"postgresql", "postgres"}:  # libpq allows several hosts, and a # in a password
        _ = parts.port
    return parts.scheme


def parse_pii_keys(text: str) -> dict[int, bytes | None]:
    """Parses PII_KEYS; None stands for the key of a version that was given up. Raises ConfigError."""
    name, problem = "PII_KEYS", 'must be JSON: key versions (from 1) to 32 bytes in base64, as in {"1": "…"}'
    table = _table(name, text, problem)
    if not all(re.fullmatch(r"[1-9]\d{0,3}", version, re.ASCII) for version in table):
        raise ConfigError(name, problem)
    keys = {int(version): None if key is None else _key(name, key, problem) for version, key in table.items()}
    if not any(keys.values()):
        raise ConfigError(name, "is not set" if not keys else "must hold at least one key that is not null")
    return keys


def parse_api_keys(text: str) -> dict[str, frozenset[str]]:
    """Parses API_KEYS. Raises ConfigError."""
    problem = f"must be JSON: SHA-256 hashes in hex to lists of scopes from {', '.join(sorted(SCOPES))}"
    table = _table("API_KEYS", text, problem)
    for digest, scopes in table.items():
        are_scopes = isinstance(scopes, list) and all(isinstance(s, str) and s in SCOPES for s in scopes)
        if not (are_scopes and re.fullmatch(r"[0-9a-f]{64}", digest)):
            raise ConfigError("API_KEYS", problem)
    return {digest: frozenset(scopes) for digest, scopes in table.items()}


def _table(name: str, text: str, problem: str) -> dict[str, Any]:
    try:
        table = json.loads(text or "{}")
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise ConfigError(name, problem)
    return table


def _key(name: str, key: Any, problem: str) -> bytes:
    try:
        decoded = base64.b64decode(key, validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise ConfigError(name, problem) from None
    if len(decoded) != 32:
        raise ConfigError(name, problem)
    return decoded


def _secret(secret_id: str) -> dict[str, str]:
    from chalicelib import aws  # imported late: without a secret nothing here needs AWS

    return texts(aws.secret(secret_id))


def texts(values: Mapping[str, Any]) -> dict[str, str]:
    """The values of a secret as the environment would hold them. A null is left out."""
    given = {name: value for name, value in values.items() if value is not None}
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
