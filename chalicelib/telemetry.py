"""Structured logs, through the standard library's logging, and metrics: one JSON object per line.

Metrics are log lines in CloudWatch's embedded metric format: one for each request, each run, and each try at
a page of a queued run.
No handler that the process has at its start lets the text of a traceback or an e-mail address through, and no
warning (of the module ``warnings``) is shown with its text.
"""

import json
import logging
import re
import resource
import sys
import time
import warnings
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from chalicelib.errors import STOPPED_ON_REQUEST, Unforeseen
from chalicelib.ledger import OUTCOMES
from chalicelib.report import Report

_NAME = "decant"
# Begins only where a word does, or else a long word would take a time that grows with its square.
_EMAIL = re.compile(r"(?<![^\s@'\"<>])[^\s@'\"<>]++@[^\s@'\"<>]+\.[^\s@'\"<>]+")
_UNITS = {"Latency": "Milliseconds", "Seconds": "Seconds"}  # all others are counts
_log = logging.getLogger("decant.telemetry")
_STANDARD_FIELDS = {*vars(logging.makeLogRecord({})), "message", "asctime"}  # what every record has


class NoValues(logging.Filter):
    """Reduces an exception to its type and place, and removes e-mail addresses."""

    def filter(self, record: logging.LogRecord) -> bool:
        message = _message(record)
        if record.exc_info and record.exc_info[1]:
            message = f"{message} ({Unforeseen(record.exc_info[1])})"
        record.msg, record.args = message, None
        record.exc_info = record.exc_text = record.stack_info = None
        for name, value in vars(record).items():
            if isinstance(value, str):
                setattr(record, name, _EMAIL.sub("…", value))
        return True


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001  whatever an argument's own code raises; a log line must not end a run
        return record.msg if isinstance(record.msg, str) else type(record.msg).__name__


class AsJson(logging.Formatter):
    """A record as one line of JSON, with its ``extra`` fields."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "level": record.levelname,
            "location": f"{record.funcName}:{record.lineno}",
            "message": record.getMessage(),
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "service": _NAME,
        }
        line |= {name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS}
        return json.dumps(_without_addresses(line), default=lambda value: _without_addresses(str(value)))


def _without_addresses(value: Any) -> Any:
    if isinstance(value, str):
        return _EMAIL.sub("…", value) if "@" in value else value
    if isinstance(value, Mapping):
        return {_without_addresses(str(name)): _without_addresses(one) for name, one in value.items()}
    return [_without_addresses(one) for one in value] if isinstance(value, list | tuple) else value


def start(level: str) -> None:
    """Configures the logging of this process, of Decant and its libraries; see also ``guard``."""
    own_handler, root_handlers = logging.StreamHandler(sys.stdout), logging.getLogger().handlers
    own_handler.setFormatter(AsJson())
    guard(own_handler)
    for handler in root_handlers:
        handler.addFilter(_is_not_ours)  # the runtime's own handlers would write our lines a second time
    logger = logging.getLogger(_NAME)
    logger.handlers = [own_handler]
    logger.setLevel(level)


def guard(*handlers: logging.Handler) -> None:
    """Keeps values out of warnings, and of what these handlers and all of the root logger write; turns core
    dumps off."""
    disable_core_dumps()
    warnings.showwarning = _show_warning  # type: ignore[assignment]  # names its arguments otherwise
    for handler in (*handlers, logging.lastResort, *logging.getLogger().handlers):
        if handler:
            handler.addFilter(NoValues())


def _show_warning(_text: object, category: type, file: str, line: int, *_: object) -> None:
    """A library that parses a value may repeat it in a warning, as dateutil does."""
    _log_warning(category.__name__, f"{Path(file).name}:{line}")


@cache
def _log_warning(category: str, place: str) -> None:
    """Once for each place, although Python repeats it for each text."""
    _log.warning("%s at %s", category, place)


def disable_core_dumps() -> None:
    """Turns core dumps off for this process and its children: a dump holds whatever was in memory.

    A limit of one byte, unlike one of zero, also stops dumps that are piped to a program; see core(5).
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CORE)
    limit = 0 if hard == 0 else 1
    resource.setrlimit(resource.RLIMIT_CORE, (limit, limit))


def _is_not_ours(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] != _NAME


def log_request(route: str, status: int, started: float, **known: Any) -> None:
    """Writes a request's line, with what else is known. ``route`` is the method and the pattern, never the
    path; ``started`` is by perf_counter."""
    metrics = {"Latency": round((time.perf_counter() - started) * 1000, 3), "Errors": int(status >= 500)}
    fields = {name: value for name, value in known.items() if value is not None}
    if "data_source" in fields:
        metrics["CacheHits"] = int(fields["data_source"] == "redis")
    _write({"route": route, "service": "api"}, metrics, {"status": status, **fields})


def log_run(report: Report) -> None:
    """Writes a run's line. A run that somebody stopped has not failed; a replay brings no newer data, so it
    does not count as a success."""
    is_fine = (
        report.status in {"succeeded", "skipped", "running", "ended"} or report.error == STOPPED_ON_REQUEST
    )
    metrics = {outcome.capitalize(): getattr(report, outcome) for outcome in ("fetched", *OUTCOMES)}
    metrics |= {
        "UnknownFields": report.unknown_fields,
        "Departed": report.departed,
        "Seconds": round(report.seconds, 3),
        "Succeeded": int(report.status == "succeeded" and not report.is_replay),
        "Failed": int(not is_fine),
    }
    _write({"service": "ingest"}, metrics, {"run_id": report.run_id, "status": report.status})


def _write(dimensions: Mapping[str, str], metrics: Mapping[str, float], fields: Mapping[str, Any]) -> None:
    """Writes a line in the embedded metric format; ``fields`` are there to read and search."""
    directive = _directive(tuple(dimensions), tuple(metrics))
    embedded = {"Timestamp": time.time_ns() // 1_000_000, "CloudWatchMetrics": [directive]}
    line = msgspec.json.encode({"_aws": embedded, **dimensions, **fields, **metrics})
    with suppress(OSError):  # a full disk, a pipe without a reader: what was done has been done
        sys.stdout.write(f"{line.decode()}\n")


@cache
def _directive(dimensions: tuple[str, ...], metrics: tuple[str, ...]) -> msgspec.Raw:
    """Says which of a line's fields are metrics; encoded once, since it is the same in many lines."""
    units = [{"Name": name, "Unit": _UNITS.get(name, "Count")} for name in metrics]
    return msgspec.Raw(
        msgspec.json.encode({"Namespace": "Decant", "Dimensions": [dimensions], "Metrics": units})
    )
