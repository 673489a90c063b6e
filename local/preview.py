"""`make preview < page.json`: what the source's dialect makes of a page of its API.

Prints what a run would reject, drop or withhold, and the first person as stored. It goes the way of a run as
far as the store, so it needs no server and stores nothing; its tokens' key is thrown away.
"""

import json
import secrets
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from chalicelib import telemetry
from chalicelib.dialect import Dialect
from chalicelib.edges import Edges, Plan
from chalicelib.errors import DecantError, safe
from chalicelib.ledger import PageLoad
from chalicelib.paging import Cursor
from chalicelib.prepare import prepare
from chalicelib.privacy import Tokeniser
from chalicelib.report import Report
from chalicelib.users import MAX_PAGE_SIZE
from chalicelib.validation import FIELD_NAME, validate
from local import output, settings
from local.errors import LocalError

_REJECTS_SHOWN = 20
# However many rejects there are, the page is prepared; since people could be removed, their uids are checked.
_PLAN = Plan("manual", 1, MAX_PAGE_SIZE, max_reject_ratio=1, retention_days=1)


@dataclass
class _Page:
    """A source that has one page."""

    dialect: Dialect[Any]
    body: bytes = field(repr=False)
    name: str = "preview"

    def fetch(self, page: int, size: int, cursor: Cursor | None = None) -> bytes:
        return self.body


def main() -> int:
    telemetry.guard()
    try:
        with output.while_read():
            print(*_lines(settings.dialect(), sys.stdin.buffer.read()), sep="\n")
    except KeyboardInterrupt:
        return 130
    except (LocalError, DecantError, OSError) as error:
        print(f"make preview: {error}", file=sys.stderr)
        return 1
    return 0


def _lines(dialect: Dialect[Any], body: bytes) -> list[str]:
    """The whole preview. Raises DecantError, also for an exception of the dialect's, whose text may hold a
    value."""
    try:
        return list(preview(dialect, body))
    except Exception as error:  # noqa: BLE001
        failure = safe(error)
    raise failure


def preview(dialect: Dialect[Any], body: bytes) -> Iterator[str]:
    """Counts, names of fields and rules, and one person as stored. Raises SourceInvalid or ConfigError."""
    report = Report("preview", "running")
    nowhere: Any = None
    edges = Edges(_Page(dialect, body), nowhere, nowhere, Tokeniser({1: secrets.token_bytes(32)}))
    if not (load := prepare(edges, _PLAN, 1, report)):
        return  # which only a replay can
    counts = {"to store": len(load.drafts), "rejected": len(load.rejects), "filtered": load.filtered}
    counts["of a uid that comes again"] = load.duplicate
    yield f"records: {load.fetched:,} ({', '.join(f'{count:,} {what}' for what, count in counts.items())})"
    yield from _rejects(load)
    yield from _unknown(validate(body, dialect, datetime.now(UTC).date()).unknown)
    for name, count in sorted(report.withheld.items()):
        yield f"withheld: {name}, {count:,} (an e-mail address or a long number)"
    if dialect.paging.next_link is not True and dialect.paging.by_cursor:  # True: it is in a header
        yield f"next page: {'its place is known' if report.reading.cursor else 'none'}"
    if report.total is not None:
        yield f"total: {report.total:,} records"
    if load.drafts:
        yield "the first person, as stored, but with tokens of another key:"
        person = json.loads(next(iter(load.drafts.values())))
        del person["version"], person["updated_at"]
        yield json.dumps(person, indent=2, ensure_ascii=False)


def _rejects(load: PageLoad) -> Iterator[str]:
    for reject in load.rejects[:_REJECTS_SHOWN]:
        found = ", ".join(f"{issue.path or '(record)'}: {issue.rule}" for issue in reject.issues)
        yield f"rejected: record {reject.position + 1}, {found}"
    if len(load.rejects) > _REJECTS_SHOWN:
        yield f"rejected: {len(load.rejects) - _REJECTS_SHOWN:,} more"


def _unknown(unknown: Mapping[str, int]) -> Iterator[str]:
    names = sorted(filter(FIELD_NAME.fullmatch, unknown))
    for name in names:
        yield f"unknown: {name}, {unknown[name]:,} (not in the dialect, so dropped)"
    if others := len(unknown) - len(names):
        yield f"unknown: {others:,} more, whose names may be values"


if __name__ == "__main__":
    sys.exit(main())
