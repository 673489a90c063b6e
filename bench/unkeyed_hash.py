"""How long it takes to try all phone numbers against an unkeyed hash, on this machine and in Python.

`python -m bench.unkeyed_hash` hashes a million numbers seven times on every core. It prints the median rate
and how long each number space would take. docs/privacy.md quotes it.
"""

import hashlib
import os
import statistics
import time
from concurrent.futures import ProcessPoolExecutor

_SAMPLE, _ROUNDS = 1_000_000, 7
_SPACES = {
    "a country's eight-digit numbers (Denmark, Norway)": 10**8,
    "social insurance numbers of nine digits": 10**9,
    "ten-digit numbers of one country code (North America)": 10**10,
}


def seconds(start: int) -> float:
    """How long it takes to hash a million numbers from ``start`` on, in seconds."""
    wanted = bytes(32)
    began = time.perf_counter()
    for number in range(start, start + _SAMPLE):
        if hashlib.sha256(b"%d" % number).digest() == wanted:
            raise AssertionError("no number has this hash")
    return time.perf_counter() - began


def main() -> None:
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores) as pool:
        rounds = [list(pool.map(seconds, [4_550_000_000] * cores)) for _ in range(_ROUNDS)]
    rate = statistics.median(sum(_SAMPLE / spent for spent in spents) for spents in rounds)
    print(f"{rate:,.0f} hashes/s on {cores} cores (median of {_ROUNDS} rounds)")
    for space, size in _SPACES.items():
        print(f"{space}: {size:,} in {size / rate / 60:,.1f} min")


if __name__ == "__main__":
    main()
