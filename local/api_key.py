"""`make api-key SCOPES=read,operate`: prints a new API key, once, and the settings with its hash."""

import argparse
import json
import sys

from chalicelib.access import SCOPES, key_hash
from chalicelib.config import parse_api_keys
from chalicelib.errors import ConfigError
from local import keys, settings
from local.errors import LocalError
from local.folders import local_folder


def main() -> int:
    try:
        scopes = _scopes()
        chosen = settings.chosen()
        known = chosen.get("API_KEYS")
        if not known:  # a database of the user's own gets no laptop's key, which has all scopes
            known = "{}" if "DATABASE_URL" in chosen else keys.api_keys(local_folder())
        all_keys = {digest: sorted(opened) for digest, opened in parse_api_keys(known).items()}
    except (LocalError, ConfigError, OSError) as error:
        print(f"make api-key: {error}.", file=sys.stderr)
        return 1
    fresh = keys.fresh_api_key()
    print(f"The key (shown once, not stored): {fresh}")
    print("The setting with this key alone, as JSON for a secret:")
    print(json.dumps({"API_KEYS": {key_hash(fresh): scopes}}))
    print("The setting with this key and all keys known here, for .env; it takes effect at the next start:")
    print(f"API_KEYS='{json.dumps({**all_keys, key_hash(fresh): scopes})}'")
    return 0


def _scopes() -> list[str]:
    parser = argparse.ArgumentParser()
    parser.add_argument("--scopes", default="read")
    scopes = sorted({scope.strip() for scope in parser.parse_args().scopes.split(",")})
    if not set(scopes) <= SCOPES:
        raise LocalError(f"SCOPES must be one or more of {', '.join(sorted(SCOPES))}, separated by commas")
    return scopes


if __name__ == "__main__":
    sys.exit(main())
