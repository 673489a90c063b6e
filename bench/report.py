"""Writes docs/performance.md: replaces the text between its marks, and keeps the prose around them."""

from collections.abc import Mapping
from pathlib import Path

from infra.package import ROOT

PAGE, PLOT = ROOT / "docs/performance.md", ROOT / "docs/images/performance.svg"


def write(parts: Mapping[str, str], page: Path = PAGE) -> None:
    """Puts each part between `<!-- bench: name -->` and `<!-- /bench -->`. Raises KeyError without them."""
    text = page.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = _replaced(text, name, part)
    page.write_text(text, encoding="utf-8")


def _replaced(text: str, name: str, part: str) -> str:
    start, end = f"<!-- bench: {name} -->\n", "<!-- /bench -->"
    before, mark, after = text.partition(start)
    if not mark or end not in after:
        raise KeyError(name)
    return f"{before}{start}{part}\n{end}{after.partition(end)[2]}"
