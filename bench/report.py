"""docs/performance.md: replaces what stands between its marks, and leaves what people wrote around them."""

from collections.abc import Mapping
from pathlib import Path

from infra.package import ROOT

PAGE, PLOT = ROOT / "docs/performance.md", ROOT / "docs/images/performance.svg"


def write(parts: Mapping[str, str], page: Path = PAGE) -> None:
    """Each part goes between `<!-- bench: name -->` and `<!-- /bench -->`. Raises KeyError without marks."""
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
