"""The REST APIs that people come from, one dialect per file: how to request a page, and its format."""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

from chalicelib.dialect import Dialect
from chalicelib.errors import ConfigError


def named(name: str) -> Dialect[Any]:
    """The dialect of this name, which is also that of its file. Raises ConfigError if there is none."""
    found = _dialect_in(name.replace("-", "_"))
    if found is None or found.name != name:
        raise ConfigError("SOURCE_DIALECT", f"must be one of {', '.join(names())}")
    return found


def names() -> list[str]:
    """The names of all dialects."""
    return [found.name for module in _modules() if (found := _dialect_in(module))]


def _modules() -> list[str]:
    return [module.name for module in iter_modules(__path__)]


def _dialect_in(module: str) -> Dialect[Any] | None:
    """The dialect in a file of this folder. Raises ConfigError if it has another name than the file."""
    if module not in _modules():
        return None
    found: Dialect[Any] | None = getattr(import_module(f"{__name__}.{module}"), "DIALECT", None)
    if found and found.name.replace("-", "_") != module:
        raise ConfigError("SOURCE_DIALECT", f"the dialect in {module}.py has another name, {found.name}")
    return found
