"""Memory used by a long backfill: `python -m bench.memory --pages 1000 --size 1000`.

A child process works all pages, from the stand-in user API through the real pipeline into servers of its own.
With `--here`, this process works them, with the environment's settings, and prints one line per page.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import psutil

from bench import servers, settings
from chalicelib import runs
from chalicelib.ledger import Report
from local.user_api import UserApi

_TENTHS = 10


def work_here(pages: int, size: int) -> None:
    """Prints after each page: its number, the records so far, and the resident memory in bytes."""
    process = psutil.Process()

    def print_progress(done: int, planned: int, report: Report) -> None:
        print(done, report.fetched, process.memory_info().rss, flush=True)

    report = runs.run_ingest("backfill", pages, size, print_progress)
    if report.status != "succeeded":
        raise SystemExit(f"the run ended {report.status}: {report.error}")


def work_in_a_process(pages: int, size: int) -> Iterator[tuple[int, int, int]]:
    """Yields the same figures, from a process that does nothing else."""
    with servers.running() as running, UserApi() as user_api:
        environment = {**os.environ, **settings.of(running), "SOURCE_URL": user_api.url("random-data-api")}
        program = [sys.executable, "-m", "bench.memory", "--here", "--pages", str(pages), "--size", str(size)]
        with subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, text=True) as working:
            for line in working.stdout or ():
                page, records, resident = map(int, line.split())
                yield page, records, resident
        if working.returncode:
            raise SystemExit(working.returncode)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--pages", type=int, default=1000)
    parser.add_argument("--size", type=int, default=1000)
    parser.add_argument("--here", action="store_true")
    options = parser.parse_args()
    if options.here:
        work_here(options.pages, options.size)
        return
    began, most = time.monotonic(), 0
    print(f"{'pages':>8} {'records':>10} {'seconds':>8} {'MB':>7} {'peak MB':>8}")
    for page, records, resident in work_in_a_process(options.pages, options.size):
        most = max(most, resident)
        if page == 1 or page * _TENTHS % options.pages < _TENTHS:
            seconds = time.monotonic() - began
            print(
                f"{page:>8,} {records:>10,} {seconds:>8.0f} {resident / 1e6:>7.1f} {most / 1e6:>8.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
