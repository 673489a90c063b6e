"""A long backfill needs no more memory than a short one."""

import os
import subprocess
import sys

from tests.integration.api_support import ROOT

PAGES, SIZE, WARM = 300, 20, 100

BACKFILL = f"""
import psutil
from chalicelib import runs

process = psutil.Process()
report = runs.run_ingest("backfill", {PAGES}, {SIZE}, lambda *_: print(process.memory_info().rss))
assert report.status == "succeeded", report.error
"""


def test_memory_does_not_grow_with_the_number_of_pages(app_environment):
    """Keeping one kilobyte per record would add up to four megabytes."""
    program = [sys.executable, "-c", BACKFILL]
    done = subprocess.run(program, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, text=True, check=True)

    resident = list(map(int, done.stdout.split()))
    assert len(resident) == PAGES
    assert max(resident[WARM:]) - resident[WARM] < 1_000_000
