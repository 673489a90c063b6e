"""`chalice local`, ended by SIGTERM in order: a run that a request has started ends with the page in hand."""

import signal
import sys

from chalice import cli

from chalicelib import background


def main() -> int:
    signal.signal(signal.SIGTERM, _exit_once)
    try:
        return cli.main()
    finally:
        background.leave()


def _exit_once(*_: object) -> None:
    """systemd and the runner each send the signal: the second must not interrupt what the first has begun."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit()


if __name__ == "__main__":
    sys.exit(main())
