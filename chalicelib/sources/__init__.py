"""The REST APIs that people come from, one dialect per file: how to request a page, and its format."""

from types import ModuleType

from chalicelib.errors import ConfigError
from chalicelib.sources import random_data_api, randomuser

BY_NAME = {module.DIALECT.name: module for module in (random_data_api, randomuser)}


def named(name: str) -> ModuleType:
    """The module of a dialect. Raises ConfigError if there is none with this name."""
    if name not in BY_NAME:
        raise ConfigError("SOURCE_DIALECT", f"must be one of {', '.join(BY_NAME)}")
    return BY_NAME[name]
