"""This checkout's own keys, made once and kept in `.local/`: one for the API, one that makes the tokens."""

import base64
import json
import secrets
from collections.abc import Callable
from pathlib import Path

from chalicelib.access import SCOPES, key_hash
from local.folders import write_private


def api_key_file(folder: Path) -> Path:
    return folder / "api-key"


def api_key(folder: Path) -> str:
    return _read_or_create(api_key_file(folder), fresh_api_key)


def fresh_api_key() -> str:
    return f"decant_{secrets.token_urlsafe(32)}"


def api_keys(folder: Path, *others: str) -> str:
    """The setting API_KEYS: the local key and ``others``, each with every scope."""
    return json.dumps({key_hash(key): sorted(SCOPES) for key in (api_key(folder), *others)})


def pii_keys(folder: Path) -> str:
    """The setting PII_KEYS. If its file is lost, nothing in the database can be looked up any more."""
    return _read_or_create(pii_keys_file(folder), lambda: with_fresh_pii_key("{}"))


def pii_keys_file(folder: Path) -> Path:
    return folder / "pii-keys.json"


def with_fresh_pii_key(known: str) -> str:
    """The setting PII_KEYS with a new key added as the next version."""
    table = json.loads(known)
    fresh = base64.b64encode(secrets.token_bytes(32)).decode()
    return json.dumps({**table, str(max(map(int, table), default=0) + 1): fresh})


def password(path: Path) -> str:
    """A server's password, kept in the file ``path``."""
    return _read_or_create(path, lambda: secrets.token_urlsafe(24))


def _read_or_create(path: Path, make: Callable[[], str]) -> str:
    if not path.exists():
        write_private(path, make() + "\n")
    return path.read_text(encoding="utf-8").strip()
