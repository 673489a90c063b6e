"""Fakes of a run's edges (source, store, cache), and protected people to load.

tests/integration/test_fakes.py checks that the fakes behave like the real edges.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from chalicelib import views
from chalicelib.dialect import Dialect
from chalicelib.errors import LeaseLost
from chalicelib.ledger import (
    Counts,
    Ending,
    KeyInUse,
    KeyTrouble,
    Loaded,
    OpenedRun,
    PageLoad,
    RejectRow,
    RunRequest,
    SealedReject,
)
from chalicelib.paging import Cursor
from chalicelib.prepare import columns_json
from chalicelib.privacy import Tokeniser
from chalicelib.sources import random_data_api
from chalicelib.users import Issue
from tests.keys import PII_KEY

NOON = "2026-01-31T12:00:00.000000Z"


def uid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def token(letter: str = "t", version: int = 1) -> str:
    """A string in the form of a token."""
    return f"v{version}_{letter * 24}"


def key(version: int) -> KeyInUse:
    """A key that made tokens, with its proof, for a database that has no key recorded yet."""
    return KeyInUse(version, token("k", version))


def person(number: int, **changed: Any) -> dict[str, Any]:
    """A row as the privacy room returns it."""
    return {
        "uid": uid(number),
        "first_name": token("f"),
        "last_name": token("l"),
        "username": token("u"),
        "email": token("e"),
        "phone_number": token("p"),
        "social_insurance_number": token("s"),
        "birth_year": 1970,
        "gender": "Agender",
        "employment_title": "Night Baker",
        "employment_key_skill": "Listening",
        "subscription_plan": "Basic",
        "subscription_status": "Active",
        "subscription_payment_method": "Cash",
        "subscription_term": "Annual",
        "city": "Ærøskøbing",
        "state": "Syddanmark",
        "country": "Denmark",
        "zip_prefix": "597",
        "lat": 54.9,
        "lng": 10.4,
        "street": token("a"),
    } | changed


KEY = Tokeniser({1: PII_KEY}).key_in_use  # the key that made the loads below, unless another is given


def reject(position: int, letter: str = "r") -> RejectRow:
    return RejectRow(position, (Issue("email", "format"),), token(letter))


def page_load(
    run_id: str,
    *people: Mapping[str, Any],
    page: int = 1,
    rejects: Sequence[RejectRow] = (),
    duplicates: int = 0,
    erasure_tokens: Sequence[Sequence[str]] | None = None,
    key: KeyInUse | None = None,
) -> PageLoad:
    columns = {name: [row[name] for row in people] for name in person(0)}
    if any("custom" in row for row in people):
        columns["custom"] = [row.get("custom") for row in people]
    drafts = views.user_drafts(columns)
    tokens = [[]] * len(people) if erasure_tokens is None else erasure_tokens
    written = columns_json(columns, drafts, tokens)
    return PageLoad(
        run_id=run_id,
        page=page,
        columns=written,
        drafts=drafts,
        filled={name: len(column) - column.count(None) for name, column in columns.items()},
        rejects=rejects,
        duplicate=duplicates,
        key=key or KEY,
    )


class FakeSource:
    """Returns the bodies in turn; an exception among them is raised instead."""

    name = "random-data-api http://nowhere"
    dialect: Dialect[Any] = random_data_api.DIALECT

    def __init__(self, *bodies: bytes | Exception, journal: list[str] | None = None) -> None:
        self._bodies = list(bodies)
        self._journal = journal if journal is not None else []
        self.asked: list[tuple[int, int]] = []
        self.cursors: list[Cursor | None] = []

    def fetch(self, page: int, size: int, cursor: Cursor | None = None) -> bytes:
        self._journal.append(f"fetch {page}")
        self.asked.append((page, size))
        self.cursors.append(cursor)
        body = self._bodies.pop(0)
        if isinstance(body, Exception):
            raise body
        return body


class FakeStore:
    """Keeps people and runs in dictionaries. ``failing`` maps a method to the exception that it raises."""

    def __init__(
        self, journal: list[str] | None = None, failing: Mapping[str, BaseException] | None = None
    ) -> None:
        self._journal = journal if journal is not None else []
        self._failing = failing or {}
        self.runs: dict[str, dict[str, Any]] = {}
        self.people: dict[str, tuple[str, int]] = {}  # content and version, by uid
        self.erased: set[str] = set()
        self.rejects: list[tuple[str, int, RejectRow]] = []
        self.loads: list[PageLoad] = []
        self._counts: dict[str, Counter[str]] = {}
        self.key_troubles: list[KeyTrouble] = []

    def open_run(self, request: RunRequest, contract_hash: str, key_version: int) -> OpenedRun:
        self._do("open")
        rivals = (run for run in self.runs.values() if run["source"] == request.source)
        taken = any(run["status"] == "running" for run in rivals)
        run_id, status = uid(len(self.runs) + 1), "skipped" if taken else "running"
        self.runs[run_id] = {
            "source": request.source,
            "trigger": request.trigger,
            "pages": request.pages,
            "contract_hash": contract_hash,
            "key_version": key_version,
            "status": status,
            "error": None,
            "timings": {},
        }
        names = {count.name for count in fields(Counts)} - {"status", "error"}
        self._counts[run_id] = Counter(dict.fromkeys(names, 0))
        return OpenedRun(run_id, status)

    def load_page(self, load: PageLoad) -> Loaded:
        self._do(f"load {load.page}")
        if self.runs[load.run_id]["status"] != "running":
            raise LeaseLost("load_page")
        self.loads.append(load)
        self.rejects += [(load.run_id, load.page, row) for row in load.rejects]
        versions: dict[str, int] = {}
        counts: Counter[str] = Counter()
        columns = {name: json.loads(column) for name, column in load.columns.items()}
        for row in zip(*columns.values(), strict=True):
            counts[self._upsert(dict(zip(columns, row, strict=True)), versions)] += 1
        counts |= {"rejected": len(load.rejects), "duplicate": load.duplicate, "filtered": load.filtered}
        self._counts[load.run_id].update({"pages": 1, "fetched": counts.total(), **counts})
        return Loaded(
            counts["inserted"],
            counts["updated"],
            counts["unchanged"],
            counts["suppressed"],
            len(load.rejects),
            0,
            NOON,
            versions,
        )

    def _upsert(self, row: Mapping[str, Any], versions: dict[str, int]) -> str:
        if self.erased.intersection(row["erasure_tokens"].strip("{}").split(",")):
            return "suppressed"
        content, version = self.people.get(row["uid"], ("", 0))
        if content == row["content_hash"]:
            return "unchanged"
        self.people[row["uid"]] = row["content_hash"], version + 1
        versions[row["uid"]] = version + 1
        return "updated" if version else "inserted"

    def claim_page(self, run_id: str, page: int, contract_hash: str, key_version: int) -> bool:
        raise NotImplementedError("queued runs are tested in Postgres")

    def finish_page(self, run_id: str, timings: Mapping[str, float]) -> Counts | None:
        raise NotImplementedError("queued runs are tested in Postgres")

    def reconcile_keys(self, proofs: Mapping[int, str], given_up: Sequence[int]) -> list[KeyTrouble]:
        return self.key_troubles

    def sealed_pages(self, run_id: str) -> list[int]:
        raise NotImplementedError("the quarantine is tested in Postgres")

    def sealed_rejects(self, run_id: str, page: int) -> list[SealedReject]:
        raise NotImplementedError("the quarantine is tested in Postgres")

    def remove_departed(self, run_id: str, days: int) -> tuple[int, list[str]]:
        raise NotImplementedError("retention is tested in Postgres")

    def note_rejects(
        self, run_id: str, page: int, rejects: Sequence[RejectRow], key: KeyInUse, seal_days: int = 0
    ) -> None:
        self._do(f"note {page}")
        self.rejects += [(run_id, page, row) for row in rejects]

    def finish_run(self, run_id: str, ending: Ending) -> Counts | None:
        self._do(f"finish {ending.status}")
        if self.runs[run_id]["status"] != "running":
            return None
        counts = self._counts[run_id]
        self.runs[run_id] |= asdict(ending)
        if ending.status == "partial" and not counts["pages"]:
            self.runs[run_id]["status"] = "failed"
        return Counts(self.runs[run_id]["status"], **counts, error=ending.error)

    def lose(self, run_id: str) -> None:
        """Acts as if the lease had expired and another run had noticed."""
        self.runs[run_id]["status"] = "lost"

    def _do(self, what: str) -> None:
        self._journal.append(what)
        if error := self._failing.get(what.partition(" ")[0]):
            raise error


class FakeCache:
    """Keeps bodies in a dictionary: for each person, the newest."""

    def __init__(self, journal: list[str] | None = None) -> None:
        self._journal = journal if journal is not None else []
        self.held: dict[str, tuple[bytes, int]] = {}

    def drop_users(self, uids: Sequence[str]) -> None:
        for who in uids:
            self.held.pop(who, None)

    def put_users(self, bodies: Mapping[str, bytes]) -> None:
        self._journal.append(f"put {len(bodies)}")
        for who, body in bodies.items():
            version = json.loads(body)["version"]
            if version > self.held.get(who, (b"", 0))[1]:
                self.held[who] = body, version
