"""Keys that are valid only for what the tests start themselves."""

import base64
import json
from collections.abc import Mapping

PII_KEY = b"a root key of thirty-two bytes, "
API_KEY = "key-that-opens-all-doors"
KEY_WITHOUT_SCOPES = "key-that-opens-none"


def pii_keys(keys: Mapping[int, bytes | None]) -> str:
    """The value of the setting PII_KEYS; None for a key that was given up."""
    return json.dumps({version: key and base64.b64encode(key).decode() for version, key in keys.items()})
