"""Imports what the `ingest` function needs before it can begin, mainly pandas, and does none of its work."""

from typing import Any

import app
import chalicelib.cache
import chalicelib.pipeline
import chalicelib.sources.client
import chalicelib.store

__all__ = ["app", "chalicelib"]


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {"statusCode": 200, "body": "{}"}
