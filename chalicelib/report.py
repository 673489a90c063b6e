"""A run so far, as its worker knows it. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any
from uuid import UUID

from chalicelib.ledger import Counts, Loaded, ReportStatus
from chalicelib.paging import Cursor


@dataclass
class Reading:
    """Where a run is in its source, as only its worker needs to know.

    ``received`` is how many records the source gave; ``uids`` are the last page's, and ``ends_short`` means
    that it had fewer records than requested. If the API pages by cursor, ``cursor_in_hand`` leads to the page
    that is being processed, and ``cursor`` to the one after it; they may hold a personal value. ``cursors``
    are the hashes of all of them so far. ``sealed_cursor`` is where this run begins, and ``next_cursor``,
    sealed too, where the next one continues.
    """

    received: int = 0
    uids: Sequence[UUID] = ()
    ends_short: bool = False
    cursor: Cursor | None = field(default=None, repr=False)
    cursor_in_hand: Cursor | None = field(default=None, repr=False)
    sealed_cursor: str | None = field(default=None, repr=False)
    next_cursor: str | None = field(default=None, repr=False)
    cursors: set[int] = field(default_factory=set)


@dataclass
class Report:
    """A run so far: pages done, the counts of the conservation law, rejects by (path, rule), and times.

    It begins with ``first_page``; the next scheduled run begins with ``next_page``, unless that is None.
    ``timings`` are milliseconds by step. ``unknown_fields`` counts the fields of records that the dialect
    does not know, on pages that were not loaded too; ``unknown_names`` are those that are surely names.
    ``withheld`` counts, by column, kept texts that held an e-mail address or a long number.
    ``departed`` people, whom the source no longer has, were removed.
    ``total`` is how many records the source says that it has. ``source_ended`` means that the run has seen
    the source's end. ``short_pages`` had fewer records than requested, although others followed.
    With ``since`` (ISO 8601, UTC), the run asks only for who has changed since then.
    """

    run_id: str
    status: ReportStatus
    pages: int = 0
    fetched: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    duplicate: int = 0
    rejected: int = 0
    suppressed: int = 0
    filtered: int = 0
    error: str | None = None
    seconds: float = 0.0
    timings: dict[str, float] = field(default_factory=dict)
    rejects_by_rule: Counter[tuple[str, str]] = field(default_factory=Counter)
    unknown_fields: int = 0
    unknown_names: set[str] = field(default_factory=set, repr=False)
    withheld: Counter[str] = field(default_factory=Counter)
    departed: int = 0
    first_page: int = 1
    next_page: int | None = None
    queued: bool = False
    since: str | None = None
    is_replay: bool = False
    source_ended: bool = False
    total: int | None = None
    short_pages: int = 0
    reading: Reading = field(default_factory=Reading, repr=False)

    def summary(self) -> dict[str, Any]:
        """The report as JSON can hold it, without what only the run needs, or the source made up."""
        kept = {name: value for name, value in vars(self).items() if name not in ("unknown_names", "reading")}
        return kept | {
            "timings": dict(self.timings),
            "withheld": dict(self.withheld),
            "rejects_by_rule": [
                {"path": path, "rule": rule, "count": count}
                for (path, rule), count in self.rejects_by_rule.most_common()
            ],
        }

    def has_more(self, planned: int) -> bool:
        """Whether pages are left to process."""
        return self.pages < planned and not self.source_ended

    def settle(self, counts: Counts) -> None:
        """Takes what the ledger has: a page may be loaded although the answer got lost."""
        vars(self).update(asdict(counts))

    def add(self, loaded: Loaded, fetched: int, duplicate: int, filtered: int) -> None:
        """Counts one loaded page."""
        self.pages += 1
        self.fetched += fetched
        self.duplicate += duplicate
        self.filtered += filtered
        self.inserted += loaded.inserted
        self.updated += loaded.updated
        self.unchanged += loaded.unchanged
        self.rejected += loaded.rejected
        self.suppressed += loaded.suppressed
        self.departed += loaded.departed
