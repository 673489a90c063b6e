"""Who may do what: API keys and their scopes. Knows only hashes of keys, and compares in constant time."""

import hashlib
import secrets
from collections.abc import Mapping

SCOPES = frozenset({"read", "operate", "erase"})


def key_hash(api_key: str) -> str:
    """The form in which an API key is configured: its SHA-256 in hex."""
    return hashlib.sha256(api_key.encode("utf-8", "surrogatepass")).hexdigest()


def scopes_of(authorization: str, api_keys: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The scopes of the key in an ``Authorization: Bearer …`` header; none for an unknown key.

    Every configured hash is compared, so that the time taken does not reveal which one came close.
    """
    scheme, _, api_key = authorization.partition(" ")
    presented = key_hash(api_key.strip())
    granted: frozenset[str] = frozenset()
    for digest, scopes in api_keys.items():
        if secrets.compare_digest(digest, presented):
            granted = scopes
    return granted if api_key.strip() and scheme.lower() == "bearer" else frozenset()
