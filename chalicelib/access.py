"""Who may do what: API keys and their scopes. Knows only hashes of keys, and compares in constant time."""

import hashlib
import secrets
from collections.abc import Mapping

SCOPES = frozenset({"read", "operate", "erase"})


def key_hash(api_key: str) -> str:
    """The form in which an API key is configured: its SHA-256 in hex."""
    return hashlib.sha256(api_key.encode("utf-8", "surrogatepass")).hexdigest()


def key_name(authorization: str) -> str:
    """What logs call the key in an ``Authorization`` header: the first eight digits of its hash."""
    return key_hash(_key_in(authorization))[:8]


def scopes_of(authorization: str, api_keys: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The scopes of the key in an ``Authorization: Bearer …`` header; none for an unknown key.

    Every configured hash is compared, so that the time taken does not reveal which one came close.
    """
    api_key = _key_in(authorization)
    presented = key_hash(api_key)
    granted: frozenset[str] = frozenset()
    for digest, scopes in api_keys.items():
        if secrets.compare_digest(digest, presented):
            granted = scopes
    return granted if api_key else frozenset()


def _key_in(authorization: str) -> str:
    scheme, _, api_key = authorization.partition(" ")
    return api_key.strip() if scheme.lower() == "bearer" else ""
