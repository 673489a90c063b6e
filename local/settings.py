"""The settings of this checkout: the environment wins over `.env`, `.env` over what `make run` publishes.

Most are only passed on: `chalicelib.config` interprets them.
"""

import contextlib
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from chalicelib import config, sources
from chalicelib.dialect import Dialect
from local.errors import LocalError
from local.folders import ROOT, write_private

NAMES = frozenset(config.NAMES)
_OF_THE_ENVIRONMENT = {"PYTHON", "DECANT_LOCAL_DIR"}  # needed before `.env` is read


def chosen() -> dict[str, str]:
    """What the user has set. An empty value counts as unset: `.env` starts as a copy of an example.

    Raises LocalError if `.env` or a setting is no text, or `.env` has one that must be in the environment.
    """
    try:
        written = _filled(dotenv_values(ROOT / ".env"))
    except UnicodeDecodeError:
        raise LocalError(f"{ROOT / '.env'} is not UTF-8") from None
    if misplaced := sorted(_OF_THE_ENVIRONMENT & set(written)):
        raise LocalError(f"{', '.join(misplaced)}: set it in the environment, not in {ROOT / '.env'}")
    values = written | {name: os.environ[name] for name in NAMES | set(written) if os.environ.get(name)}
    if garbled := sorted(name for name, value in values.items() if re.search("[\udc80-\udcff]", value)):
        raise LocalError(f"{', '.join(garbled)}: not UTF-8")  # for which Python writes these characters
    return values


def dialect() -> Dialect[Any]:
    """The source's dialect. Raises LocalError as ``chosen`` does, or ConfigError if there is none."""
    return sources.named(chosen().get("SOURCE_DIALECT") or config.Settings.source_dialect)


def published(folder: Path) -> dict[str, str]:
    """The settings of the `make run` that uses this folder; empty before it has started its servers."""
    try:
        lines = shlex.split((folder / "env").read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    return dict(line.split("=", 1) for line in lines)


@contextlib.contextmanager
def publish(folder: Path, settings: Mapping[str, str]) -> Iterator[None]:
    """Lets other commands of this checkout find the servers, for as long as they run."""
    write(folder, settings)
    try:
        yield
    finally:
        withdraw(folder)


def withdraw(folder: Path) -> None:
    """Removes what a killed process had published."""
    (folder / "env").unlink(missing_ok=True)


def write(folder: Path, settings: Mapping[str, str]) -> None:
    """Writes a file that a shell can read too: `set -a; . .local/env`."""
    lines = [f"{name}={shlex.quote(value)}\n" for name, value in sorted(settings.items())]
    write_private(folder / "env", "".join(lines))


def for_child(settings: Mapping[str, str]) -> dict[str, str]:
    return {**os.environ, **settings, "PYTHONUNBUFFERED": "1"}


def _filled(values: Mapping[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in values.items() if value}
