"""`python -m bench.ingest --records 10000 --page 1000 --rounds 3 --only decant,ceiling`"""

import argparse

from bench import servers
from bench.ingest import tables
from bench.ingest.contest import WAYS, contest


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.ingest", description=__doc__)
    parser.add_argument("--records", type=int, default=10_000)
    parser.add_argument("--page", type=int, default=1_000, help="records per page, at most 5,000")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default=",".join(WAYS), help=f"of {', '.join(WAYS)}")
    options = parser.parse_args()
    with servers.running() as running:
        results = contest(running, options.records, options.page, options.rounds, options.only.split(","))
    print(tables.one(results))


if __name__ == "__main__":
    main()
