"""Converts the measured times into Lambda costs, and shows the arithmetic."""

import json
from math import ceil

from infra.package import ROOT

# On demand, first tier, us-east-1. Chalice packages for x86_64; Decant could be packaged for arm64.
GB_SECOND = {"x86_64": 0.0000166667, "arm64": 0.0000133334}
MILLION_REQUESTS = 0.20
PRICES_OF = "May 2026"
_MILLION = 1_000_000
_WHOLE_CPU_MB = 1_769  # Lambda allots CPU in proportion to memory: one whole vCPU at this size


def markdown(records_per_second: float, page_size: int, hot_seconds: float, miss_seconds: float) -> str:
    """Markdown prose and arithmetic. Assumes that a vCPU is as fast as a core of this machine."""
    ingest, api = _memory_mb("ingest"), _memory_mb("api_handler")
    seconds = _MILLION / records_per_second * max(1.0, _WHOLE_CPU_MB / ingest)
    lines = [
        f"List prices of {PRICES_OF} in us-east-1, on demand, without the free tier: "
        f"{_of_both('${:.10f} a GB-second on {}')}; ${MILLION_REQUESTS:.2f} a million requests. "
        "The memory of each function is that of stage `prod` in `.chalice/config.json`.",
        "",
        f"- **A million records ingested**, in pages of {page_size:,}, by `ingest` with {ingest:,} MB: "
        f"1,000,000 / {records_per_second:,.0f} a second = {seconds:,.1f} s; "
        f"{_money(seconds, ingest)}. Waiting for the source comes on top, and is billed too.",
        *(
            f"- **A million reads**, {which}, by `api_handler` with {api:,} MB, "
            f"{api / _WHOLE_CPU_MB:.2f} of a vCPU: {_read(taken, api)}"
            for which, taken in (("all in Redis", hot_seconds), ("none in Redis", miss_seconds))
        ),
    ]
    return "\n".join(lines)


def _read(seconds: float, memory_mb: int) -> str:
    scaled = seconds * max(1.0, _WHOLE_CPU_MB / memory_mb)
    billed_ms = ceil(scaled * 1_000)
    return (
        f"{scaled * 1_000:.2f} ms, billed as {billed_ms} ms; 1,000,000 × {billed_ms} ms = "
        f"{billed_ms * 1_000:,} s; {_money(billed_ms * 1_000, memory_mb)} of time, "
        f"and ${MILLION_REQUESTS:.2f} of requests."
    )


def _money(seconds: float, memory_mb: int) -> str:
    gb_seconds = seconds * memory_mb / 1_024
    prices = " or ".join(f"${gb_seconds * price:.4f} ({name})" for name, price in GB_SECOND.items())
    return f"× {memory_mb:,} MB = {gb_seconds:,.1f} GB-s; **{prices}**"


def _of_both(words: str) -> str:
    return ", ".join(words.format(price, name) for name, price in GB_SECOND.items())


def _memory_mb(function: str) -> int:
    config = json.loads((ROOT / ".chalice/config.json").read_text(encoding="utf-8"))
    return int(config["stages"]["prod"]["lambda_functions"][function]["lambda_memory_size"])
