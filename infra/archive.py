"""Reproducible zip files: the same folder gives the same bytes at any time and place. Lists contents."""

import os
from collections import Counter
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

_FILE_MODE = 0o100644 << 16


def pack(folder: Path, target: Path) -> None:
    """Packs only files, sorted by name, without their times and modes. The target is complete or absent."""
    unfinished = target.with_suffix(f".{os.getpid()}")  # two processes that pack at once do not share it
    with ZipFile(unfinished, "w") as packed:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            entry = ZipInfo(path.relative_to(folder).as_posix())  # its time is 1980, unless told otherwise
            entry.external_attr, entry.compress_type = _FILE_MODE, ZIP_DEFLATED
            packed.writestr(entry, path.read_bytes())
    unfinished.replace(target)


def sizes(archive: Path) -> tuple[Counter[str], Counter[str]]:
    """Bytes by top-level name, zipped and unzipped."""
    zipped, unzipped = Counter[str](), Counter[str]()
    with ZipFile(archive) as packed:
        for entry in packed.infolist():
            name = entry.filename.partition("/")[0].removesuffix(".libs")
            if name.endswith(".dist-info"):
                name = "(metadata, licences)"
            zipped[name] += entry.compress_size
            unzipped[name] += entry.file_size
    return zipped, unzipped


def versions(archive: Path) -> list[str]:
    """The packed distributions, as pip requirements that install exactly the same again."""
    with ZipFile(archive) as packed:
        tops = {name.partition("/")[0] for name in packed.namelist()}
    pairs = (top.removesuffix(".dist-info").split("-") for top in tops if top.endswith(".dist-info"))
    return sorted(f"{name}=={version}" for name, version in pairs)
