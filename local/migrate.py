"""Brings the schema of the configured database up to date."""

import os
import sys

from chalicelib import telemetry, wiring
from chalicelib.errors import DecantError
from local import settings
from local.errors import LocalError


def main() -> int:
    telemetry.guard()
    try:
        os.environ.update(settings.chosen())
        wiring.store().migrate()
    except KeyboardInterrupt:  # while it waits for a lock, for example
        return 130
    except (LocalError, DecantError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
