"""The data part of `make clean`: ends the processes that a killed run left behind, and removes `.local/`."""

import sys
from pathlib import Path

from local import lock, postgres, processes, valkey
from local.errors import LocalError
from local.folders import local_folder, localstack_folder, remove_tree
from local.stack import record_file


def main() -> int:
    try:
        for folder in (localstack_folder(), local_folder()):
            with lock.hold(folder, "make clean"):
                remove(folder)
    except (LocalError, OSError) as error:
        print(f"make clean: {error}.", file=sys.stderr)
        return 1
    return 0


def remove(folder: Path) -> None:
    """Ends the processes that a killed run left in the folder, then removes it. The caller holds its lock."""
    processes.end_recorded(record_file(folder))
    valkey.end_orphans(folder / "valkey")
    postgres.remove(folder / "postgres")
    remove_tree(folder)


if __name__ == "__main__":
    sys.exit(main())
