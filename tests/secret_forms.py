"""Patterns that recognise secrets in text."""

import re

FORMS = {
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "an AWS access key": r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b",
    "an AWS secret key": r"(?i)aws_?secret_?access_?key\W{1,5}[A-Za-z0-9/+]{40}\b",
    "a key of Decant's API": r"\bdecant_(?=[\w-]*[A-Z])(?=[\w-]*[a-z])[\w-]{43}\b",  # a random key has both
    "a key for tokens": r"(?<![A-Za-z0-9+/=])[A-Za-z0-9+/]{43}=(?![A-Za-z0-9+/=])",
    "a token of GitHub": r"\bgh[pousr]_[A-Za-z0-9]{36}\b|\bgithub_pat_[A-Za-z0-9_]{60,}",
    "a token of PyPI": r"\bpypi-[A-Za-z0-9_-]{50,}",
    "a password in a URL": r"\b[a-z][a-z0-9+.-]{1,20}://[^\s/:@'\"{}<>]*:[^\s/:@'\"{}<>$…]{8,}@",
}


def secrets_in(text: str) -> list[str]:
    """The line and the kind of everything that looks like a secret, without the secret itself."""
    found = [(match.start(), kind) for kind, form in FORMS.items() for match in re.finditer(form, text)]
    return [f"line {text.count(chr(10), 0, place) + 1}: {kind}" for place, kind in sorted(found)]
