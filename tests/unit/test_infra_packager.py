"""Our version of Chalice's packager: it fails where Chalice's own would build an incomplete package."""

import sys
from pathlib import Path
from zipfile import ZipFile

import chalice.deploy.deployer
import pytest
from chalice.deploy.packager import MissingDependencyError, Package
from chalice.utils import UI, OSUtils
from click import ClickException

from infra import chalice_cli, package
from infra.errors import PackageError
from infra.packager import Packager


class Builder:
    """Installs one distribution, or reports what it cannot install."""

    def __init__(self, *missing):
        self.missing = {Package("", f"{name}-1.0-py3-none-any.whl") for name in missing}

    def build_site_packages(self, abi, requirements, target):
        Path(target).mkdir()
        if self.missing:
            raise MissingDependencyError(self.missing)


@pytest.fixture
def project(tmp_path):
    (tmp_path / "requirements.txt").write_text("numpy\n")
    (tmp_path / "app.py").write_text("import chalicelib\n")
    (tmp_path / "chalicelib/__pycache__").mkdir(parents=True)
    (tmp_path / "chalicelib/__init__.py").touch()
    (tmp_path / "chalicelib/__pycache__/__init__.cpython-313.pyc").write_bytes(b"stale")
    return tmp_path


def packager(builder=None):
    return Packager(OSUtils(), builder or Builder(), UI())


newer_python = pytest.mark.skipif(sys.version_info < (3, 12), reason="Chalice packages on Python 3.12 on")


@newer_python
def test_a_dependency_that_cannot_be_installed_is_an_error(project):
    with pytest.raises(PackageError, match=r"numpy==1.0 cannot be installed for python3\.13"):
        packager(Builder("numpy")).create_deployment_package(str(project), "python3.13")


@newer_python
def test_a_dependency_that_is_missing_in_the_result_is_an_error(project):
    with pytest.raises(PackageError, match="the package does not contain numpy"):
        packager().create_deployment_package(str(project), "python3.13")
    assert not list(project.glob(".chalice/deployments/*"))


@newer_python
def test_an_app_that_cannot_be_imported_is_an_error(project):
    (project / "requirements.txt").write_text("")
    (project / "app.py").write_text("import chalicelib.absent\n")

    with pytest.raises(PackageError, match=r"No module named 'chalicelib.absent'"):
        packager().create_deployment_package(str(project), "python3.13")


@newer_python
def test_where_the_packages_libraries_cannot_be_loaded_its_imports_are_not_checked(
    project, monkeypatch, capsys
):
    (project / "requirements.txt").write_text("")
    (project / "app.py").write_text("import chalicelib.absent\n")
    monkeypatch.setattr("platform.machine", lambda: "arm64")

    made = packager().create_deployment_package(str(project), "python3.13")

    assert Path(made).exists()
    assert (
        "Imports not checked: the package's libraries run only on Linux on x86_64" in capsys.readouterr().out
    )


@newer_python
def test_a_package_is_built_once(project):
    (project / "requirements.txt").write_text("")
    first = packager().create_deployment_package(str(project), "python3.13")

    assert packager(Builder("numpy")).create_deployment_package(str(project), "python3.13") == first


def test_a_project_of_symlinks_gets_the_same_package(project, tmp_path_factory):
    """`make localstack` creates such a project; the package that `make package` built is reused."""
    links = tmp_path_factory.mktemp("a-links")
    for name in ("app.py", "chalicelib", "requirements.txt"):
        (links / name).symlink_to(project / name)

    first, second = (packager().deployment_package_filename(str(p), "python3.13") for p in (project, links))
    assert Path(first).name == Path(second).name


def test_an_old_python_is_refused(project, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 11, 7))

    with pytest.raises(PackageError, match=r"needs Python 3\.12"):
        packager().create_deployment_package(str(project), "python3.11")


def test_a_python_other_than_the_functions_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "version_info", (3, 12, 1))

    with pytest.raises(PackageError, match=r"the functions run Python 3\.13, .* this is 3\.12"):
        package.build("prod", tmp_path)


@pytest.mark.parametrize("changed", ["app.py", "requirements.txt", "chalicelib/__init__.py"])
def test_a_package_is_named_after_its_contents(project, changed):
    before = packager().deployment_package_filename(str(project), "python3.13")
    (project / "chalicelib/__pycache__/other.pyc").touch()
    untouched = packager().deployment_package_filename(str(project), "python3.13")
    (project / changed).write_text("# other\n")

    assert untouched == before
    assert packager().deployment_package_filename(str(project), "python3.13") != before


def test_a_file_of_another_name_makes_another_package(project):
    (project / "chalicelib/one.py").touch()
    before = packager().deployment_package_filename(str(project), "python3.13")
    (project / "chalicelib/one.py").rename(project / "chalicelib/two.py")

    assert packager().deployment_package_filename(str(project), "python3.13") != before


def test_other_pins_or_another_packager_make_another_package(project, tmp_path, monkeypatch):
    pins, names = tmp_path / "pins.txt", []

    def note_name():
        names.append(packager().deployment_package_filename(str(project), "python3.13"))

    note_name()
    monkeypatch.setenv("PIP_CONSTRAINT", str(pins))
    for pinned in ("numpy==1", "numpy==2"):
        pins.write_text(pinned)
        note_name()
    monkeypatch.setattr("inspect.getsource", lambda module: "other code")
    note_name()

    assert len(set(names)) == 4


@pytest.fixture
def build(monkeypatch, tmp_path):
    """Builds with any Python, and with a package of one file."""

    def chalice_package(stage, merged, target):
        with ZipFile(target / "deployment.zip", "w") as packed:
            packed.writestr("app.py", "import chalicelib")

    monkeypatch.setattr(package, "RUNTIME", sys.version_info[:2])
    monkeypatch.setattr(package, "_chalice_package", chalice_package)
    return lambda stage="prod": package.build(stage, tmp_path)


@pytest.mark.parametrize("limit", ["ZIPPED_MB", "UNZIPPED_MB"])
def test_a_package_that_has_grown_too_large_is_refused(build, monkeypatch, limit):
    build()
    monkeypatch.setattr(package, limit, 0)

    with pytest.raises(PackageError, match="the package is larger than"):
        build()


def test_a_stage_that_does_not_exist_is_refused(build):
    with pytest.raises(PackageError, match=r"\.chalice/config\.json has no stage unheard-of"):
        build("unheard-of")


def test_a_build_that_fails_is_no_package(tmp_path, monkeypatch):
    monkeypatch.setattr(package, "ROOT", tmp_path)

    with pytest.raises(PackageError, match="Chalice could not build the package"):
        package._chalice_package("prod", tmp_path / "merge.json", tmp_path)


@newer_python
def test_chalices_command_line_says_in_one_sentence_what_is_wrong(project):
    reporting = chalice_cli._Reporting(OSUtils(), Builder("numpy"), UI())

    with pytest.raises(ClickException, match=r"numpy==1.0 cannot be installed for python3\.13\.$"):
        reporting.create_deployment_package(str(project), "python3.13")


def test_chalices_command_line_uses_our_packager(monkeypatch):
    """Another version of Chalice may create its packager elsewhere or under another name."""
    monkeypatch.setattr(chalice.deploy.deployer, "LambdaDeploymentPackager", None)  # fails if it is missing
    monkeypatch.setattr(chalice_cli.cli, "main", lambda: 0)

    chalice_cli.main()

    assert issubclass(chalice.deploy.deployer.LambdaDeploymentPackager, Packager)
