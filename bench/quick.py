"""The ratios that the project has promised, measured in a minute or two: for a look, not for the record."""

from collections.abc import Iterator

from bench.ingest.contest import contest
from bench.read.contest import contests
from bench.servers import Servers

_WAYS = ("dlt", "by-hand", "decant", "decant-again", "ceiling")
_ROUNDS = 3


def ratios(servers: Servers) -> str:
    """A table for people."""
    found = (*_ingest(servers), *_read(servers))
    lines = [f"| {what} | {now:.2f} | {wanted} |" for what, now, wanted in found]
    return "\n".join(["| ratio | now | wanted |", "|---|---:|---:|", *lines])


def _ingest(servers: Servers) -> Iterator[tuple[str, float, str]]:
    rates = {found.way: found.rate for found in contest(servers, 10_000, 1_000, _ROUNDS, _WAYS)}
    ours = rates["decant"]
    yield "ingest: Decant to the ceiling", ours / rates["ceiling"], "≥ 0.5"
    yield "ingest: Decant to dlt's merge", ours / rates["dlt"], "≥ 5"
    yield "ingest: Decant to the hand-written upsert", ours / rates["by-hand"], "≥ 2.5"
    yield "ingest: the same pages again to the first load", rates["decant-again"] / ours, "≥ 1"


def _read(servers: Servers) -> Iterator[tuple[str, float, str]]:
    hot, miss, _ = contests(servers, _ROUNDS, calls=200)
    yield "hot read: Decant to the bare pooled GET", hot.ratio("decant"), "≤ 1.8"
    yield "hot read: Decant to FastAPI + Mangum", hot.ratio("decant", "fastapi"), "≤ 0.5"
    yield "miss: Decant to the bare SELECT in a transaction", miss.ratio("decant"), "≤ 1.5"
