"""The result of `make package`, unpacked as in a Lambda, and its sizes."""

import contextlib
import io
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from zipfile import ZipFile

from infra import archive, package

_SHOWN = 12


@dataclass(frozen=True)
class Package:
    """The unpacked package, the versions pinned in it, and its bytes by top-level name."""

    folder: Path
    pins: Path
    zipped: Counter[str] = field(repr=False)
    unzipped: Counter[str] = field(repr=False)


@contextlib.contextmanager
def unpacked() -> Iterator[Package]:
    """Raises PackageError, for example under a Python version other than the Lambdas'."""
    with tempfile.TemporaryDirectory(prefix="decant-bench-package-") as scratch:
        target = Path(scratch, "built")
        with contextlib.redirect_stdout(io.StringIO()):
            package.build("prod", target)
        folder = Path(scratch, "task")
        with ZipFile(target / "deployment.zip") as packed:
            packed.extractall(folder)
        zipped, unzipped = archive.sizes(target / "deployment.zip")
        yield Package(folder, target / "packages.txt", zipped, unzipped)


def markdown(built: Package) -> str:
    """A Markdown table: the largest parts by name, the rest as one row."""
    rows = [(name, built.zipped[name], size) for name, size in built.unzipped.most_common(_SHOWN)]
    shown = {name for name, *_ in rows}
    total = built.zipped.total(), built.unzipped.total()
    small, large = (sum(sizes[name] for name in shown) for sizes in (built.zipped, built.unzipped))
    rows += [("the rest", total[0] - small, total[1] - large), ("**all**", *total)]
    lines = [f"| {name} | {zipped / 1e6:.1f} | {unzipped / 1e6:.1f} |" for name, zipped, unzipped in rows]
    return "\n".join(["| part of the package, MB | zipped | unzipped |", "|---|---:|---:|", *lines])
