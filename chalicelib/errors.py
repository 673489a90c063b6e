"""Every error that Decant raises on purpose.

    DecantError
    ├── ConfigError            a setting is missing or malformed
    ├── TokenError             a value that cannot be turned into a token
    ├── SourceError            the user API did not give a usable page
    │   ├── SourceUnavailable  it did not answer, or not in time, or with an error status
    │   │   └── SourceBusy     it asked to be left alone for a while
    │   └── SourceInvalid      it answered, but not with a page of records
    ├── RejectBudgetExceeded   too much of a page is invalid
    ├── TimeUp                 a run ran out of time between two pages
    ├── Stopped                a signal asked the process to end
    ├── StoreError             Postgres refused a statement
    │   ├── StoreUnavailable   Postgres does not answer, or not in time
    │   ├── LeaseLost          the run no longer holds its lease
    │   ├── StopRequested      somebody stopped the run
    │   ├── KeysOvertaken      newer or different keys are now in use
    │   └── SealsGone          sealed records expired, were erased or were replayed elsewhere
    ├── AwsError               AWS did not do what it was asked
    ├── RequestError           an HTTP request that cannot be answered as asked
    └── Unforeseen             any other exception: its type and place, not its text

No message holds a value from a record, a secret, or a URL's query.
"""

from pathlib import Path
from traceback import extract_tb

STOPPED_ON_REQUEST = "stopped on request"  # a run's error, also in stop_run.sql and why_not_loaded.sql
MADE_BY_MIGRATIONS = {"42P01": "table", "42703": "column", "42883": "function"}  # by SQLSTATE


class DecantError(Exception):
    """The root of the tree."""


class ConfigError(DecantError):
    """A setting is missing or malformed; names the setting, never shows its value."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")


class TokenError(DecantError):
    """A value that has no token (empty, or not text); names the field."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")


class SourceError(DecantError):
    """The user API did not give a usable page."""

    def __init__(self, page: int, problem: str) -> None:
        super().__init__(f"page {page}: {problem}")
        self.page = page
        self.problem = problem


class SourceUnavailable(SourceError):
    """The user API did not answer, not in time, or with an error status."""


class SourceBusy(SourceUnavailable):
    """The user API asked to be left alone for a while: too many requests, or a long ``Retry-After``."""


class SourceInvalid(SourceError):
    """The user API answered with something that is not a page of records."""


class RejectBudgetExceeded(DecantError):
    """More of a page is invalid than ``MAX_REJECT_RATIO`` allows, so none of it is loaded."""

    def __init__(self, page: int, rejected: int, fetched: int) -> None:
        super().__init__(f"page {page}: {rejected} of {fetched} records are invalid")


class TimeUp(DecantError):
    """A run would have exceeded its function's time limit, so it stopped before ``page``."""

    def __init__(self, page: int) -> None:
        super().__init__(f"the run ran out of time before page {page}")
        self.page = page


class Stopped(DecantError):
    """The named signal asked the process to end."""

    def __init__(self, signal: str) -> None:
        super().__init__(f"stopped by {signal}")


class StoreError(DecantError):
    """Postgres refused a statement; carries only what is safe to show of the error."""

    def __init__(self, query: str, sqlstate: str | None = None, constraint: str | None = None) -> None:
        parts = [f"SQLSTATE {sqlstate}" if sqlstate else "", f"constraint {constraint}" if constraint else ""]
        if sqlstate in MADE_BY_MIGRATIONS and query != "migrate":
            parts.append(f"a {MADE_BY_MIGRATIONS[sqlstate]} is missing; have the migrations run?")
        super().__init__(": ".join([f"query {query} failed", *filter(None, parts)]))
        self.query, self.sqlstate, self.constraint = query, sqlstate, constraint


class StoreUnavailable(StoreError):
    """Postgres does not answer, or not in time."""


class LeaseLost(StoreError):
    """The run no longer holds its lease: it expired, or the run was ended; another run may have begun."""

    def __str__(self) -> str:
        return "the run's lease has expired, or the run was ended"


class StopRequested(StoreError):
    """Somebody stopped the run, which the ledger already shows."""

    def __str__(self) -> str:
        return STOPPED_ON_REQUEST


class KeysOvertaken(StoreError):
    """The database has meanwhile been written with newer keys, or with another key of this version."""

    def __str__(self) -> str:
        return "PII_KEYS: newer or different keys are in use; nothing was written"


class SealsGone(StoreError):
    """Sealed records that a replay had read have since expired, been erased, or been replayed elsewhere."""

    def __str__(self) -> str:
        return "sealed records have expired, been erased or been replayed by another run"


class AwsError(DecantError):
    """AWS did not do what it was asked."""


class RequestError(DecantError):
    """An HTTP request that cannot be answered as asked."""

    def __init__(self, status: int, title: str, detail: str = "") -> None:
        super().__init__(f"{title}: {detail}" if detail else title)
        self.status, self.title, self.detail = status, title, detail


class Unforeseen(DecantError):
    """An unexpected exception. Its text may hold a personal value, so only its type and place are shown."""

    def __init__(self, error: BaseException) -> None:
        frames = extract_tb(error.__traceback__)
        place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        own = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if "chalicelib" in f.filename]
        super().__init__(f"{type(error).__name__}{place}" + (f" (from {own[-1]})" if own else ""))


def safe(error: Exception) -> DecantError:
    """The error itself if it is one of Decant's, else Unforeseen, for boundaries that catch everything."""
    return error if isinstance(error, DecantError) else Unforeseen(error)
