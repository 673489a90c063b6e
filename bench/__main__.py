"""`python -m bench` measures everything and writes docs/performance.md; `--quick` only prints the ratios."""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from bench import cold_start, cost, growth, machine, package, plot, quick, report, servers
from bench.ingest import contest as ingest
from bench.ingest import tables
from bench.placement import PLACES
from bench.read import contest as read
from bench.servers import Servers
from infra.errors import PackageError

_ROUNDS, _SHORTER = 7, 3  # a read's rounds are short, so it takes three times as many
_RECORDS, _PAGE = 10_000, 1_000  # the picture and the costs show this ingest

# Which ways load what. Decant and the ceiling alone take other page sizes; large loads omit the slowest ways.
# With one page, a commit for each page is no different.
_PAGED, _ONCE = ("decant", "decant-again", "ceiling"), ("decant", "ceiling")
_INGESTS: dict[tuple[int, int], Sequence[str]] = {
    (1_000, 1_000): [way for way in ingest.WAYS if way != "dlt-pages"],
    (10_000, 1_000): list(ingest.WAYS),
    (100_000, 1_000): [way for way in ingest.WAYS if way not in ("tutorial", "dlt-pages")],
    (1_000, 100): _PAGED,
    (10_000, 100): _PAGED,
    (10_000, 5_000): _PAGED,
    (100_000, 100): _ONCE,
    (100_000, 5_000): _ONCE,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the ratios, in two to three minutes")
    parser.add_argument("--rounds", type=int, default=_ROUNDS)
    options = parser.parse_args()
    with servers.running() as running:
        if options.quick:
            print(quick.ratios(running))
            return 0
        try:
            _measure(running, options.rounds)
        except PackageError as error:
            print(f"make bench: {error}", file=sys.stderr)
            return 1
    return 0


def _measure(running: Servers, rounds: int) -> None:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="decant-bench-") as scratch, package.unpacked() as built:
        parts = {"package": _printed(package.markdown(built))}
        parts["cold-start"] = _printed(
            cold_start.markdown(cold_start.starts(running, built, Path(scratch), rounds))
        )
    loads = {(records, page): _load(running, records, page, rounds) for records, page in _INGESTS}
    parts["ingest"], parts["pages"] = tables.by_records(loads, _PAGE), tables.by_pages(loads)
    reads = read.contests(running, _SHORTER * rounds)
    parts["read"] = _printed("\n\n".join(map(read.markdown, reads)))
    rates = {result.way: result.rate for result in loads[_RECORDS, _PAGE]}
    parts["steps"] = tables.steps(next(one for one in loads[_RECORDS, _PAGE] if one.way == "decant"))
    hot, miss = (contest.turns[PLACES[-1]]["decant"].median for contest in reads[:2])
    parts["cost"] = _printed(cost.markdown(rates["decant"], _PAGE, hot, miss))
    parts["picture"] = plot.PICTURE
    plot.draw(report.PLOT, {ingest.NAMES[way]: rate for way, rate in rates.items()}, _hot(reads[0]))
    parts["growth"] = _printed(growth.markdown(growth.stages(running, growth.SIZES)))
    parts["machine"] = _printed(machine.markdown(running, rounds, time.monotonic() - started))
    report.write(parts)


def _load(running: Servers, records: int, page_size: int, rounds: int) -> list[ingest.Result]:
    ways = _INGESTS[records, page_size]
    results = ingest.contest(running, records, page_size, rounds, ways)
    _printed(f"{records:,} records in pages of {page_size:,}:\n\n{tables.one(results)}")
    return results


def _printed(part: str) -> str:
    """Prints a part as progress, and returns it."""
    print(part, end="\n\n", flush=True)
    return part


def _hot(contest: read.Contest) -> dict[str, float]:
    turns = {read.NAMES[name]: turns.median * 1e6 for name, turns in contest.turns[PLACES[0]].items()}
    del turns[read.NAMES["authorizer"]]
    return turns


if __name__ == "__main__":
    sys.exit(main())
