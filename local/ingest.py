"""`make ingest`, `make replay`: one run now, with a progress bar and a report.

Uses the configured servers, else those of a running `make run`, else its own, which it starts and ends.
"""

import argparse
import contextlib
import importlib
import logging
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from uuid import UUID

from tqdm import tqdm

from chalicelib import runs, telemetry, wiring
from chalicelib.errors import MADE_BY_MIGRATIONS, DecantError, Stopped, StoreError
from chalicelib.ledger import OUTCOMES, Trigger
from chalicelib.report import Report
from chalicelib.users import MAX_PAGE_SIZE, MAX_PAGES
from local import lock, output, settings, signals
from local.errors import LocalError
from local.folders import local_folder

_REASONS_SHOWN = 10
_NAMES_SHOWN = 100  # enough for a record of most APIs: whoever writes a dialect needs them all


def main() -> int:
    options = _options()
    telemetry.guard()
    signals.defer()
    try:
        with _servers(), _interruptible():
            report = _ingest(options.pages, options.size, options.replay)
    except Stopped:
        print("ingest: stopped; the pages that were loaded stay, and the ledger counts them", file=sys.stderr)
        return 130
    except (LocalError, DecantError, OSError) as error:
        text = "ingest: stopped" if signals.requested() else f"ingest: {error}{_advice(error)}"
        print(text, file=sys.stderr)
        return 1
    try:
        with output.while_read():
            print(*table(report), sep="\n")
    except OSError as error:
        print(f"ingest: the report cannot be written: {error.strerror}", file=sys.stderr)
    return 0 if report.status in ("succeeded", "skipped") else 1


def _advice(error: Exception) -> str:
    """The command that helps, if the app itself cannot know it."""
    if isinstance(error, StoreError) and error.sqlstate in MADE_BY_MIGRATIONS:
        return " `.venv/bin/python -m local.migrate` runs them"
    return ""


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m local.ingest", description="Runs one ingest now.")
    parser.add_argument("--pages", type=_at_most(MAX_PAGES), help="number of pages (default: SOURCE_PAGES)")
    parser.add_argument(
        "--size", type=_at_most(MAX_PAGE_SIZE), help="records per page (default: SOURCE_PAGE_SIZE)"
    )
    parser.add_argument(
        "--replay", type=_run_id, metavar="RUN", help="validate this run's sealed rejects again"
    )
    return parser.parse_args()


def _run_id(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError("must be the id of a run, as in make replay RUN=…") from None


def _at_most(most: int) -> Callable[[str], int]:
    def count(text: str) -> int:
        if not re.fullmatch("[0-9]{1,9}", text) or not 1 <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"must be a whole number from 1 to {most}")
        return int(text)

    return count


@contextlib.contextmanager
def _servers() -> Iterator[None]:
    """Puts the settings of the servers to use into the environment. A user who configures a database must
    configure everything: a laptop's keys and invented people must never get into that database."""
    chosen, folder = settings.chosen(), local_folder()
    published = settings.published(folder) if lock.is_held(folder) else {}
    if published and chosen.get("DATABASE_URL") in (None, published.get("DATABASE_URL")):
        os.environ.update(published | chosen)
        yield
    elif "DATABASE_URL" in chosen or "SECRET_ID" in chosen:
        os.environ.update(chosen)
        yield
    else:
        from local.stack import running_stack  # its servers' programs are not in a container's image

        with lock.hold(folder, "make ingest"), running_stack(folder, chosen) as stack:
            os.environ.update(stack.settings)
            wiring.store().migrate()
            yield


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """A signal interrupts the run at once, but neither the servers' start and stop nor an import: what a
    handler raises in the import of an extension becomes a SystemError, or nothing."""
    importlib.import_module("chalicelib.pipeline")
    importlib.import_module("chalicelib.sources.client")
    signals.interrupt()
    try:
        signals.check()
        yield
    finally:
        signals.defer()


def _ingest(pages: int | None, size: int | None, replay_of: str | None) -> Report:
    columns, rows = shutil.get_terminal_size()  # tqdm itself shows nothing if the terminal's size is unknown
    with tqdm(total=pages, unit="page", disable=None, leave=False, ncols=columns, nrows=rows) as bar:

        def on_page(planned: int, report: Report) -> None:
            bar.total = planned
            bar.set_postfix(records=report.fetched, rejected=report.rejected, refresh=False)
            bar.update(report.pages - bar.n)
            if report.has_more(planned):
                signals.check()  # a library may have caught what the handler raised

        if replay_of:
            return runs.replay(replay_of, on_page)
        trigger: Trigger = "backfill" if pages else "manual"
        return runs.run_ingest(trigger, pages, size, on_page)


def table(report: Report) -> Iterator[str]:
    """The report as lines of counts, field names and rule names, never a value."""
    speed = f", {report.fetched / report.seconds:,.0f} records/s" if report.fetched and report.seconds else ""
    name = "Replay" if report.is_replay else "Ingest"
    yield f"{name} {report.status} in {report.seconds:.2f} s{speed} (run {report.run_id})"
    if report.error:
        yield f"  error       {report.error}"
    if report.status == "skipped":
        yield "  another run of this source is in progress, or died and its lease has not expired;"
        yield "  that takes 2 minutes (30 over a queue); run `make ingest` then, or wait for the schedule"
        return
    if report.is_replay and not report.fetched:
        if not report.error:
            yield "  that run has no sealed rejects"
        return
    if report.since:
        yield f"  since       {report.since[:16]}Z, only who has changed"
    yield f"  pages       {report.pages:>9,}"
    yield f"  fetched     {report.fetched:>9,}"
    for sign, outcome in zip("=++++++", OUTCOMES, strict=True):
        yield f"  {sign} {outcome:<10}{getattr(report, outcome):>9,}"
    yield from _reasons(report)
    if report.is_replay and report.rejected:
        yield f"    those that are sealed again are under this run: make replay RUN={report.run_id}"
    yield from _removals(report)


def _removals(report: Report) -> Iterator[str]:
    if report.unknown_fields:
        named = sorted(report.unknown_names)
        more = f", and {len(named) - _NAMES_SHOWN} more" if len(named) > _NAMES_SHOWN else ""
        suffix = f": {', '.join(named[:_NAMES_SHOWN])}{more}" if named else " (their names may be values)"
        yield f"  unknown     {report.unknown_fields:>9,}  dropped, not in the dialect{suffix}"
    if report.withheld:
        where, count = ", ".join(sorted(report.withheld)), report.withheld.total()
        yield f"  withheld    {count:>9,}  held an e-mail address or a long number: {where}"
    if report.departed:
        yield f"  departed    {report.departed:>9,}  removed, the source no longer has them"


def _reasons(report: Report) -> Iterator[str]:
    reasons = sorted(report.rejects_by_rule.items(), key=lambda item: (-item[1], item[0]))
    for (path, rule), count in reasons[:_REASONS_SHOWN]:
        yield f"    {path or '(record)'}: {rule}  {count:,}"
    if len(reasons) > _REASONS_SHOWN:
        yield f"    and {len(reasons) - _REASONS_SHOWN} more reasons"


if __name__ == "__main__":
    for name in ("decant.opening", "decant.pipeline"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # their messages are in the report
    sys.exit(main())
