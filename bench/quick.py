"""Measures the ratios that the project aims at, from few rounds: for a quick look, not for the record."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

from bench import package
from bench.cold_start import starts
from bench.ingest.contest import contest
from bench.placement import PLACES
from bench.read.contest import contests
from bench.servers import Servers
from infra.errors import PackageError

_WAYS = ("dlt", "dlt-complete", "by-hand", "decant", "decant-again", "ceiling")
_ROUNDS = 3

Ratio = tuple[str, float, str]  # its name, its value, and the value wanted


def ratios(servers: Servers) -> str:
    """A Markdown table."""
    found = (*_ingest(servers), *_cold(servers), *_read(servers))
    lines = [f"| {what} | {now:.2f} | {wanted} |" for what, now, wanted in found]
    return "\n".join(["| ratio | now | wanted |", "|---|---:|---:|", *lines])


def _ingest(servers: Servers) -> Iterator[Ratio]:
    found = {result.way: result for result in contest(servers, 10_000, 1_000, _ROUNDS, _WAYS)}
    decant, again = found["decant"], found["decant-again"]
    raw, complete = found["dlt"], found["dlt-complete"]
    yield "ingest: Decant to the ceiling", decant.times_as_fast_as(found["ceiling"]), "≥ 0.5"
    yield "ingest: Decant to dlt's merge with HMACs and cache", decant.times_as_fast_as(complete), "≥ 5"
    yield "ingest: Decant to dlt's merge of raw values, no cache", decant.times_as_fast_as(raw), "≥ 5"
    yield "ingest: Decant to the hand-written upsert", decant.times_as_fast_as(found["by-hand"]), "≥ 2.5"
    yield "ingest: the same pages again to the first load", again.times_as_fast_as(decant), "≥ 1"


def _cold(servers: Servers) -> Iterator[Ratio]:
    """Yields nothing under a Python version other than the Lambdas'."""
    try:
        with tempfile.TemporaryDirectory(prefix="decant-bench-") as scratch, package.unpacked() as built:
            found = starts(servers, built, Path(scratch), _ROUNDS, ["decant", "chalice"])
    except PackageError as error:
        print(f"No cold starts: {error}.")
        return
    ratio = found["decant", True].ratio_to(found["chalice", True])
    yield "cold start: Decant to Chalice with redis and psycopg2, with bytecode", ratio, "≤ 1.25"


def _read(servers: Servers) -> Iterator[Ratio]:
    hot, miss = contests(servers, 2 * _ROUNDS, names=("decant", "fastapi"), titles=("hot", "miss"))
    for on in PLACES:
        yield f"hot read, {on}: Decant to the bare pooled GET", hot.ratio(on, "decant"), "≤ 1.8"
        yield f"hot read, {on}: Decant to FastAPI + Mangum", hot.ratio(on, "decant", "fastapi"), "≤ 0.5"
        yield f"miss, {on}: Decant to the bare SELECT in a transaction", miss.ratio(on, "decant"), "≤ 1.5"
