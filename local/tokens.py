"""`make tokens FIELD=email < values.txt`: prints the tokens of values, to join people with one's own tables.

Reads a value a line, and prints a token a line, under the newest key; an empty line for a value without one.
A uid is stored as it is, but an erasure remembers its token.
Stores nothing.
"""

import argparse
import re
import sys
from itertools import islice

from chalicelib import telemetry
from chalicelib.config import parse_pii_keys
from chalicelib.errors import ConfigError
from chalicelib.forms import UUID
from chalicelib.privacy import Tokeniser, treatments_of
from local import keys, output, settings
from local.errors import LocalError
from local.folders import local_folder

_AT_ONCE = 10_000
_NOT_UTF_8 = re.compile("[\udc80-\udcff]")  # as surrogateescape reads it


def main() -> int:
    telemetry.guard()
    try:
        parser = argparse.ArgumentParser()
        parser.add_argument("field", choices=["uid", *_tokenised_fields()])
        field = parser.parse_args().field
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="surrogateescape")  # type: ignore[union-attr]
        tokeniser = Tokeniser(parse_pii_keys(_known_keys()))
        with output.while_read():
            done = 0
            while lines := [line.removesuffix("\n") for line in islice(sys.stdin, _AT_ONCE)]:
                values = _values(field, lines, done)
                sys.stdout.writelines(f"{token or ''}\n" for token in tokeniser.tokens(field, values))
                done += len(lines)
    except KeyboardInterrupt:
        return 130
    except (LocalError, ConfigError, OSError) as error:
        print(f"make tokens: {error}.", file=sys.stderr)
        return 1
    return 0


def _values(field: str, lines: list[str], before: int) -> list[str]:
    """The lines; uids in lower case, as they are stored.

    Raises LocalError for bytes that are not UTF-8, as a spreadsheet may save them, and for what cannot be a
    uid: nobody has its token, so it would seem that a person was not erased.
    """
    values = [line.strip().lower() for line in lines] if field == "uid" else lines
    for number, value in enumerate(values, before + 1):
        if _NOT_UTF_8.search(value):
            raise LocalError(f"line {number} is not UTF-8")
        if field == "uid" and value and not re.fullmatch(UUID.pattern, value):
            raise LocalError(f"line {number} is not a uid")
    return values


def _tokenised_fields() -> list[str]:
    """Decant's, and the custom ones of the source's dialect, such as ``custom.manager``."""
    treatments = treatments_of(settings.dialect().custom)
    return [name for name, treatment in treatments.items() if treatment == "token"]


def _known_keys() -> str:
    chosen, file = settings.chosen(), keys.pii_keys_file(local_folder())
    if "SECRET_ID" in chosen and "PII_KEYS" not in chosen:
        raise LocalError("the keys are in the secret SECRET_ID; put their JSON into PII_KEYS")
    if "PII_KEYS" in chosen or "DATABASE_URL" in chosen or not file.exists():
        return chosen.get("PII_KEYS", "")
    return file.read_text(encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
