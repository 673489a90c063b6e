"""Opens sealed rejects from the quarantine and validates them by today's rules."""

from datetime import date
from typing import Any, Protocol

from chalicelib.dialect import Dialect
from chalicelib.ledger import Replay, SealedReject
from chalicelib.quarantine import Quarantine
from chalicelib.validation import ValidPage, validate_records


class Store(Protocol):
    """Where sealed rejects are stored."""

    def sealed_pages(self, run_id: str) -> list[int]: ...
    def sealed_rejects(self, run_id: str, page: int) -> list[SealedReject]: ...


def validate_sealed(
    store: Store, quarantine: Quarantine, dialect: Dialect[Any], run_id: str, page: int, today: date
) -> tuple[ValidPage, Replay | None]:
    """The sealed records of one page of an earlier run, validated again.

    Records that cannot be opened stay sealed. The second value is None if there is nothing to replay.
    """
    rejects = store.sealed_rejects(run_id, page)
    records = {
        reject.position: raw
        for reject in rejects
        if (raw := quarantine.open(reject.sealed, run_id, page, reject.position)) is not None
    }
    valid = validate_records(records, dialect, today)
    return valid, Replay(run_id, list(records), rejects[0].sealed_at) if records else None
