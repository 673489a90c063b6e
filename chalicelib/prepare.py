"""Turns one page of the source into what can be stored: extract, validate, clean, protect."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime
from hashlib import blake2b
from json import JSONDecodeError
from typing import Any
from uuid import UUID

from chalicelib import custom, kept_texts, privacy, views
from chalicelib.clean import clean
from chalicelib.dialect import Dialect
from chalicelib.edges import Edges, Plan
from chalicelib.envelope import TooManyRecords
from chalicelib.errors import ConfigError, RejectBudgetExceeded, SourceInvalid
from chalicelib.ledger import PageLoad, RejectRow, Replay
from chalicelib.paging import Cursor, merged
from chalicelib.report import Reading, Report
from chalicelib.timing import timed
from chalicelib.users import MAX_PAGE_SIZE
from chalicelib.validation import ValidatedPage, validate, validate_records

_FEW = 20  # of fewer records, one that is invalid says nothing about the source


def prepare(edges: Edges, plan: Plan, page: int, report: Report) -> PageLoad | None:
    """A page, ready to load; None if a replay finds nothing in it. Adds its findings to the report.

    Raises SourceError, or RejectBudgetExceeded after it has recorded the page's rejects in the ledger.
    """
    validated, replay = _extract(edges, plan, page, report)
    if not validated.fetched and plan.replay_of:
        return None
    rejects = list(_reject_rows(edges, plan, report.run_id, page, validated))
    _note_findings(report, validated)
    if len(rejects) / max(validated.fetched, _fewest(plan, page, report)) > plan.max_reject_ratio:
        edges.store.note_rejects(report.run_id, page, rejects, edges.tokeniser.key_in_use, edges.seal_days)
        raise RejectBudgetExceeded(page, len(rejects), validated.fetched)
    with timed(report, "clean"):
        cleaned = clean(validated.users, edges.source.dialect.custom)
    with timed(report, "protect"):
        protected, withheld = _protect(edges, cleaned.columns)
        columns = custom.gathered(protected)
        drafts = views.user_drafts(columns)
        encoded = columns_json(columns, drafts, edges.tokeniser.all_candidates("uid", columns["uid"]))
    report.withheld.update(withheld)
    return PageLoad(
        run_id=report.run_id,
        page=page,
        columns=encoded,
        drafts=drafts,
        filled={name: len(column) - column.count(None) for name, column in protected.items()},
        rejects=rejects,
        duplicate=cleaned.duplicates + validated.replaced,
        key=edges.tokeniser.key_in_use,
        filtered=validated.filtered,
        gone=sorted(validated.gone) if _removes_filtered(edges, plan) else (),
        seal_days=edges.seal_days,
        unknown_fields=validated.unknown.total(),
        withheld=withheld.total(),
        total=report.total,
        replay=replay,
    )


def _protect(edges: Edges, columns: dict[str, list[Any]]) -> tuple[dict[str, list[Any]], Counter[str]]:
    """The columns that may be stored, and how many values were withheld from each."""
    treatments = privacy.treatments_of(edges.source.dialect.custom)
    kept, withheld = kept_texts.withhold(columns, treatments)
    return privacy.protect(kept, edges.tokeniser, treatments), withheld


def _note_findings(report: Report, validated: ValidatedPage) -> None:
    issues = (issue for reject in validated.rejects for issue in reject.issues)
    report.rejects_by_rule.update((issue.path, issue.rule) for issue in issues)
    report.reading.received += validated.fetched
    report.unknown_fields += validated.unknown.total()
    report.unknown_names |= validated.unknown_names()


def _removes_filtered(edges: Edges, plan: Plan) -> bool:
    """Not in a replay, whose records are older than what is stored."""
    return edges.source.dialect.removes_filtered and not plan.replay_of


def _fewest(plan: Plan, page: int, report: Report) -> int:
    """How many records a page counts as having, at the least, when its rejects are compared with the limit:
    changes are few on some days, and so are the records of a last page."""
    if report.since:
        return _FEW
    return min(_FEW, plan.page_size) if page > 1 else 1


def _extract(edges: Edges, plan: Plan, page: int, report: Report) -> tuple[ValidatedPage, Replay | None]:
    """A page of the source, or of the quarantine, sorted into valid users and rejects by today's rules."""
    today = datetime.now(UTC).date()
    if plan.replay_of:
        with timed(report, "validate"):
            return _validated_again(edges, plan.replay_of, page, today)
    body, dialect = _fetch(edges, plan, page, report), edges.source.dialect
    with timed(report, "validate"):
        may_be_empty = dialect.paging.has_end and (page > 1 or report.since is not None)
        validated = _validated(body, dialect, page, today, may_be_empty)
        _refuse_repetition(validated, page, report.reading)
        if dialect.paging.by_cursor:
            report.reading.cursor = _next_cursor(body, dialect, page)
            report.source_ended = report.reading.cursor is None
        else:
            report.source_ended = not validated.fetched
        if dialect.paging.total and validated.fetched and (total := dialect.total_in(body)) is not None:
            report.total = total  # a page beyond the end may say 0
    return validated, None


def _refuse_repetition(validated: ValidatedPage, page: int, reading: Reading) -> None:
    """A source that ignores the page's number would give its first people again and again."""
    uids = [user.uid for user in validated.users]
    if uids and uids == reading.uids:
        raise SourceInvalid(page, "the same people as on the page before")
    reading.uids = uids


