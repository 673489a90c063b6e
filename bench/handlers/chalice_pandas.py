"""The minimal Chalice app, with pandas beside it."""

import pandas

from bench.handlers.minimal_chalice import handler

__all__ = ["handler", "pandas"]
