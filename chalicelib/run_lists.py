"""The ledger, a page at a time. The store is passed in as an argument; a cursor says where its page ended."""

from typing import Protocol

from chalicelib.errors import RequestError
from chalicelib.forms import Rejects, Runs
from chalicelib.views import RejectList, RejectView, Run, RunList


class Store(Protocol):
    """Where the ledger is kept."""

    def get_run(self, run_id: str) -> Run | None: ...
    def list_runs(self, limit: int, after: str | None, status: str | None) -> list[Run]: ...
    def list_rejects(self, run_id: str, limit: int, after: tuple[int, int] | None) -> list[RejectView]: ...


def run_list(store: Store, query: Runs) -> RunList:
    """Runs, newest first. Raises RequestError if the cursor names no run."""
    if query.cursor and store.get_run(query.cursor) is None:
        raise RequestError(404, "No such page", "the cursor is not valid")
    found = store.list_runs(query.limit + 1, query.cursor or None, query.status or None)
    items = found[: query.limit]
    return RunList(items, items[-1].run_id if len(found) > len(items) else None)


def reject_list(store: Store, run_id: str, query: Rejects) -> RejectList:
    """The records that a run did not load, in source order. Raises RequestError if there is no such run."""
    if store.get_run(run_id) is None:
        raise RequestError(404, "Not found")
    page, _, position = (query.cursor or "").partition("-")
    found = store.list_rejects(run_id, query.limit + 1, (int(page), int(position)) if page else None)
    items = found[: query.limit]
    more = len(found) > len(items)
    return RejectList(items, f"{items[-1].page}-{items[-1].position}" if more else None)
