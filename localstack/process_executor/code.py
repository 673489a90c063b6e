"""Unzipped code: one copy for all functions that share a zip."""

import os
import shutil
import threading
from collections import defaultdict
from pathlib import Path

from localstack.services.lambda_.invocation.lambda_models import ArchiveCode, FunctionVersion

_READ_ONLY, _WRITABLE = 0o555, 0o755


class CodeFolders:
    """Folders below one folder, each named by its zip's hash and kept for as long as a version uses it."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._users: defaultdict[Path, set[str]] = defaultdict(set)
        self._changing = threading.Lock()

    def folder_of(self, version: FunctionVersion) -> Path:
        """The folder of the version's code after ``acquire``."""
        code = _code_of(version)
        if code.is_hot_reloading():
            return Path(code.get_unzipped_code_location())
        name: str = version.config.code.code_sha256
        return self._root / name.replace("/", "_")

    def acquire(self, version: FunctionVersion) -> None:
        """Unzips the code unless another version has done so. Its folders are read-only."""
        folder, code = self.folder_of(version), _code_of(version)
        with self._changing:
            if not folder.exists():
                code.prepare_for_execution()
                self._root.mkdir(parents=True, exist_ok=True)
                shutil.move(Path(code.get_unzipped_code_location()), folder)
                _set_modes(folder, _READ_ONLY)
            self._users[folder].add(_name_of(version))

    def release(self, version: FunctionVersion) -> None:
        """The last version to do so removes the folder. A version that never acquired it changes nothing."""
        folder = self.folder_of(version)
        with self._changing:
            users = self._users[folder]
            if _name_of(version) in users:
                users.remove(_name_of(version))
                if not users and folder.is_relative_to(self._root):
                    _set_modes(folder, _WRITABLE)
                    shutil.rmtree(folder)


def _code_of(version: FunctionVersion) -> ArchiveCode:
    code: ArchiveCode = version.config.code
    return code


def _name_of(version: FunctionVersion) -> str:
    return f"{version.qualified_arn} {version.config.internal_revision}"


def _set_modes(folder: Path, mode: int) -> None:
    """Changes only folders: if nothing can be created in them, a function notices that it may not write."""
    for path, _, _ in os.walk(folder, topdown=False):
        Path(path).chmod(mode)
