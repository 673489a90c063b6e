"""The edges that a run works with, as protocols, and the plan of a run. Pure."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from chalicelib import opening
from chalicelib.dialect import Dialect
from chalicelib.ledger import (
    Counts,
    KeyInUse,
    Loaded,
    PageLoad,
    RejectRow,
    RunRequest,
    SealedReject,
    Trigger,
)
from chalicelib.paging import Cursor
from chalicelib.privacy import Tokeniser, contract_hash
from chalicelib.quarantine import Quarantine
from chalicelib.report import Report


class Source(Protocol):
    """Where pages come from."""

    name: str
    dialect: Dialect[Any]

    def fetch(self, page: int, size: int, cursor: Cursor | None = None) -> bytes: ...


class Store(opening.Ledger, Protocol):
    """Where pages go, the ledger, and the quarantine's sealed rejects."""

    def load_page(self, load: PageLoad) -> Loaded | None: ...
    def claim_page(self, run_id: str, page: int, contract_hash: str, key_version: int) -> bool: ...
    def finish_page(self, run_id: str, timings: Mapping[str, float]) -> Counts | None: ...
    def note_rejects(
        self, run_id: str, page: int, rejects: Sequence[RejectRow], key: KeyInUse, seal_days: int
    ) -> None: ...
    def sealed_pages(self, run_id: str) -> list[int]: ...
    def sealed_rejects(self, run_id: str, page: int) -> list[SealedReject]: ...
    def remove_departed(self, run_id: str, days: int) -> tuple[int, list[str]]: ...


class Cache(Protocol):
    """Where recent people are cached."""

    def put_users(self, bodies: Mapping[str, bytes]) -> None: ...
    def drop_users(self, uids: Sequence[str]) -> None: ...


@dataclass(frozen=True)
class Edges:
    """What a run works with. Without a quarantine, a reject leaves its position, issues and fingerprint."""

    source: Source
    store: Store
    cache: Cache
    tokeniser: Tokeniser
    quarantine: Quarantine | None = None

    @property
    def stored_by(self) -> tuple[str, int]:
        """How people are stored: the hash of the contract, and the version of the key."""
        return contract_hash(self.source.dialect.custom), self.tokeniser.version

    @property
    def seal_days(self) -> int:
        """How long a reject stays sealed; 0 without a quarantine."""
        return self.quarantine.days if self.quarantine else 0


@dataclass(frozen=True)
class Plan:
    """How much to fetch, what triggered the run, and the share of a page that may be invalid.

    A replay fetches nothing: it processes the sealed rejects of the run that ``replay_of`` names. ``until``
    is the deadline of the work, on the monotonic clock. People whom the source has not had for
    ``retention_days`` are removed; 0: never.
    """

    trigger: Trigger
    pages: int
    page_size: int
    max_reject_ratio: float
    replay_of: str | None = None
    until: float = math.inf
    retention_days: int = 0

    def reads_to_end(self, source: Source) -> bool:
        """Whether the run is to process all pages that there are, and not those that somebody asked for."""
        return self.trigger in ("schedule", "manual") and source.dialect.paging.has_end

    def request(self, source: Source, queued: bool = False) -> RunRequest:
        """What to open in the ledger. ``queued`` means that each page gets a message in the queue."""
        return RunRequest(
            source=source.name,
            trigger=self.trigger,
            pages=self.pages,
            page_size=None if self.replay_of else self.page_size,
            replay_of=self.replay_of,
            queued=queued,
            pages_are_full=source.dialect.paging.pages_are_full,
            reads_to_end=self.reads_to_end(source),
            total_at=source.dialect.paging.total,
            incremental=self.reads_to_end(source) and source.dialect.paging.since is not None,
            by_cursor=source.dialect.paging.by_cursor,
        )


# Called after each page: pages planned, the run so far.
OnPage = Callable[[int, Report], None]


def no_progress(planned: int, report: Report) -> None:
    """An ``OnPage`` that shows nothing."""
