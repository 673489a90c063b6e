"""What a Lambda can import besides its zip: AWS's runtime client and boto3, nothing else of LocalStack's."""

import importlib.metadata
import re
from collections.abc import Iterator
from pathlib import Path

_WANTED = ("awslambdaric", "boto3")


def link_into(folder: Path) -> None:
    """Fills the folder with links to the packages as they are installed with LocalStack."""
    folder.mkdir(parents=True, exist_ok=True)
    for distribution in _with_requirements(*_WANTED):
        for entry in _top_level(distribution):
            link = folder / entry
            link.unlink(missing_ok=True)
            link.symlink_to(Path(str(distribution.locate_file(entry))).resolve())


def _with_requirements(*names: str) -> Iterator[importlib.metadata.Distribution]:
    wanted, seen = list(names), set[str]()
    while wanted:
        name = wanted.pop()
        if name not in seen:
            seen.add(name)
            distribution = importlib.metadata.distribution(name)
            yield distribution
            wanted += [
                re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
                for requirement in distribution.requires or ()
                if "extra ==" not in requirement
            ]


def _top_level(distribution: importlib.metadata.Distribution) -> set[str]:
    """Names directly below site-packages, without files elsewhere, such as scripts."""
    return {file.parts[0] for file in distribution.files or ()} - {"..", "__pycache__"}
