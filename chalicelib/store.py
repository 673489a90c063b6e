"""Postgres: people, the ledger of runs, rejects.

Uses no session state (locks, temporary tables, SET outside a transaction), so a transaction pooler works.
Reads set nothing at all, since RDS Proxy may reserve a connection for a client that does.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any
from uuid import uuid4

from chalicelib.errors import KeysOvertaken, LeaseLost, SealsGone, StopRequested
from chalicelib.ledger import (
    Counts,
    Ending,
    Erased,
    KeyInUse,
    KeyTrouble,
    Loaded,
    OpenedRun,
    PageLoad,
    RejectRow,
    RunRequest,
    SealedReject,
)
from chalicelib.migrations import apply_missing
from chalicelib.pool import Connection, Pool
from chalicelib.queries import sql
from chalicelib.retries import retry_once, retrying
from chalicelib.stats import FEW_DISTINCT, SMALL_GROUP, risk_view, stats_view
from chalicelib.views import RejectView, Run, UserView, as_json, encode, read_user, user_views

_Result = tuple[list[str], list[tuple[Any, ...]]]  # the columns' names, and the rows

# How long a query may take before its connection is cut: a server that hangs reports no error itself.
_READ_SECONDS = 5.0
_SECONDS = {
    **dict.fromkeys(("load_page", "note_rejects", "claim_page", "finish_page"), 60.0),
    **dict.fromkeys(("fail_page", "stop_run", "expire_seals"), 60.0),  # may wait for a load, or many seals
    **dict.fromkeys(("erase", "departed", "remove_departed"), 30.0),
    **dict.fromkeys(("stats", "risk", "reconcile_keys"), 20.0),
}

# After a transient failure a query is retried: once and immediately, as its connection may have died while
# idle, or for several seconds if a run's work is at stake. That is harmless (a page is loaded once however
# often it is tried), but for those never retried: their second answer would hide what the first try did.
_RETRIED_FOR_SECONDS = {"load_page", "note_rejects", "finish_run"}
_NEVER_RETRIED = {"erase", "finish_page"}

# By the answer of why_not_loaded.sql.
_NOT_LOADED = {"keys": KeysOvertaken, "lease": LeaseLost, "seals": SealsGone, "stopped": StopRequested}

LEASE_SECONDS = 120
QUEUED_LEASE_SECONDS = 1_800  # longer than a queue hides a message whose worker died


class Store:
    """Everything that is stored. Each query is one transaction; safe to share between threads.

    Raises StoreUnavailable if Postgres cannot be reached, StoreError if it refuses.
    """

    def __init__(self, url: str) -> None:
        self._pool = Pool(url)

    def migrate(self) -> list[str]:
        """Applies missing migrations, whose names it returns, and defines the functions."""
        return apply_missing(self._pool)

    def reconcile_keys(self, proofs: Mapping[int, str], given_up: Sequence[int]) -> list[KeyTrouble]:
        """Compares keys, by their proofs, with those of the stored data; returns what is wrong. Also records
        the newest key, forgets unneeded ones, and ends seals that no erasure could find."""
        values = {"proofs": as_json(proofs), "newest": max(proofs), "given_up": list(given_up)}
        return [KeyTrouble(*row) for row in self._rows("reconcile_keys", values)]

    def unmatched_keys(self, proofs: Mapping[int, str], given_up: Sequence[int]) -> list[int]:
        """The versions of stored people's keys that are not among these keys, nor given up."""
        rows = self._rows("unmatched_keys", {"proofs": as_json(proofs), "given_up": list(given_up)})
        return [version for (version,) in rows]

    def open_run(self, request: RunRequest, contract_hash: str, key_version: int) -> OpenedRun:
        """Opens a run and takes the source's lease, or records that it was skipped. Ends expired seals."""
        self._rows("expire_seals", {})
        values = {
            **asdict(request),
            "run_id": str(uuid4()),
            "contract_hash": contract_hash,
            "key_version": key_version,
            "lease_seconds": LEASE_SECONDS,
            "queued_lease_seconds": QUEUED_LEASE_SECONDS,
        }
        return OpenedRun(*self._rows("open_run", values)[0])

    def load_page(self, load: PageLoad) -> Loaded | None:
        """Loads a page, all or nothing, together with its counts in the ledger. None if it was loaded before.

        Raises LeaseLost, StopRequested, KeysOvertaken or SealsGone, and then writes nothing.
        """
        values = {
            "run_id": load.run_id,
            "page": load.page,
            "fetched": load.fetched,
            "total": load.total,
            "custom": None,
            **load.columns,
            "rejects": as_json(load.rejects),
            "duplicate": load.duplicate,
            "filtered": load.filtered,
            "gone": list(load.gone),
            "key": as_json(load.key),
            "key_version": load.key.version,
            "seal_days": load.seal_days,
            "unknown_fields": load.unknown_fields,
            "withheld": load.withheld,
            "filled": as_json(load.filled),
            "replay_of": load.replay.run_id if load.replay else None,
            "replayed": list(load.replay.positions) if load.replay else [],
            "sealed_at": load.replay.sealed_at if load.replay else None,
        }
        if rows := self._rows("load_page", values):
            *counts, new, changed = rows[0]
            return Loaded(*counts, dict.fromkeys(new.split(), 1) | changed)  # type: ignore[call-arg]
        reason = self._rows("why_not_loaded", values)[0][0]
        if reason != "loaded":
            raise _NOT_LOADED[reason]("load_page")
        return None

    def claim_page(self, run_id: str, page: int, contract_hash: str, key_version: int) -> bool:
        """Whether a page of a queued run needs work; if so, renews the lease and reopens an ended run."""
        values = {"run_id": run_id, "page": page, "contract_hash": contract_hash, "key_version": key_version}
        return bool(self._rows("claim_page", values))

    def fail_page(self, run_id: str, page: int, error: str) -> None:
        """Records that a page of a queued run was given up."""
        self._rows("fail_page", {"run_id": run_id, "page": page, "error": error})

    def finish_page(self, run_id: str, timings: Mapping[str, float]) -> Counts | None:
        """Adds a queued page's timings; ends the run if it was the last. None if the run is not running."""
        rows = self._rows("finish_page", {"run_id": run_id, "timings": as_json(timings)})
        return Counts(*rows[0]) if rows else None

    def note_rejects(
        self, run_id: str, page: int, rejects: Sequence[RejectRow], key: KeyInUse, seal_days: int = 0
    ) -> None:
        """Stores the rejects of a page that is not loaded. Raises KeysOvertaken, and then stores nothing."""
        values = {"run_id": run_id, "page": page, "rejects": as_json(rejects), "seal_days": seal_days}
        if self._rows("note_rejects", values | {"key": as_json(key)})[0][0]:
            raise KeysOvertaken("note_rejects")

    def sealed_pages(self, run_id: str) -> list[int]:
        """The pages of a run from which the quarantine holds records."""
        return [page for (page,) in self._rows("sealed_pages", {"run_id": run_id})]

    def sealed_rejects(self, run_id: str, page: int) -> list[SealedReject]:
        """The quarantined records of a page, in the order of the source."""
        rows = self._rows("sealed_rejects", {"run_id": run_id, "page": page})
        return [SealedReject(position, bytes(sealed), sealed_at) for position, sealed, sealed_at in rows]

    def finish_run(self, run_id: str, ending: Ending) -> Counts | None:
        """Ends a run; None if it had ended otherwise. A partial run without a loaded page becomes failed."""
        values = asdict(ending) | {"run_id": run_id, "timings": as_json(ending.timings)}
        rows = self._rows("finish_run", values)
        return Counts(*rows[0]) if rows else None

    def remove_departed(self, run_id: str, days: int) -> tuple[int, list[str]]:
        """After a complete run over everybody, deletes some of those whom none has met for so many days.
        Returns how many the run has deleted so far, and the uids of these, also if an answer got lost."""
        values = {"run_id": run_id, "days": days}
        values["uids"] = uids = [uid for (uid,) in self._rows("departed", values)]
        return next(iter(self._rows("remove_departed", values)), (0,))[0], uids

    def stop_run(self, run_id: str) -> Run | None:
        """Ends a run if it is in progress; returns it as it is then, or None. Its loaded pages stay."""
        self._rows("stop_run", {"run_id": run_id})
        return self.get_run(run_id)

    def get_user(self, uid: str) -> bytes | None:
        """The JSON body of one person, or None."""
        found = self._rows("user", {"uid": uid})[0][0]
        return encode(read_user(found)) if found else None

    def list_users(self, limit: int, after: str | None, filters: Mapping[str, Any]) -> list[UserView]:
        """People in the order of their uid, after the given one.

        ``filters`` are those of ``users.sql``: the text for a kept column, the tokens for a tokenised one.
        """
        known = set(re.findall(r"%\((\w+)\)s", sql("users")))
        if unknown := filters.keys() - known:
            raise ValueError(f"users.sql has no filter {', '.join(unknown)}")  # else all people would match
        values = dict.fromkeys(known) | dict(filters) | {"limit": limit, "after": after}
        names, rows = self._ask("users", values)
        return list(user_views(dict(zip(names, zip(*rows, strict=True), strict=True)))) if rows else []

    def erase(self, uid: str, uid_tokens: Sequence[str], key: KeyInUse) -> Erased:
        """Deletes a person and remembers the first token, so that no later load brings the person back.

        ``uid_tokens`` are the uid's tokens under all known keys, newest first. Raises KeysOvertaken, and then
        erases nothing.
        """
        newest, *older = uid_tokens
        values = {"uid": uid, "uid_token": newest, "older_tokens": older, "key": as_json(key)}
        if rows := self._rows("erase", values):
            return Erased(*rows[0])
        raise KeysOvertaken("erase")

    def stats(self, given_up: Sequence[int] = ()) -> bytes:
        """The JSON body of the statistics, computed now. Erasures under given-up keys are not counted."""
        total, computed_at, counts = self._rows("stats", {"given_up": list(given_up)})[0]
        risk = risk_view(*self._rows("risk", {"few": FEW_DISTINCT, "small": SMALL_GROUP})[0])
        return encode(stats_view(total, computed_at, counts, risk))

    def list_runs(self, limit: int, after: str | None = None, status: str | None = None) -> list[Run]:
        """Runs before the given one, newest first; all of them, or those with this status."""
        values = {"run_id": None, "limit": limit, "after": after, "status": status}
        return [Run(*row) for row in self._rows("runs", values)]

    def get_run(self, run_id: str) -> Run | None:
        rows = self._rows("runs", {"run_id": run_id, "limit": 1, "after": None, "status": None})
        return Run(*rows[0]) if rows else None

    def list_rejects(self, run_id: str, limit: int, after: tuple[int, int] | None = None) -> list[RejectView]:
        """Rejects of a run in the order of the source, after the given page and position."""
        page, position = after or (None, None)
        values = {"run_id": run_id, "limit": limit, "after_page": page, "after_position": position}
        return [RejectView(*row) for row in self._rows("rejects", values)]

    def last_success_age(self) -> float | None:
        """Seconds since a run last succeeded, or None."""
        return self._rows("health", {})[0][0]  # type: ignore[no-any-return]

    def close(self) -> None:
        self._pool.close_idle()

    def _rows(self, query: str, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
        return self._ask(query, values)[1]

    def _ask(self, query: str, values: Mapping[str, Any]) -> _Result:
        execute = partial(self._execute, query, values)
        attempt = partial(self._pool.run, query, execute, _SECONDS.get(query, _READ_SECONDS))
        if query in _NEVER_RETRIED:
            return attempt()
        return retrying()(attempt) if query in _RETRIED_FOR_SECONDS else retry_once(attempt)

    def _execute(self, query: str, values: Mapping[str, Any], conn: Connection) -> _Result:
        with conn.cursor() as cursor:
            cursor.execute(sql(query), values)
            names = [column.name for column in cursor.description or ()]
            return names, cursor.fetchall() if names else []
