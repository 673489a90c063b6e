"""How a run begins: it enters the ledger, takes the lease, and checks the keys against what is stored."""

import logging
from collections.abc import Mapping
from dataclasses import asdict
from typing import Protocol

from chalicelib.custom import Treatment
from chalicelib.errors import ConfigError, Stopped, StoreError
from chalicelib.ledger import Counts, Ending, OpenedRun, RunRequest
from chalicelib.privacy import KeyLedger, Tokeniser, contract_hash, refuse_wrong_keys
from chalicelib.report import Reading, Report

_log = logging.getLogger("decant.opening")


class Ledger(KeyLedger, Protocol):
    """Where runs are recorded."""

    def open_run(self, request: RunRequest, contract_hash: str, key_version: int) -> OpenedRun: ...
    def finish_run(self, run_id: str, ending: Ending) -> Counts | None: ...


def open_run(
    ledger: Ledger, tokeniser: Tokeniser, request: RunRequest, custom_fields: Mapping[str, Treatment]
) -> Report:
    """Enters a run into the ledger. Its status is ``running``; ``skipped`` if another run of the source holds
    the lease; ``failed`` if the keys do not fit what is stored, or cannot be checked. Stopped is recorded as
    ``failed`` too, and raised."""
    opened = asdict(ledger.open_run(request, contract_hash(custom_fields), tokeniser.version))
    reading = Reading(sealed_cursor=opened.pop("sealed_cursor"))
    report = Report(**opened, is_replay=request.replay_of is not None, reading=reading)
    if report.status != "running":
        return report
    try:
        refuse_wrong_keys(ledger, tokeniser)
    except (ConfigError, StoreError, Stopped) as error:
        report.status, report.error = "failed", str(error)
        _log.error("run %s: %s", report.run_id, error)
        ledger.finish_run(report.run_id, Ending("failed", report.error))
        if isinstance(error, Stopped):
            raise
    return report
