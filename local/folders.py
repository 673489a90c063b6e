"""Where the laptop side keeps its files: `.local/` of the checkout, closed to everybody else."""

import os
import pwd
import shutil
import stat
from pathlib import Path

from local.errors import FolderNotOurs

ROOT = Path(__file__).resolve().parent.parent


def local_folder() -> Path:
    """`.local`, or another folder for tests (DECANT_LOCAL_DIR). Made if it is not there."""
    chosen = os.environ.get("DECANT_LOCAL_DIR")
    return make_private(Path(chosen).resolve() if chosen else ROOT / ".local")


def localstack_folder() -> Path:
    """What LocalStack, the servers beside it and the deployment need, apart from those of `make run`."""
    return make_private(local_folder() / "localstack")


def make_private(folder: Path) -> Path:
    """The folder, made if need be, and closed to others; raises FolderNotOurs.

    As root others may walk through it, though not look into it: Postgres refuses to run as root, so its data
    belongs to another user, who has to get there. Every file of ours in it is mode 600.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    status = folder.lstat()  # not stat: where others may write, a link could lead anywhere
    if not stat.S_ISDIR(status.st_mode):
        raise FolderNotOurs(folder, "is a link, not a folder")
    if status.st_uid != os.geteuid():
        raise FolderNotOurs(folder, f"belongs to {_name(status.st_uid)}, as whom you are not running")
    if made:
        folder.chmod(0o711 if os.geteuid() == 0 else 0o700)
    return folder


def write_private(path: Path, text: str, owner: pwd.struct_passwd | None = None) -> None:
    """Writes a file of mode 600, whole or not at all."""
    draft = path.with_name(f"{path.name}.new")
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    if owner:
        os.chown(draft, owner.pw_uid, owner.pw_gid)
    draft.replace(path)


def remove_tree(folder: Path) -> None:
    """Also what was made read-only, as the code of Lambdas is."""
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
