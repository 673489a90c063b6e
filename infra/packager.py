"""Chalice's packager, corrected: its zips are complete, pruned and reproducible, and contain bytecode."""

import hashlib
import inspect
import os
import platform
import sys
from collections.abc import Iterator
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory

from chalice.deploy.packager import LambdaDeploymentPackager, MissingDependencyError

from infra import archive, contents
from infra.errors import PackageError

OLDEST_PYTHON = (3, 12)  # for older ones Chalice refuses numpy's wheels, and continues without numpy


class Packager(LambdaDeploymentPackager):
    """Replaces Chalice's own for ``chalice deploy`` and ``chalice package``. Raises PackageError."""

    def create_deployment_package(self, project_dir: str, python_version: str) -> str:
        if sys.version_info < OLDEST_PYTHON:
            raise PackageError("packaging needs Python 3.12 or newer; this is " + sys.version.split()[0])
        target = Path(self.deployment_package_filename(project_dir, python_version))
        if target.exists():
            self._ui.write("Reusing existing deployment package.\n")
            return str(target)
        self._ui.write("Creating deployment package.\n")
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory() as scratch:
            folder = Path(scratch, "package")
            self._fill(folder, Path(project_dir), python_version)
            archive.pack(folder, target)
        return str(target)

    def _fill(self, folder: Path, project: Path, python_version: str) -> None:
        requirements = Path(self._get_requirements_filename(str(project)))
        self._build_python_dependencies(python_version, str(requirements), str(folder))
        if lacking := contents.missing(folder, requirements):
            raise PackageError(f"the package does not contain {', '.join(lacking)}")
        names = contents.importable_names(folder)
        contents.prune(folder)
        for source, place in self._iter_app_filenames(str(project)):
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            copyfile(source, folder / place)
        contents.compile_sources(folder)
        if (sys.platform, platform.machine()) == ("linux", "x86_64"):
            contents.check_imports(folder, [*names, "app"])
        else:
            self._ui.write("Imports not checked: the package's libraries run only on Linux on x86_64.\n")

    def _build_python_dependencies(
        self, python_version: str, requirements_filepath: str, site_packages_dir: str
    ) -> None:
        """Fails if something is missing; Chalice's own prints that and continues."""
        abi = self._RUNTIME_TO_ABI[python_version]
        builder = self._dependency_builder
        try:
            builder.build_site_packages(abi, requirements_filepath, site_packages_dir)
            return
        except MissingDependencyError as error:
            lacking = sorted(package.identifier for package in error.missing)
        raise PackageError(f"{', '.join(lacking)} cannot be installed for {python_version}")

    def _iter_app_filenames(self, project_dir: str) -> Iterator[tuple[str, str]]:
        """Sorted, and without this machine's caches."""
        pairs = super()._iter_app_filenames(project_dir)
        yield from sorted(pair for pair in pairs if "__pycache__" not in pair[1])

    def _hash_project_dir(self, requirements_filename: str, vendor_dir: str, project_dir: str) -> str:
        """Names the package in Chalice's cache: a hash of what goes in and of the code that processes it."""
        digest = hashlib.sha256()
        places = dict(self._iter_app_filenames(project_dir)) | {requirements_filename: "requirements.txt"}
        for source, place in places.items():
            digest.update(place.encode() + b"\0" + Path(source).read_bytes())
        for module in (archive, contents, sys.modules[__name__]):
            digest.update(inspect.getsource(module).encode())
        if pins := os.environ.get("PIP_CONSTRAINT"):
            digest.update(Path(pins).read_bytes())
        return digest.hexdigest()[:32]
