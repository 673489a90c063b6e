"""What passes between a run, the store and whoever asked for the run. Pure data."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Literal

import msgspec

from chalicelib.users import Issue

_encode = msgspec.json.Encoder().encode

Trigger = Literal["schedule", "manual", "backfill"]


@dataclass(frozen=True)
class OpenRun:
    """What became of the wish to run: ``status`` is ``running``, or ``skipped``."""

    run_id: str
    status: str


@dataclass(frozen=True)
class RejectRow:
    """A reject as the ledger keeps it: where, why, and a keyed fingerprint."""

    position: int
    issues: Sequence[Issue]
    fingerprint: str


@dataclass(frozen=True)
class PageLoad:
    """One page, ready to store: protected columns of equal length, and each row's erasure tokens."""

    run_id: str
    page: int
    columns: Mapping[str, Sequence[Any]] = field(repr=False)
    erasure_tokens: Sequence[Sequence[str]] = field(repr=False)
    rejects: Sequence[RejectRow]
    duplicates: int
    key_version: int

    def rows_json(self) -> str:
        """The rows as one JSON document, each with the hash of its content."""
        record = msgspec.defstruct("Record", list(self.columns))
        encoded = [_encode(record(*row)) for row in zip(*self.columns.values(), strict=True)]
        marked = zip(encoded, self.erasure_tokens, strict=True)
        return "[" + ",".join(_with_marks(row, tokens) for row, tokens in marked) + "]"


def _with_marks(encoded: bytes, erasure_tokens: Sequence[str]) -> str:
    digest = blake2b(encoded, digest_size=16).hexdigest()
    marks = _encode({"content_hash": f"\\x{digest}", "erasure_tokens": erasure_tokens})
    return (marks[:-1] + b"," + encoded[1:]).decode()


@dataclass(frozen=True)
class Loaded:
    """What one page's load did; ``versions`` are those of the people inserted or updated, by uid."""

    inserted: int
    updated: int
    unchanged: int
    suppressed: int
    rejected: int
    updated_at: str
    versions: Mapping[str, int] = field(repr=False)


@dataclass(frozen=True)
class Erased:
    """What an erasure removed from Postgres, and the runs that had brought or changed it."""

    erased_at: str
    users: int
    addresses: int
    run_ids: Sequence[str]


@dataclass
class Report:
    """A run so far: pages done, the counts of the conservation law, rejects by (path, rule), and times.

    ``timings`` are milliseconds by step.
    """

    run_id: str
    status: str
    pages: int = 0
    fetched: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicate: int = 0
    rejected: int = 0
    suppressed: int = 0
    error: str | None = None
    seconds: float = 0.0
    timings: dict[str, float] = field(default_factory=dict)
    rejects_by_rule: Counter[tuple[str, str]] = field(default_factory=Counter)

    def summary(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return asdict(self) | {
            "rejects_by_rule": [
                {"path": path, "rule": rule, "count": count}
                for (path, rule), count in self.rejects_by_rule.most_common()
            ]
        }

    def add(self, loaded: Loaded, fetched: int, duplicates: int) -> None:
        """Counts one loaded page."""
        self.pages += 1
        self.fetched += fetched
        self.duplicate += duplicates
        self.inserted += loaded.inserted
        self.updated += loaded.updated
        self.unchanged += loaded.unchanged
        self.rejected += loaded.rejected
        self.suppressed += loaded.suppressed
