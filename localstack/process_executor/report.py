"""Lambda's own messages about an invocation: error documents for the caller, and lines in the log."""

import json
import signal
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Outcome:
    """The answer for the caller.

    ``problem`` is the log's text if the function could not answer itself, ``status`` the end of REPORT.
    """

    payload: bytes
    is_error: bool = False
    problem: str = ""
    status: str = ""


def timed_out(request_id: str, seconds: float) -> Outcome:
    what = f"Task timed out after {seconds:.2f} seconds"
    problem = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + f"Z {request_id} {what}\n"
    document = _document("Sandbox.Timedout", f"RequestId: {request_id} Error: {what}")
    return Outcome(document, True, problem, "Status: timeout")


def exited(request_id: str, status: int) -> Outcome:
    """The process ended without an answer."""
    message = f"RequestId: {request_id} Error: Runtime exited {_reason(status)}"
    problem = f"{message}\nRuntime.ExitError\n"
    return Outcome(_document("Runtime.ExitError", message), True, problem, _error_status("Runtime.ExitError"))


def failed(document: bytes, error_type: str) -> Outcome:
    """The function raised an error, or failed to load; its own log shows the error too."""
    return Outcome(document, True, status=_error_status(error_type))


@dataclass(frozen=True)
class Usage:
    """The time and memory that an invocation used. ``init_ms`` is None for a warm start."""

    duration_ms: float
    memory_mb: int
    used_mb: int
    init_ms: float | None


def log_text(request_id: str, version: str, before: str, during: str, outcome: Outcome, usage: Usage) -> str:
    """An invocation's log, with Lambda's own lines around the function's."""
    lines = [
        f"{_closed(before)}START RequestId: {request_id} Version: {version}\n",
        f"{_closed(during)}{outcome.problem}END RequestId: {request_id}\n",
        f"REPORT RequestId: {request_id}\t",
        f"Duration: {usage.duration_ms:.2f} ms\tBilled Duration: {usage.duration_ms + 1:.0f} ms\t",
        f"Memory Size: {usage.memory_mb} MB\tMax Memory Used: {usage.used_mb} MB\t",
    ]
    if usage.init_ms is not None:
        lines.append(f"Init Duration: {usage.init_ms:.2f} ms\t")
    return "".join([*lines, outcome.status, "\n"])


def _reason(status: int) -> str:
    if status == 0:
        return "without providing a reason"
    if status > 0:
        return f"with error: exit status {status}"
    return f"with error: signal: {signal.strsignal(-status) or -status}".lower()


def _error_status(error_type: str) -> str:
    return f"Status: error\tError Type: {error_type}"


def _closed(text: str) -> str:
    return text if not text or text.endswith("\n") else f"{text}\n"


def _document(error_type: str, message: str) -> bytes:
    return json.dumps({"errorType": error_type, "errorMessage": message}).encode()
