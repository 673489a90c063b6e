"""A copy of the checkout, without the developer's `.env` and `.local`, and a shell to run commands in it."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from local import settings
from local.folders import ROOT
from local.processes import free_port

START_SECONDS, STOP_SECONDS, PATIENCE_SECONDS = 90, 30, 60


@dataclass(frozen=True)
class Checkout:
    """Runs shell commands in `folder`, without the settings of the developer who runs the tests."""

    folder: Path

    def shell(self, command: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-ec", command],
            cwd=self.folder, env=environment(**changes), capture_output=True, text=True, check=False,
            timeout=PATIENCE_SECONDS,
        )  # fmt: skip

    @contextlib.contextmanager
    def running(self, command: str) -> Iterator[tuple[str, str]]:
        """Runs `make run` until Ctrl-C. Yields its output up to the moment it serves, and its port."""
        port = str(free_port())
        said = self.folder / "said"
        with said.open("w") as out:
            process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec env {command}"],
                cwd=self.folder, env=environment(PORT=port), stdout=out, stderr=out,
                start_new_session=True,
            )  # fmt: skip
        try:
            deadline = time.monotonic() + START_SECONDS
            while "Decant is running at" not in said.read_text():
                assert process.poll() is None, said.read_text()
                assert time.monotonic() < deadline, said.read_text()
                time.sleep(0.1)
            yield said.read_text(), port
        finally:
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does
            process.wait(STOP_SECONDS)


@contextlib.contextmanager
def copied(folder: Path) -> Iterator[Checkout]:
    """Copies the files that run the app; the commands use the environment that runs these tests."""
    for name in ("chalicelib", "local"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("app.py", "Makefile", "requirements.txt", "requirements-local.txt", ".chalice/config.json"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, folder / name)
    (folder / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        if not part.name.startswith("installed"):
            (folder / ".venv" / part.name).symlink_to(part)
    (folder / ".venv" / "installed").touch()
    checkout = Checkout(folder)
    yield checkout
    checkout.shell("make clean").check_returncode()


def environment(**changes: str) -> dict[str, str]:
    """The environment of a command, without the developer's settings."""
    ours = settings.NAMES | {"DECANT_LOCAL_DIR", "PORT", "PYTHON", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    return {name: value for name, value in os.environ.items() if name not in ours} | changes
