"""`chalice local`, ended by SIGTERM in order: a run that a request has started ends with the page in hand."""

import signal
import sys

from chalice import cli

from chalicelib import background


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    try:
        return cli.main()
    finally:
        background.leave()


if __name__ == "__main__":
    sys.exit(main())
