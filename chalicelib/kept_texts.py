"""Keeps values that identify somebody out of what is stored as it is. Pure.

A name in such a text cannot be recognised, an e-mail address or a long number can.
"""

import re
from collections import Counter
from collections.abc import Mapping
from decimal import Decimal
from html import unescape
from typing import Any
from unicodedata import normalize
from urllib.parse import unquote

# With spaces around its sign, only if a domain follows: "Engineer @ Large" has none.
_ADDRESS = re.compile(r"[^\s@](@[^\s@]|\s*@\s*[^\s@]+\.\w)")
# Nine digits, as phone, insurance and card numbers have, but a date has not; separators do not count.
_NUMBER = re.compile(r"\d(?:[\W_]{0,3}\d){8}")
_MOST_ENCODINGS = 3  # of one text, each within the other; more do not happen by mistake


def withhold(
    columns: Mapping[str, list[Any]], treatments: Mapping[str, str]
) -> tuple[dict[str, list[Any]], Counter[str]]:
    """The columns with None in place of each kept value that identifies somebody, and how many, by column.
    Of a tuple, only the rest stays.
    """
    cleared, withheld = dict(columns), Counter[str]()
    for name, treatment in treatments.items():
        if treatment != "keep" or name == "uid":
            continue
        values = list(set(columns[name]))
        texts = [value if type(value) is str else _written(value) for value in values]
        if not _is_identifying(" x ".join(texts)):
            continue  # nearly always; a search for each text would take longer
        if rests := {value: rest for value in values if (rest := _rest(value)) != value}:
            withheld[name] = sum(value in rests for value in columns[name])
            cleared[name] = [rests.get(value, value) for value in columns[name]]
    return cleared, withheld


def _rest(value: Any) -> Any:
    if type(value) is tuple:
        return tuple(one for one in value if _rest(one) is not None) or None
    return None if _is_identifying(_written(value)) else value


def _written(value: Any) -> str:
    """A text, or all digits of a number; nothing of other values, such as a date."""
    if type(value) is str:
        return value
    if type(value) is tuple:
        return " x ".join(map(_written, value))
    return f"{Decimal(str(value)).normalize():f}" if type(value) in (int, float) else ""


def _is_identifying(text: str) -> bool:
    plain = _decoded(text) if "%" in text or "&" in text else text
    plain = plain if plain.isascii() else normalize("NFKC", plain)  # full-width digits and signs
    return bool(("@" in plain and _ADDRESS.search(plain)) or _NUMBER.search(plain))


def _decoded(text: str) -> str:
    """A text as in a URL or in HTML (``jane%40example.com``, ``&#64;``), also if encoded repeatedly."""
    for _ in range(_MOST_ENCODINGS):
        text = unescape(unquote(text))
    return text
