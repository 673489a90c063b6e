"""The spellings that a value may have by the time it appears where it should not.

They are meant for a search that ignores the case of ASCII letters.
"""

import base64
import hashlib
import html
import json
import re
import unicodedata
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

SHORTEST = 6  # bytes: shorter needles would be found by chance
_FEWEST_DIGITS = 9
_DIGEST_LETTERS = 12  # digests are often truncated; this length rules out chance
_HASHES = ("md5", "sha1", "sha256", "sha512", "blake2b")


def spellings(text: str) -> Iterator[tuple[str, bytes]]:
    """The name of each spelling, and the bytes to search for."""
    for form in _forms(text):
        yield from _worded(form)
        yield from encoded(form)
    yield from hashed(text)
    digits = re.sub(r"\D", "", text)
    if len(digits) >= _FEWEST_DIGITS and digits != text:
        yield from (("its digits", needle) for _, needle in encoded(digits))
        yield from hashed(digits)
    if day := re.match(r"(\d{4})-(\d\d)-(\d\d)", text):
        yield from _of_a_day(*day.groups())
    elif re.fullmatch(r"-\d+\.\d{4,}", text):
        yield "to a hundredth", text[: text.index(".") + 3].encode()


def encoded(text: str) -> Iterator[tuple[str, bytes]]:
    """Encodings that change even ASCII letters."""
    raw = text.encode()
    yield "as it is", raw
    yield "UTF-16", text.encode("utf-16-le")
    yield "hex", raw.hex().encode()
    for before in range(3):
        yield from (("base64", needle) for needle in _base64_within(raw, before))


def hashed(text: str) -> Iterator[tuple[str, bytes]]:
    """Unkeyed hashes do not hide values with few possibilities, as all of them can be tried."""
    for form in {text, text.lower()}:
        for name in _HASHES:
            digest = hashlib.new(name, form.encode(), usedforsecurity=False).digest()
            yield name, digest.hex()[:_DIGEST_LETTERS].encode()
            yield name, base64.b64encode(digest)[:_DIGEST_LETTERS]
            yield name, base64.urlsafe_b64encode(digest)[:_DIGEST_LETTERS]


def _forms(text: str) -> set[str]:
    """The forms in other cases and normalisations. Case matters before encoding, and beyond ASCII."""
    cases = {text, text.lower(), text.upper(), text.title()}
    return {unicodedata.normalize(form, case) for form in ("NFC", "NFD") for case in cases}


def _worded(text: str) -> Iterator[tuple[str, bytes]]:
    yield "JSON", json.dumps(text)[1:-1].encode()
    yield "Python", ascii(text)[1:-1].encode()
    yield "Python bytes", repr(text.encode())[2:-1].encode()
    yield "a URL", quote(text, safe="").encode()
    yield "a form", quote_plus(text).encode()
    yield "HTML", html.escape(text).encode()


def _base64_within(raw: bytes, before: int) -> set[bytes]:
    """Inside longer data: after ``before`` bytes, and without the letters that are shared with neighbours."""
    padded = bytes(before) + raw
    first = (0, 2, 3)[before]
    last = len(padded) * 8 // 6
    return {encode(padded)[first:last] for encode in (base64.b64encode, base64.urlsafe_b64encode)}


def _of_a_day(year: str, month: str, day: str) -> Iterator[tuple[str, bytes]]:
    for name, text in (
        ("a day", f"{year}-{month}-{day}"),
        ("a day", f"{year}/{month}/{day}"),
        ("a day", f"{day}/{month}/{year}"),
        ("a day", f"{month}/{day}/{year}"),
        ("a day", f"{day}.{month}.{year}"),
        ("a day of Python", f"({int(year)}, {int(month)}, {int(day)}"),
    ):
        yield name, text.encode()
