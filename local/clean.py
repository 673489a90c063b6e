"""What `make clean` does about data: ends what a killed run left at work, and removes `.local/`."""

import shutil
import sys

from local import lock, postgres, processes, valkey
from local.errors import LocalError
from local.folders import local_folder
from local.stack import record_file


def main() -> int:
    try:
        folder = local_folder()
        with lock.hold(folder, "make clean"):
            processes.end_recorded(record_file(folder))
            valkey.end_orphans(folder / "valkey")
            postgres.remove(folder / "postgres")
            shutil.rmtree(folder)
    except (LocalError, OSError) as error:
        print(f"make clean: {error}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
