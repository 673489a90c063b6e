"""The contents of a package: checked for gaps, pruned, compiled, imported, and zipped."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from infra import archive, contents
from infra.errors import PackageError


@pytest.fixture
def folder(tmp_path):
    """An unpacked package with two distributions, the first of which needs the second."""
    return distribute(
        distribute(tmp_path / "package", "alpha", "1.0", 'Requires-Dist: beta>=2; extra == "more"'),
        *("beta", "2.5", 'Requires-Dist: gamma; python_version < "3"'),
    )


def distribute(folder, name, version, *lines):
    information = folder / f"{name}-{version}.dist-info"
    information.mkdir(parents=True)
    metadata = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *lines, ""]
    (information / "METADATA").write_text("\n".join(metadata))
    (information / "RECORD").write_text(f"{name}/__init__.py,,\n{name}-{version}.dist-info/METADATA,,\n")
    (folder / name).mkdir()
    (folder / name / "__init__.py").write_text(f"NAME = {name!r}\n")
    return folder


def requirements(tmp_path, text):
    file = tmp_path / "requirements.txt"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("wanted", "lacking"),
    [
        ("alpha>=1,<2  # a comment", []),
        ("alpha[more]", []),
        ("alpha>=1.1", ["alpha>=1.1"]),
        ("Alpha\ndelta==3\n", ["delta==3"]),
    ],
)
def test_missing_requirements_are_named(folder, tmp_path, wanted, lacking):
    assert contents.missing(folder, requirements(tmp_path, wanted)) == lacking


def test_missing_indirect_requirements_are_named_too(folder, tmp_path):
    distribute(folder, "omega", "1", "Requires-Dist: beta<2", "Requires-Dist: absent")

    assert contents.missing(folder, requirements(tmp_path, "omega")) == ["absent", "beta<2"]


def test_what_a_wanted_extra_requires_is_named_too(folder, tmp_path):
    distribute(folder, "omega", "1", 'Requires-Dist: absent; extra == "more"')

    assert contents.missing(folder, requirements(tmp_path, "omega")) == []
    assert contents.missing(folder, requirements(tmp_path, "omega[more]")) == ['absent; extra == "more"']


@pytest.mark.timeout(60)
def test_distributions_may_require_each_other(folder, tmp_path):
    distribute(folder, "one", "1", "Requires-Dist: two")
    distribute(folder, "two", "1", "Requires-Dist: one")

    assert contents.missing(folder, requirements(tmp_path, "one")) == []


def test_the_modules_of_every_distribution_are_known(folder):
    files = (
        "alpha/__init__.py",
        "alpha/deep/__init__.py",
        "_alpha.cpython-313-x86_64-linux-gnu.so",
        "one.py",
        "tzdata/__init__.py",  # pruned as a whole
    )
    for file in files:
        (folder / file).parent.mkdir(exist_ok=True)
        (folder / file).touch()
    (folder / "alpha-1.0.dist-info/RECORD").write_text("".join(f"{file},,\n" for file in files))

    assert contents.importable_names(folder) == ["_alpha", "alpha", "beta", "one"]


def test_pruning_leaves_what_a_lambda_opens(folder):
    for name in (
        *("numpy/core/tests/test_a.py", "numpy/a.pyi", "numpy/a.py", "numpy/include/a.h"),
        *("tzdata/zones", "numpy/_core/_simd.cpython-313-x86_64-linux-gnu.so"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()

    contents.prune(folder)

    left = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert left == {
        *("alpha/__init__.py", "alpha-1.0.dist-info/METADATA"),
        *("beta/__init__.py", "beta-2.5.dist-info/METADATA"),
        "numpy/a.py",
    }


def test_bytecode_is_used_whatever_the_age_of_its_source(folder):
    contents.compile_sources(folder)
    (folder / "alpha/__init__.py").write_text("NAME = 'changed'\n")

    script = f"import sys; sys.path.insert(0, {str(folder)!r}); import alpha; print(alpha.NAME)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "alpha"


def test_bytecode_names_the_path_in_the_lambda_and_no_other(folder):
    contents.compile_sources(folder)

    content = Path(importlib.util.cache_from_source(folder / "alpha/__init__.py")).read_bytes()
    assert b"/var/task/alpha/__init__.py" in content
    assert str(folder).encode() not in content


def test_a_source_that_does_not_compile_is_an_error(folder):
    (folder / "alpha/broken.py").write_text("def\n")

    with pytest.raises(PackageError, match="does not compile"):
        contents.compile_sources(folder)


def test_the_import_check_sees_only_the_package(folder):
    contents.check_imports(folder, ["alpha", "beta"])
    (folder / "alpha/__init__.py").write_text("import pytest\n")

    with pytest.raises(PackageError, match="No module named 'pytest'"):
        contents.check_imports(folder, ["alpha", "beta"])


def test_the_same_content_makes_the_same_zip(folder, tmp_path):
    archive.pack(folder, tmp_path / "one.zip")
    for path in sorted(folder.rglob("*.py"), reverse=True):
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
        path.chmod(0o600)
    archive.pack(folder, tmp_path / "two.zip")

    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()
    with ZipFile(tmp_path / "one.zip") as packed:
        places = packed.namelist()  # whatever the order in which the folder lists them
    assert places == sorted(places, key=lambda place: place.split("/"))


def test_every_user_may_read_what_is_in_a_zip(folder, tmp_path):
    """A Lambda's code runs as another user than the one that unpacks it."""
    (folder / "alpha/__init__.py").chmod(0o600)
    archive.pack(folder, tmp_path / "one.zip")

    with ZipFile(tmp_path / "one.zip") as packed:
        assert {entry.external_attr >> 16 for entry in packed.infolist()} == {0o100644}


def test_a_zip_is_complete_or_absent(folder, tmp_path, monkeypatch):
    """Otherwise the next build would reuse a part of one."""

    def fail(path):
        raise OSError("Input/output error")

    monkeypatch.setattr(Path, "read_bytes", fail)

    with pytest.raises(OSError, match="Input/output error"):
        archive.pack(folder, tmp_path / "one.zip")

    assert not (tmp_path / "one.zip").exists()


def test_the_versions_and_sizes_in_a_zip_can_be_read(folder, tmp_path):
    archive.pack(folder, tmp_path / "one.zip")
    _, unzipped = archive.sizes(tmp_path / "one.zip")

    assert archive.versions(tmp_path / "one.zip") == ["alpha==1.0", "beta==2.5"]
    assert unzipped["alpha"] == len("NAME = 'alpha'\n")
    assert set(unzipped) == {"alpha", "beta", "(metadata, licences)"}
