"""Keeps values that identify somebody out of texts that are stored as they are. Pure.

A name in such a text cannot be recognised, an e-mail address or a long number can.
"""

import re
from collections import Counter
from collections.abc import Mapping
from html import unescape
from typing import Any
from unicodedata import normalize
from urllib.parse import unquote

from chalicelib.privacy import TREATMENT_OF

_KEPT = [column for column, treatment in TREATMENT_OF.items() if treatment == "keep" and column != "uid"]

# With spaces around its sign, only if a domain follows: "Engineer @ Large" has none.
_ADDRESS = re.compile(r"[^\s@](@[^\s@]|\s*@\s*[^\s@]+\.\w)")
# Nine digits, as phone, insurance and card numbers have, but a date has not; separators do not count.
_NUMBER = re.compile(r"\d(?:[\W_]{0,3}\d){8}")


def withhold(columns: Mapping[str, list[Any]]) -> tuple[dict[str, list[Any]], Counter[str]]:
    """The columns with None in place of each kept text that holds such a value, and how many, by column."""
    cleared, withheld = dict(columns), Counter[str]()
    for name in _KEPT:
        texts = [value for value in set(columns[name]) if type(value) is str]
        if not _is_identifying(" x ".join(texts)):
            continue  # nearly always; a search for each text would take longer
        if identifying := set(filter(_is_identifying, texts)):
            withheld[name] = sum(value in identifying for value in columns[name])
            cleared[name] = [None if value in identifying else value for value in columns[name]]
    return cleared, withheld


def _is_identifying(text: str) -> bool:
    plain = unescape(unquote(text)) if "%" in text or "&" in text else text  # jane%40example.com, &#64;
    plain = plain if plain.isascii() else normalize("NFKC", plain)  # full-width digits and signs
    return bool(("@" in plain and _ADDRESS.search(plain)) or _NUMBER.search(plain))
