"""Where the laptop side keeps its files: `.local/` in the checkout, closed to other users."""

import os
import pwd
import shutil
import stat
from pathlib import Path

from local.errors import FolderNotOurs

ROOT = Path(__file__).resolve().parent.parent


def local_folder() -> Path:
    """`.local`, or DECANT_LOCAL_DIR (for tests and containers). Created if it is missing."""
    chosen = os.environ.get("DECANT_LOCAL_DIR")
    return make_private(Path(chosen).resolve() if chosen else ROOT / ".local")


def localstack_folder() -> Path:
    """The files of LocalStack, its servers and its deployment, separate from those of `make run`."""
    return make_private(local_folder() / "localstack")


def make_private(folder: Path) -> Path:
    """Creates the folder if it is missing, closed to other users. Raises FolderNotOurs.

    If root creates it, others can traverse but not list it: Postgres refuses to run as root, so its data
    belongs to another user, who must be able to reach it. Every file of ours in it has mode 600.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    status = folder.lstat()  # not stat: where others can write, a link could lead anywhere
    if not stat.S_ISDIR(status.st_mode):
        raise FolderNotOurs(folder, "is a link, not a folder; remove it and try again")
    if status.st_uid != os.geteuid():
        owner = _name(status.st_uid)
        raise FolderNotOurs(folder, f"belongs to {owner}: run as {owner}, or make it your own with chown")
    if made:
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return folder


def write_private(path: Path, text: str, owner: pwd.struct_passwd | None = None) -> None:
    """Writes a file of mode 600, whole or not at all, even if the power fails: what was tokenised with a key
    whose file is empty can never be looked up again."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    if owner:
        os.chown(draft, owner.pw_uid, owner.pw_gid)
    draft.replace(path)


def remove_tree(folder: Path) -> None:
    """Also removes read-only folders, such as those of the Lambdas' code."""
    for path, folders, _ in os.walk(folder):
        for name in folders:
            if not (below := Path(path) / name).is_symlink():
                below.chmod(0o700)
    shutil.rmtree(folder)


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
