"""What the `ingest` function loads before it can begin, pandas above all; the work itself is left out."""

from typing import Any

import app
import chalicelib.cache
import chalicelib.pipeline
import chalicelib.sources.client
import chalicelib.store

__all__ = ["app", "chalicelib"]


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {"statusCode": 200, "body": "{}"}
