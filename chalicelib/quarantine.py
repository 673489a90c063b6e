"""Sealed rejects: raw records that are not loaded, readable only with a separate key.

AES-256-GCM with a random nonce (NIST SP 800-38D), bound to the record's position in the ledger. Pure.
"""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class Quarantine:
    """Seals and opens records; ``days`` is how long a seal may be kept."""

    def __init__(self, key: bytes, days: int) -> None:
        self._cipher, self.days = AESGCM(key), days

    def __repr__(self) -> str:
        return f"<Quarantine days={self.days}>"

    def seal(self, raw: bytes, run_id: str, page: int, position: int) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, raw, _associated_data(run_id, page, position))

    def open(self, sealed: bytes, run_id: str, page: int, position: int) -> bytes | None:
        """The record; None if it was sealed with another key or for another position, or was altered."""
        nonce, encrypted = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        try:
            return self._cipher.decrypt(nonce, encrypted, _associated_data(run_id, page, position))
        except (InvalidTag, ValueError):
            return None


def _associated_data(run_id: str, page: int, position: int) -> bytes:
    return f"{run_id}/{page}/{position}".encode()
