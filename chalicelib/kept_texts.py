"""Keeps values that identify somebody out of texts that are stored as they are. Pure.

A name in such a text cannot be recognised, an e-mail address or a long number can.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from chalicelib.privacy import TREATMENT_OF

_KEPT = [column for column, treatment in TREATMENT_OF.items() if treatment == "keep" and column != "uid"]

# An e-mail address; or nine digits, as phone, insurance and card numbers have, but dates do not.
_IDENTIFYING = re.compile(r"[^\s@]@[^\s@]|\d(?:[ ().\-/]{0,2}\d){8}")


def withhold(columns: Mapping[str, list[Any]]) -> tuple[dict[str, list[Any]], Counter[str]]:
    """The columns with None in place of each kept text that holds such a value, and how many, by column."""
    cleared, withheld = dict(columns), Counter[str]()
    for name in _KEPT:
        texts = {value for value in columns[name] if type(value) is str}
        if not _IDENTIFYING.search("\n".join(texts)):
            continue
        identifying = set(filter(_IDENTIFYING.search, texts))
        withheld[name] = sum(value in identifying for value in columns[name])
        cleared[name] = [None if value in identifying else value for value in columns[name]]
    return cleared, withheld
