"""Structured logs and metrics, by Powertools for AWS Lambda; the only file that knows it.

A line in CloudWatch's embedded metric format is a log line and a metric at once: one for each request or run.
No handler of the process lets a traceback's text or an e-mail address through.
"""

import logging
import re
import time

from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from chalicelib.errors import Unforeseen
from chalicelib.ledger import Report

_NAME = "decant"
_EMAIL = re.compile(r"[^\s@'\"<>]+@[^\s@'\"<>]+\.[^\s@'\"<>]+")
_OUTCOMES = ("fetched", "inserted", "updated", "unchanged", "duplicate", "rejected", "suppressed")


class NoValues(logging.Filter):
    """Leaves of an exception its type and place, and of an e-mail address nothing."""

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
    except (TypeError, ValueError, KeyError):
        return str(record.msg)  # its arguments do not fit it


def start(level: str) -> logging.Logger:
    """Sets up this process' logs, of Decant and of all it uses, and returns Decant's own."""
    structured = Logger(service=_NAME, level=level, log_uncaught_exceptions=False)
    for handler in (structured.registered_handler, logging.lastResort, *logging.getLogger().handlers):
        if handler:
            handler.addFilter(NoValues())
    return logging.getLogger(_NAME)


def answered(method: str, route: str, status: int, source: str, started: float, request_id: str) -> None:
    """One line for a request; ``route`` is the pattern, never the path; ``started`` by perf_counter."""
    line = EphemeralMetrics(namespace="Decant", service="api")
    line.add_dimension("route", f"{method} {route}")
    line.add_metric("Latency", MetricUnit.Milliseconds, round((time.perf_counter() - started) * 1000, 3))
    line.add_metric("Errors", MetricUnit.Count, int(status >= 500))
    if source:
        line.add_metric("CacheHits", MetricUnit.Count, int(source == "redis"))
        line.add_metadata("data_source", source)
    line.add_metadata("status", status)
    line.add_metadata("request_id", request_id)
    line.flush_metrics()


def ran(report: Report) -> None:
    """One line for a run."""
    line = EphemeralMetrics(namespace="Decant", service="ingest")
    for outcome in _OUTCOMES:
        line.add_metric(outcome.capitalize(), MetricUnit.Count, getattr(report, outcome))
    line.add_metric("UnknownFields", MetricUnit.Count, report.unknown_fields)
    line.add_metric("Seconds", MetricUnit.Seconds, round(report.seconds, 3))
    line.add_metric("Succeeded", MetricUnit.Count, int(report.status == "succeeded"))
    line.add_metric(
        "Failed", MetricUnit.Count, int(report.status not in {"succeeded", "skipped", "running", "ended"})
    )
    line.add_metadata("run_id", report.run_id)
    line.add_metadata("status", report.status)
    line.flush_metrics()
