"""`make pii-key`: makes a new key for the tokens and prints what to do next."""

import sys

from chalicelib.config import parse_pii_keys
from chalicelib.errors import ConfigError
from local import keys, settings
from local.errors import LocalError
from local.folders import local_folder, write_private

_NONE = "{}"
_NEXT = """\
Next:
1. Let it take effect: a Lambda reads its secret again within five minutes; `make run` must be
   restarted. Then version {version} makes the tokens, and look-ups try all versions.
2. Keep the older keys. People move to the new key when the source sends them again (they count
   as updated), and so do erased people. GET /stats counts those who have not moved yet, in
   key_version and erasure_key_version.
3. When nobody is left under a version, remove its key. A run refuses to start as long as
   anybody needs it; null instead of the key removes it anyway: look-ups do not find its people
   until the source sends them again, and people erased under it can come back."""


def main() -> int:
    try:
        folder, everything = local_folder(), settings.chosen()
        chosen = everything.get("PII_KEYS")
        if "SECRET_ID" in everything:
            raise LocalError(
                "the keys are in the secret SECRET_ID; put their JSON into PII_KEYS and leave SECRET_ID out"
            )
        is_setting = bool(chosen) or "DATABASE_URL" in everything  # a database of one's own has its own keys
        known = chosen or (_NONE if is_setting else keys.pii_keys(folder))
        if known != _NONE:
            parse_pii_keys(known)
        fresh = keys.with_fresh_pii_key(known)
        if not is_setting:
            write_private(keys.pii_keys_file(folder), fresh + "\n")
    except (LocalError, ConfigError, OSError) as error:
        print(f"make pii-key: {error}.", file=sys.stderr)
        return 1
    if is_setting:
        print("The setting with all keys, for .env or the secret; keep it like a password:")
        print(f"PII_KEYS='{fresh}'")
    else:
        print(f"Added to {keys.pii_keys_file(folder)}.")
    if known != _NONE:
        print(_NEXT.format(version=max(parse_pii_keys(fresh))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