def _fetch(edges: Edges, plan: Plan, page: int, report: Report) -> bytes:
    cursor, paging = report.reading.cursor, edges.source.dialect.paging
    if cursor is not None:
        _refuse_circle(cursor, page, report.reading)
    elif paging.by_cursor and page > 1:
        raise SourceInvalid(page, "only the page before it can say where it is: the API pages by cursor")
    since = None if cursor and paging.next_link else paging.since  # a link is complete
    with timed(report, "fetch"):
        changed = since(datetime.fromisoformat(report.since)) if since and report.since else {}
        query = merged(changed, cursor or {})
        added = [query] if query else []  # most sources need not know of it
        return edges.source.fetch(page, plan.page_size, *added)


def _refuse_circle(cursor: Cursor, page: int, reading: Reading) -> None:
    mark = hash(str(sorted(cursor.items())))
    if mark in reading.cursors:
        raise SourceInvalid(page, "the page before it leads to one that was already requested")
    reading.cursors.add(mark)


def _next_cursor(body: bytes, dialect: Dialect[Any], page: int) -> Cursor | None:
    try:
        return dialect.cursor_after(body)
    except ValueError as error:  # its text is a place in the code
        name = "next_link" if dialect.paging.next_link else "next_cursor"
        problem = f"{name} of {dialect.name} does not understand the body"
        raise SourceInvalid(page, f"{problem} ({error})" if str(error) else problem) from None


def _validated_again(
    edges: Edges, run_id: str, page: int, today: date
) -> tuple[ValidatedPage, Replay | None]:
    """The sealed records of one page of an earlier run. Those that cannot be opened stay sealed.

    The second value is None if there is nothing to replay.
    """
    if edges.quarantine is None:
        raise ConfigError("QUARANTINE_KEY", "is not set, so sealed records cannot be opened")
    rejects = edges.store.sealed_rejects(run_id, page)
    records = {
        reject.position: raw
        for reject in rejects
        if (raw := edges.quarantine.open(reject.sealed, run_id, page, reject.position)) is not None
    }
    validated = validate_records(records, edges.source.dialect, today)
    validated.unknown_by_uid.clear()  # whether a field is common, only the whole page could tell
    return validated, Replay(run_id, list(records), rejects[0].sealed_at) if records else None


def _reject_rows(
    edges: Edges, plan: Plan, run_id: str, page: int, validated: ValidatedPage
) -> Iterator[RejectRow]:
    """Rejects as the ledger keeps them.

    Seals the rejects that other rules might accept, unless a valid record of the page has the same uid.
    Raises ConfigError if no erasure would find the seals, if invalid people would seem to have left, or if
    others than the filtered ones would be removed.
    """
    fingerprint, quarantine = edges.tokeniser.fingerprint, edges.quarantine
    needs_uids = quarantine or plan.retention_days or _removes_filtered(edges, plan)
    if needs_uids and not validated.uids_agree:
        problem = f"uid or make_uid of {edges.source.dialect.name} finds another uid than to_user gives"
        raise ConfigError("SOURCE_DIALECT", problem)
    valid_uids = {user.uid for user in validated.users} if quarantine and validated.rejects else set[UUID]()
    for reject in validated.rejects:
        uid = edges.source.dialect.uid_of(reject.raw)
        row = RejectRow(reject.position, reject.issues, fingerprint(reject.raw), uid)
        is_known = uid is not None and UUID(uid) in valid_uids
        if quarantine and reject.is_record and len(reject.raw) <= quarantine.largest and not is_known:
            sealed = quarantine.seal(reject.raw, run_id, page, reject.position)
            tokens = edges.tokeniser.candidates("uid", uid) if uid else []
            row = replace(row, sealed=sealed, uid_tokens=tokens)
        yield row


def _validated(
    body: bytes, dialect: Dialect[Any], page: int, today: date, may_be_empty: bool
) -> ValidatedPage:
    place = f" (expected at {dialect.envelope})" if dialect.envelope else ""
    try:
        validated = validate(body, dialect, today)
        problem = "" if validated.fetched or may_be_empty else f"no records{place}"
    except TooManyRecords:
        problem = f"more than {MAX_PAGE_SIZE} records"
    except (JSONDecodeError, RecursionError):
        problem = "the body is not valid JSON, or is cut off"
    except ValueError:
        problem = f"the body holds no list of records in the format of {dialect.name}{place}"
    if problem:
        raise SourceInvalid(page, problem)  # raised outside the except clauses, whose errors may hold a value
    return validated


def columns_json(
    columns: Mapping[str, Sequence[Any]],
    drafts: Mapping[str, bytes],
    erasure_tokens: Sequence[Sequence[str]],
) -> dict[str, str]:
    """Each column as a JSON list, and two more: the hash of each row's draft, and its erasure tokens.

    These two are written as Postgres literals, since JSON has no type for bytes. Raises ValueError if the
    columns differ in length.
    """
    encoded = {
        **columns,
        "content_hash": [f"\\x{blake2b(draft, digest_size=16).hexdigest()}" for draft in drafts.values()],
        "erasure_tokens": [f"{{{','.join(tokens)}}}" for tokens in erasure_tokens],
    }
    if len(set(map(len, encoded.values()))) > 1:
        raise ValueError("columns of different lengths")  # Postgres would pad the shorter ones with NULL
    return {name: views.as_json(values) for name, values in encoded.items()}
