"""Signed assertions, which some token endpoints want in place of a secret: JWTs with RS256 (RFC 7515)."""

import time
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from chalicelib.errors import ConfigError

_SECONDS = 180  # how long an assertion is valid; providers allow from three minutes to an hour


class Signer:
    """Signs claims with a private key."""

    def __init__(self, pem: str) -> None:
        """``pem`` is an RSA key, whose lines may be separated by the two characters ``\\n``, as in JSON.
        Raises ConfigError."""
        try:
            key: Any = load_pem_private_key(pem.replace("\\n", "\n").encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):  # a TypeError if it is encrypted
            key = None
        if not isinstance(key, RSAPrivateKey):
            raise ConfigError("SOURCE_TOKEN_KEY", "must be an RSA private key in PEM, not encrypted")
        self._key = key

    def assertion(self, claims: Mapping[str, Any], key_id: str | None) -> str:
        """A JWT with these claims, which begins to be valid now. ``key_id`` says which key signs it."""
        now = int(time.time())
        times = {"iat": now, "exp": now + _SECONDS, "jti": str(uuid4())}
        header = {"alg": "RS256", "typ": "JWT"} | ({"kid": key_id} if key_id else {})
        parts = header, {**times, **claims}
        signed = ".".join(_encoded(msgspec.json.encode(part)) for part in parts)
        return f"{signed}.{_encoded(self._key.sign(signed.encode(), PKCS1v15(), SHA256()))}"


def _encoded(part: bytes) -> str:
    return urlsafe_b64encode(part).decode().rstrip("=")
