"""The data that a run, the store and the caller who asked for the run exchange. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from chalicelib.users import Issue

Trigger = Literal["schedule", "manual", "backfill", "replay"]
Status = Literal["running", "succeeded", "partial", "failed", "lost", "skipped"]

# Of a report. "ended", never in the ledger, is the answer to a worker that finishes a page of a queued run
# when the run is not running any more, is not queued, or is not in the ledger.
ReportStatus = Literal[Status, "ended"]

# What becomes of a fetched record: in the ledger of a run, the counts of these add up to ``fetched``.
OUTCOMES = ("inserted", "updated", "unchanged", "duplicate", "rejected", "suppressed", "filtered")


@dataclass(frozen=True)
class RunRequest:
    """What to open: the source, what triggers the run, and how many pages of what size it is to have.

    ``replay_of`` names the run whose sealed rejects it processes; ``queued`` means a queue message per page.
    ``incremental`` means to ask only for who has changed, if all others were loaded lately; not queued then.
    """

    source: str
    trigger: Trigger
    pages: int
    page_size: int | None = None
    replay_of: str | None = None
    queued: bool = False
    pages_are_full: bool = False  # a page with fewer records than requested must be the source's last
    reads_to_end: bool = False  # there may be no records behind the last page
    total_at: str | None = None  # where its pages say how many records there are
    incremental: bool = False
    by_cursor: bool = False  # only a sealed cursor can say where an earlier run stopped


@dataclass(frozen=True)
class Ending:
    """How a run ended; ``next_page`` is where the next scheduled run begins, if it is set, with
    ``next_cursor`` (sealed) if the source pages by cursor.

    ``missed`` means that it may have missed records, so that no other run may build on it.
    """

    status: Status
    error: str | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    next_page: int | None = None
    missed: bool = False
    next_cursor: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class OpenedRun:
    """What became of a ``RunRequest``: ``status`` is ``running`` or ``skipped``; the page to begin with.

    ``sealed_cursor``: where that page is, if the source pages by cursor. ``since``: ask only for who has
    changed since then (ISO 8601, UTC).
    """

    run_id: str
    status: Status
    first_page: int = 1
    queued: bool = False
    since: str | None = None
    sealed_cursor: str | None = field(default=None, repr=False)


@dataclass(frozen=True)
class RejectRow:
    """A reject as the ledger keeps it: where, why, and a keyed fingerprint.

    ``uid`` is the record's, if it has one: only to note that the source still has the person. With the
    quarantine on, also the sealed record, and its uid's tokens under all keys (newest first).
    """

    position: int
    issues: Sequence[Issue]
    fingerprint: str
    uid: str | None = None
    sealed: bytes | None = field(default=None, repr=False)
    uid_tokens: Sequence[str] = ()


@dataclass(frozen=True)
class SealedReject:
    """A sealed record in the quarantine, its position in its page, and when it was sealed (UTC)."""

    position: int
    sealed: bytes = field(repr=False)
    sealed_at: str


@dataclass(frozen=True)
class Replay:
    """The records that one page of a replay validates again: their run, positions, and time of sealing."""

    run_id: str
    positions: Sequence[int]
    sealed_at: str


@dataclass(frozen=True)
class KeyTrouble:
    """A missing key version, with counts of the rows that need it. Counts are None if the version is known
    but its key is another."""

    version: int
    people: int | None
    erasures: int | None
    sealed: int | None

    def __str__(self) -> str:
        if self.people is None:
            return f"the key of version {self.version} is not the key that this database was written with"
        if not (self.people or self.erasures or self.sealed):
            return f"version {self.version} was in use, and is newer than the given ones; put its key back"
        needed = f"people: {self.people}, erasures: {self.erasures}, sealed records: {self.sealed}"
        advice = "put its key back, or null to give it up"
        return f"version {self.version} is missing, but needed ({needed}); {advice}"


@dataclass(frozen=True)
class KeyInUse:
    """The key that tokens were made with: its version, its proof, and the versions that were given up."""

    version: int
    proof: str
    given_up: Sequence[int] = ()


@dataclass(frozen=True)
class PageLoad:
    """One page, ready to store: protected columns, as ``columns_json`` writes them.

    ``drafts`` are, by uid, the bodies that the API will return, still without version and time; ``filled``
    says, by column, how many people have a value. ``gone`` are the uids of people to be removed.
    """

    run_id: str
    page: int
    columns: Mapping[str, str] = field(repr=False)
    drafts: Mapping[str, bytes] = field(repr=False)
    filled: Mapping[str, int]
    rejects: Sequence[RejectRow]
    duplicate: int
    key: KeyInUse
    filtered: int = 0
    gone: Sequence[str] = ()
    seal_days: int = 0
    unknown_fields: int = 0
    withheld: int = 0
    total: int | None = None
    replay: Replay | None = None

    @property
    def fetched(self) -> int:
        return len(self.drafts) + self.duplicate + len(self.rejects) + self.filtered


@dataclass(frozen=True)
class Loaded:
    """What loading one page did; ``versions`` holds those of the people inserted or updated, by uid."""

    inserted: int
    updated: int
    unchanged: int
    suppressed: int
    rejected: int
    departed: int
    updated_at: str
    versions: Mapping[str, int] = field(repr=False)


@dataclass(frozen=True)
class Counts:
    """A whole run as the ledger has it: its status, pages, both sides of the conservation law, and others."""

    status: Status
    pages: int
    fetched: int
    inserted: int
    updated: int
    unchanged: int
    duplicate: int
    rejected: int
    suppressed: int
    filtered: int
    departed: int
    error: str | None


@dataclass(frozen=True)
class Erased:
    """What an erasure removed from Postgres, and the runs that first loaded, last changed or sealed it."""

    erased_at: str
    users: int
    addresses: int
    sealed_records: int
    run_ids: Sequence[str]
