"""Where a scheduled run that could not go on ends, so that the next one continues there."""

import json

from chalicelib.edges import Edges, Plan
from chalicelib.errors import ConfigError, DecantError, SourceBusy, TimeUp
from chalicelib.report import Report


def note_place(edges: Edges, plan: Plan, report: Report, error: DecantError) -> None:
    """Notes in the report where the next scheduled run is to continue, if it can.

    A cursor may hold a personal value, so it is kept only if it can be sealed.
    """
    if not isinstance(error, TimeUp | SourceBusy) or plan.trigger != "schedule" or error.page == 1:
        return
    reading, next_page, place = report.reading, error.page, "there"
    if edges.source.dialect.paging.by_cursor:
        cursor = json.dumps(reading.cursor_in_hand).encode()
        if edges.quarantine is None or len(cursor) > edges.quarantine.largest:
            return
        reading.next_cursor = edges.quarantine.seal_cursor(cursor, edges.source.name, error.page)
    elif reading.ends_short and report.pages > 1:  # whether others follow, only the next page tells
        next_page, place = error.page - 1, "one page earlier"
    report.next_page = next_page
    report.error = f"{report.error}; the next scheduled run continues {place}"


def may_have_missed(report: Report) -> bool:
    """Whether people may be missing: a page was short although others followed, or the run's only page was,
    and the next run, which begins behind it, cannot know."""
    begins_behind = report.next_page is not None and report.pages == 1
    return report.short_pages > 0 or (begins_behind and report.reading.ends_short)


def go_to_place(edges: Edges, report: Report) -> None:
    """Opens the cursor that the run before sealed, if this run continues it. Raises ConfigError."""
    sealed = report.reading.sealed_cursor
    if sealed is None:
        return
    cursor = edges.quarantine and edges.quarantine.open_cursor(sealed, edges.source.name, report.first_page)
    if not cursor:
        problem = "does not open where the run before stopped; the next run begins at the first page"
        raise ConfigError("QUARANTINE_KEY", problem)
    report.reading.cursor = json.loads(cursor)
