"""The REST APIs that people come from, one dialect per file: how to request a page, and its format."""

from typing import Any

from chalicelib.dialect import Dialect
from chalicelib.errors import ConfigError
from chalicelib.sources import random_data_api, randomuser

_DIALECTS: tuple[Dialect[Any], ...] = (random_data_api.DIALECT, randomuser.DIALECT)
BY_NAME = {dialect.name: dialect for dialect in _DIALECTS}


def named(name: str) -> Dialect[Any]:
    """A dialect. Raises ConfigError if there is none with this name."""
    if name not in BY_NAME:
        raise ConfigError("SOURCE_DIALECT", f"must be one of {', '.join(BY_NAME)}")
    return BY_NAME[name]
