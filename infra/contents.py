"""The contents of the package: checks, prunes and compiles an unpacked one. Independent of Chalice."""

import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution, distributions
from pathlib import Path, PurePosixPath
from shutil import rmtree

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from infra.errors import PackageError

IN_LAMBDA = "/var/task"

# Files that no Lambda opens, as globs below the package's root. Licences stay, and so does METADATA, which
# importlib.metadata reads. Nothing listed here may be used by any code that Decant reaches.
UNUSED = (
    *("**/__pycache__", "*.data", "bin"),
    *("*.dist-info/RECORD", "*.dist-info/WHEEL", "*.dist-info/INSTALLER", "*.dist-info/sboms"),
    *("**/*.pyi", "**/*.pyx", "**/*.pxd", "**/*.pxi", "**/*.h", "**/*.a"),  # for compilers and type checkers
    *("numpy/**/tests", "pandas/tests", "numpy/conftest.py", "pandas/conftest.py"),
    *("numpy/f2py", "numpy/_pyinstaller"),  # helpers for a Fortran compiler and a packager
    *("numpy/testing", "numpy/_core/_simd.*", "numpy/_core/*_tests.*"),  # for the tests of numpy and others
    *("numpy/fft", "numpy/polynomial", "pandas/plotting/_matplotlib"),  # loaded only on use
    *("cffi", "pycparser"),  # for a C compiler; cryptography needs only _cffi_backend
    "tzdata",  # no time zone other than UTC is used
)


def missing(folder: Path, requirements: Path) -> list[str]:
    """The direct and transitive requirements that the folder does not hold in a suitable version."""
    installed = {canonicalize_name(found.name): found for found in distributions(path=[str(folder)])}
    wanted, seen, lacking = _requirements(requirements), set[str](), set[str]()
    while wanted:
        requirement = wanted.pop()
        if str(requirement) in seen:
            continue
        seen.add(str(requirement))
        found = installed.get(canonicalize_name(requirement.name))
        if found is None or not requirement.specifier.contains(found.version, prereleases=True):
            lacking.add(str(requirement))
        else:
            wanted += _required_by(found, requirement.extras)
    return sorted(lacking)


def importable_names(folder: Path) -> list[str]:
    """The top-level modules that stay of every distribution. Reads the RECORDs, so call it before pruning."""
    found = distributions(path=[str(folder)])
    return sorted({name for one in found for name in _modules(one)} - set(UNUSED))


def prune(folder: Path) -> None:
    for pattern in UNUSED:
        for path in sorted(folder.glob(pattern), reverse=True):
            if path.is_dir():
                rmtree(path)
            else:
                path.unlink()


def compile_sources(folder: Path) -> None:
    """Writes bytecode beside every source. A Lambda cannot write any, so without it each cold start compiles
    everything again. It is unchecked, so that timestamps of the unpacked files cannot invalidate it.
    """
    mode = ("--invalidation-mode", "unchecked-hash", "-f", "-q")
    where = ("-s", str(folder), "-p", IN_LAMBDA, str(folder))
    done = _python("-I", "-m", "compileall", *mode, *where)
    if done.returncode:
        raise PackageError(f"a source file does not compile: {_last_line(done.stdout)}")


def check_imports(folder: Path, names: Iterable[str]) -> None:
    """Imports each name in an interpreter that has only the folder and the standard library."""
    script = f"import sys; sys.path.insert(0, {str(folder)!r}); import {', '.join(names)}"
    done = _python("-I", "-S", "-B", "-c", script)
    if done.returncode:
        raise PackageError(f"the package cannot be imported: {_last_line(done.stderr)}")


def _python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def _last_line(output: str) -> str:
    return next(iter(output.strip().splitlines()[-1:]), "no output")


def _requirements(file: Path) -> list[Requirement]:
    lines = (line.partition("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [Requirement(line) for line in lines if line]


def _required_by(found: Distribution, extras: Iterable[str]) -> Iterator[Requirement]:
    for requirement in map(Requirement, found.requires or ()):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            yield requirement


def _modules(found: Distribution) -> Iterator[str]:
    for file in map(PurePosixPath, found.files or ()):
        name = file.name.partition(".")[0]
        if len(file.parts) == 1 and file.suffix in {".py", ".so"}:
            yield name
        elif len(file.parts) == 2 and file.name == "__init__.py":
            yield file.parts[0]
