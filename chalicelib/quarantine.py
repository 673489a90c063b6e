"""Sealed rejects: raw records that are not loaded, readable only with a separate key; and sealed cursors.

AES-256-GCM with a random nonce (NIST SP 800-38D), bound to the place in the ledger. Pure.
"""

import secrets
from base64 import b64decode, b64encode
from contextlib import suppress

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12


class Quarantine:
    """Seals and opens records; ``days`` is how long a seal may be kept."""

    largest = 65_536  # bytes; else a hostile source could fill the database with seals

    def __init__(self, key: bytes, days: int) -> None:
        self._cipher, self.days = AESGCM(key), days

    def __repr__(self) -> str:
        return f"<Quarantine days={self.days}>"

    def seal(self, raw: bytes, run_id: str, page: int, position: int) -> bytes:
        return self._encrypted(raw, f"{run_id}/{page}/{position}")

    def open(self, sealed: bytes, run_id: str, page: int, position: int) -> bytes | None:
        """The record; None if it was sealed with another key or for another position, or was altered."""
        return self._decrypted(sealed, f"{run_id}/{page}/{position}")

    def seal_cursor(self, cursor: bytes, source: str, page: int) -> str:
        """The sealed cursor in base64."""
        return b64encode(self._encrypted(cursor, f"cursor/{source}/{page}")).decode()

    def open_cursor(self, sealed: str, source: str, page: int) -> bytes | None:
        """The cursor of a source's page; None as above."""
        with suppress(ValueError):  # no base64
            return self._decrypted(b64decode(sealed), f"cursor/{source}/{page}")
        return None

    def _encrypted(self, text: bytes, place: str) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, text, place.encode())

    def _decrypted(self, sealed: bytes, place: str) -> bytes | None:
        try:
            return self._cipher.decrypt(sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:], place.encode())
        except (InvalidTag, ValueError):
            return None
