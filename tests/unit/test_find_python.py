"""The search for a Python, and what make installs with it. The interpreters are fakes, in shell."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from local.folders import ROOT

needs_make = pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
SHIM = "echo 'this shim knows no such version' >&2\nexit 127\n"


@pytest.fixture
def machine(tmp_path):
    return Machine(tmp_path)


class Machine:
    """A machine with nothing but sh and the interpreters that a test adds."""

    def __init__(self, folder):
        self.path, self.home = folder / "bin", folder / "home"
        self.pyenv = self.home / ".pyenv" / "versions"
        for place in (self.path, self.pyenv):
            place.mkdir(parents=True)

    def add(self, file, text):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"#!/bin/sh\n{text}")
        file.chmod(0o755)

    def has(self, name, version):
        """Adds an interpreter. The search calls it with -c, a program, and a version or an empty string."""
        self.add(self.path / name, f'[ "$3" = "{version}" ] || [ -z "$3" ]\n')

    def has_under_pyenv(self, full):
        version = full.rpartition(".")[0]
        self.add(self.pyenv / full / "bin" / "python", f'[ "$3" = "{version}" ] || [ -z "$3" ]\n')

    def search(self, **environment):
        environment = {"PATH": str(self.path), "HOME": str(self.home)} | environment
        script = ROOT / "local" / "find_python.sh"
        return subprocess.run(
            ["/bin/sh", str(script)], env=environment, capture_output=True, text=True, check=False
        )

    def found(self, **environment):
        done = self.search(**environment)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


def test_the_newest_on_path_wins(machine):
    machine.has("python3.11", "3.11")
    machine.has("python3.12", "3.12")

    assert machine.found() == str(machine.path / "python3.12")


def test_the_version_of_the_package_wins_over_a_newer_one(machine):
    machine.has("python3.14", "3.14")
    assert machine.found() == str(machine.path / "python3.14")

    machine.has("python3.13", "3.13")
    assert machine.found() == str(machine.path / "python3.13")


def test_plain_python3_is_judged_by_its_version(machine):
    machine.has("python3.12", "3.12")
    machine.has("python3", "3.13")

    assert machine.found() == str(machine.path / "python3")


def test_a_shim_that_refuses_to_start_is_skipped(machine):
    machine.add(machine.path / "python3.13", SHIM)
    machine.add(machine.path / "python3.12", SHIM)
    machine.has("python3", "3.11")

    assert machine.found() == str(machine.path / "python3")


def test_a_newer_one_under_pyenv_beats_an_older_on_path(machine):
    machine.add(machine.path / "python3.13", SHIM)
    machine.has("python3", "3.11")
    machine.has_under_pyenv("3.13.0")

    assert machine.found() == str(machine.pyenv / "3.13.0" / "bin" / "python")


def test_pyenv_may_live_elsewhere(machine, tmp_path):
    machine.add(tmp_path / "else" / "versions" / "3.12.4" / "bin" / "python", '[ "$3" = 3.12 ]\n')

    assert machine.found(PYENV_ROOT=str(tmp_path / "else")).endswith("else/versions/3.12.4/bin/python")


@pytest.mark.parametrize("old", ["3.10", "2.7"])
def test_an_old_python_alone_is_not_enough(machine, old):
    machine.has("python3", old)

    done = machine.search()

    assert done.returncode == 1
    assert done.stderr.startswith("No Python 3.14, 3.13, 3.12 or 3.11")


def test_without_any_python_the_search_fails_with_one_sentence(machine):
    done = machine.search()

    assert done.returncode == 1
    assert done.stdout == ""
    assert "make PYTHON=" in done.stderr


def test_the_requested_python_wins(machine):
    machine.has("python3.13", "3.13")
    machine.has("mine", "3.11")

    assert machine.found(PYTHON="mine") == str(machine.path / "mine")
    assert machine.found(PYTHON=str(machine.path / "mine")) == str(machine.path / "mine")


def test_the_requested_python_must_start(machine):
    machine.has("python3.13", "3.13")
    machine.add(machine.path / "mine", SHIM)

    done = machine.search(PYTHON="mine")

    assert done.returncode == 1
    assert "PYTHON=mine does not start" in done.stderr


def test_a_real_interpreter_passes_the_check(machine):
    """Runs the real check, which the fakes only answer: it imports what creating an environment needs."""
    real = Path(sys.executable).resolve()

    assert machine.found(PYTHON=str(real)) == str(real)


@needs_make
def test_make_stops_with_the_error_message(tmp_path):
    (tmp_path / "local").mkdir()
    for name in ("Makefile", "requirements.txt", "requirements-local.txt", "local/find_python.sh"):
        shutil.copy(ROOT / name, tmp_path / name)
    environment = {"PATH": os.defpath, "HOME": str(tmp_path)}

    done = subprocess.run(
        [shutil.which("make"), "run", "PYTHON=/nowhere/python"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode != 0
    assert "PYTHON=/nowhere/python does not start" in done.stderr
    assert not (tmp_path / ".venv").exists()


@pytest.fixture
def checkout(tmp_path):
    """The Makefile, with a Python that notes what pip is asked to install and succeeds at everything."""
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\n[ "$3" != install ] || echo "$@" | sed "s/.* //" >> installed\n')
    python.chmod(0o755)
    for name in ("Makefile", "requirements.txt", "requirements-local.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, tmp_path / name)
        os.utime(tmp_path / name, (1, 1))
    os.utime(python, (1, 1))
    return tmp_path


def installs(checkout, target):
    """The requirement files that `make` installs for a target."""
    noted = checkout / "installed"
    noted.unlink(missing_ok=True)
    environment = {"PATH": os.defpath, "HOME": str(checkout)}
    subprocess.run(
        [shutil.which("make"), target], cwd=checkout, env=environment, capture_output=True, check=True
    )
    return noted.read_text().split() if noted.exists() else []


@needs_make
def test_a_target_installs_what_it_needs_once(checkout):
    assert installs(checkout, "run") == ["requirements-local.txt"]
    assert installs(checkout, "run") == []
    assert installs(checkout, "format") == ["requirements-dev.txt"]
    assert installs(checkout, "format") == []


@needs_make
@pytest.mark.parametrize(
    ("changed", "for_run", "for_format"),
    [
        ("requirements.txt", ["requirements-local.txt"], ["requirements-dev.txt"]),
        ("requirements-local.txt", ["requirements-local.txt"], ["requirements-dev.txt"]),
        ("requirements-dev.txt", [], ["requirements-dev.txt"]),
    ],
)
def test_a_changed_list_is_installed_again(checkout, changed, for_run, for_format):
    installs(checkout, "format")
    for stamp in (checkout / ".venv").glob("installed*"):
        os.utime(stamp, (2, 2))
    os.utime(checkout / changed, (3, 3))

    assert (installs(checkout, "run"), installs(checkout, "format")) == (for_run, for_format)
