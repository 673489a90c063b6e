"""Brings the schema of the configured database up to date."""

import sys

from chalicelib import telemetry, wiring
from chalicelib.errors import DecantError


def main() -> int:
    telemetry.guard()
    try:
        wiring.store().migrate()
    except DecantError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
