"""Keeps values that identify somebody out of texts that are stored as they are. Pure.

A name in such a text cannot be recognised, an e-mail address or a long number can.
"""

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from chalicelib.privacy import TREATMENT_OF

_KEPT = [column for column, treatment in TREATMENT_OF.items() if treatment == "keep" and column != "uid"]

_ADDRESS = re.compile(r"[^\s@]@[^\s@]")
# Nine digits, as phone, insurance and card numbers have, but dates do not; separators do not count.
_NUMBER = re.compile(r"\d(?:[ \t\u00a0\u2009\u202f().,\-/_\u2010-\u2015]{0,3}\d){8}")


def withhold(columns: Mapping[str, list[Any]]) -> tuple[dict[str, list[Any]], Counter[str]]:
    """The columns with None in place of each kept text that holds such a value, and how many, by column."""
    cleared, withheld = dict(columns), Counter[str]()
    for name in _KEPT:
        texts = [value for value in set(columns[name]) if type(value) is str]
        if not _is_identifying("\n".join(texts)):
            continue
        identifying = set(filter(_is_identifying, texts))
        withheld[name] = sum(value in identifying for value in columns[name])
        cleared[name] = [None if value in identifying else value for value in columns[name]]
    return cleared, withheld


def _is_identifying(text: str) -> bool:
    return bool(("@" in text and _ADDRESS.search(text)) or _NUMBER.search(text))
