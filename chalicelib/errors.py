"""Every error that Decant raises on purpose.

    DecantError
    ├── ConfigError            a setting is missing or malformed
    ├── TokenError             something that cannot be turned into a token
    ├── SourceError            the user API did not give a usable page
    │   ├── SourceUnavailable  it did not answer, or not in time, or with an error status
    │   └── SourceInvalid      it answered, but not with a page of records
    ├── RejectBudgetExceeded   too much of a page is invalid
    ├── TimeUp                 a run had to stop between two pages
    ├── Stopped                somebody asked the process to end
    ├── StoreError             Postgres refused a statement
    │   ├── StoreUnavailable   Postgres cannot be reached
    │   ├── LeaseLost          another run has taken over
    │   ├── KeysOvertaken      newer keys are in use by now, or other ones
    │   └── SealsGone          sealed records expired or were replayed elsewhere
    ├── AwsError               AWS did not do what it was asked
    ├── RequestError           an HTTP request that cannot be answered as asked
    └── Unforeseen             anything else: its type and place, not its text

No message holds a value from a record, a secret, or a URL's query.
"""

from pathlib import Path
from traceback import extract_tb


class DecantError(Exception):
    """The root of the tree."""


class ConfigError(DecantError):
    """A setting is missing or malformed; names the setting, never shows its value."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(f"{setting}: {problem}")
        self.setting = setting


class TokenError(DecantError):
    """A value that has no token (empty, or not text); names the field."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field


class SourceError(DecantError):
    """The user API did not give a usable page."""

    def __init__(self, page: int, problem: str) -> None:
        super().__init__(f"page {page}: {problem}")
        self.page = page
        self.problem = problem


class SourceUnavailable(SourceError):
    """The user API did not answer, not in time, or with an error status."""


class SourceInvalid(SourceError):
    """The user API answered with something that is not a page of records."""


class RejectBudgetExceeded(DecantError):
    """More of a page is invalid than ``MAX_REJECT_RATIO`` allows, so none of it is loaded."""

    def __init__(self, page: int, rejected: int, fetched: int) -> None:
        super().__init__(f"page {page}: {rejected} of {fetched} records are invalid")
        self.page, self.rejected, self.fetched = page, rejected, fetched


class TimeUp(DecantError):
    """A run would have passed its function's time; it stopped before ``page``."""

    def __init__(self, page: int) -> None:
        super().__init__(f"the time was up before page {page}")
        self.page = page


class Stopped(DecantError):
    """Somebody asked the process to end, by the signal that is named."""

    def __init__(self, signal: str) -> None:
        super().__init__(f"stopped by {signal}")


class StoreError(DecantError):
    """Postgres refused a statement; carries what is safe to show of the refusal."""

    def __init__(self, query: str, sqlstate: str | None = None, constraint: str | None = None) -> None:
        marks = [f"SQLSTATE {sqlstate}" if sqlstate else "", f"constraint {constraint}" if constraint else ""]
        super().__init__(": ".join([f"query {query} failed", *filter(None, marks)]))
        self.query, self.sqlstate, self.constraint = query, sqlstate, constraint


class StoreUnavailable(StoreError):
    """Postgres cannot be reached."""


class LeaseLost(StoreError):
    """The run no longer holds its lease: it was counted as lost and another may have begun."""


class KeysOvertaken(StoreError):
    """What is stored was meanwhile written with newer keys, or with another of this version."""

    def __str__(self) -> str:
        return "PII_KEYS: newer keys are in use by now, or others; the next run takes them up"


class SealsGone(StoreError):
    """Sealed records that a replay had read expired since, or another replay took them up."""

    def __str__(self) -> str:
        return "sealed records expired or were replayed elsewhere meanwhile"


class AwsError(DecantError):
    """AWS did not do what it was asked."""


class RequestError(DecantError):
    """An HTTP request that cannot be answered as asked."""

    def __init__(self, status: int, title: str, detail: str = "") -> None:
        super().__init__(f"{title}: {detail}" if detail else title)
        self.status, self.title, self.detail = status, title, detail


class Unforeseen(DecantError):
    """An error that nobody foresaw. Its own text may hold a value, so only its type and place are told."""

    def __init__(self, error: BaseException) -> None:
        frames = extract_tb(error.__traceback__)
        place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
        ours = [f"{Path(f.filename).name}:{f.lineno}" for f in frames if "chalicelib" in f.filename]
        super().__init__(f"{type(error).__name__}{place}" + (f" (from {ours[-1]})" if ours else ""))
