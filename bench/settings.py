"""Decant's settings for these servers, with keys that open nothing else."""

import base64
import json

from bench.servers import Servers
from chalicelib.access import SCOPES, key_hash

API_KEY = "bench-key"
PII_KEY = bytes(range(32))


def of(servers: Servers) -> dict[str, str]:
    return {
        "DATABASE_URL": servers.database_url,
        "REDIS_URL": servers.redis_url,
        "SOURCE_URL": "http://127.0.0.1:9/nothing",
        "PII_KEYS": json.dumps({"1": base64.b64encode(PII_KEY).decode()}),
        "API_KEYS": json.dumps({key_hash(API_KEY): sorted(SCOPES)}),
    }
