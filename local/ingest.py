"""`make ingest`: one run now, with a progress bar and a report.

Against the configured servers, else those of a running `make run`, else ones of its own for as long as it takes.
"""

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from local import lock, settings, signals
from local.errors import AlreadyRunning, LocalError
from local.folders import local_folder
from local.stack import stand_ins

if TYPE_CHECKING:
    from chalicelib.ledger import Report

_OUTCOMES = ("inserted", "updated", "unchanged", "duplicate", "rejected", "suppressed")
_REASONS_SHOWN = 5


def main() -> int:
    options = _options()
    signals.interrupt()
    try:
        with _settings() as found:
            os.environ.update(found)
            return _ingest(options.pages, options.size)
    except signals.StopRequested:
        return 130
    except (LocalError, OSError) as error:
        print(f"make ingest: {error}.", file=sys.stderr)
        return 1
