"""`python -m bench.read --rounds 3`"""

import argparse

from bench import servers
from bench.read.contest import CALLS, contests, markdown


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.read", description=__doc__)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--calls", type=int, default=CALLS, help="calls per round")
    options = parser.parse_args()
    with servers.running() as running:
        found = contests(running, options.rounds, options.calls)
    print("\n\n".join(map(markdown, found)))


if __name__ == "__main__":
    main()
