"""The entry point of Decant's containers: makes the keys and passwords, or runs a program with them.

The servers need their passwords but not the keys, so keys and passwords are in separate volumes.
"""

import os
import sys
from pathlib import Path

from local import keys, settings
from local.errors import LocalError
from local.folders import local_folder, make_private, write_private


def main() -> int:
    try:
        match sys.argv[1:]:
            case ["keys", passwords]:
                _make_keys(local_folder(), make_private(Path(passwords)))
            case [program, *arguments]:
                os.environ.update(settings.published(local_folder()))
                _become(program, arguments)
            case _:
                raise LocalError("usage: `keys FOLDER`, or a program and its arguments")
    except (LocalError, OSError) as error:
        print(f"{error}.", file=sys.stderr)
        return 1
    return 0


def _become(program: str, arguments: list[str]) -> None:
    try:
        os.execvp(program, [program, *arguments])  # noqa: S606 - no shell is needed
    except OSError as error:  # which does not name it
        raise LocalError(f"{program} cannot be run: {error.strerror}") from None


def _make_keys(folder: Path, passwords: Path) -> None:
    """Makes keys and passwords once. Later starts only publish them again, with what the user set since."""
    postgres, redis = (keys.password(passwords / server) for server in ("postgres", "redis"))
    write_private(passwords / "redis.conf", f"requirepass {redis}\n")
    chosen = settings.chosen()
    published = {
        **addresses(postgres, redis),
        "PII_KEYS": chosen.get("PII_KEYS") or keys.pii_keys(folder),
        "API_KEYS": chosen.get("API_KEYS") or keys.api_keys(folder),
    }
    settings.write(folder, published)
    if published["API_KEYS"] == keys.api_keys(folder):
        print(f"API key: {keys.api_key(folder)} (again: docker compose logs keys)", flush=True)


def addresses(postgres_password: str, redis_password: str) -> dict[str, str]:
    """The URLs of the servers in docker-compose.yml."""
    return {
        "DATABASE_URL": f"postgresql://postgres:{postgres_password}@postgres:5432/postgres",
        "REDIS_URL": f"redis://:{redis_password}@redis:6379/0",
    }


if __name__ == "__main__":
    sys.exit(main())
