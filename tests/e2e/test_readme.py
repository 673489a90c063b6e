"""The README's commands as they stand: by a shell, through the Makefile, in a copy of the checkout.

A command that is neither run here nor known to be run elsewhere fails a test.
"""

import contextlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from local import settings
from local.processes import free_port
from local.user_api import UserApi
from tests import curl

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
START_SECONDS, STOP_SECONDS, PATIENCE_SECONDS = 90, 30, 60

# What is larger than a test, or needs more than there is here: the file that runs it, and in which words.
ELSEWHERE = {
    "make test": (".ci/run", "make test"),
    "make leak-test": ("pyproject.toml", 'testpaths = ["tests"]'),  # tests/leaks, with a report
    "make localstack": ("tests/e2e/cloud.py", '"local.localstack", "up"'),
    "make localstack-down": ("tests/e2e/cloud.py", '"local.localstack", "down"'),
    "make deploy": ("tests/unit/test_infra_deploy.py", "deploy.main()"),
    "chalice deploy": ("local/deployment.py", '"deploy"'),
    "docker compose up --build": (".github/workflows/ci.yml", "docker compose up -d --build"),
}


def blocks(kind):
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for of, text in fenced if of == kind]


def commands(block):
    lines = block.replace("\\\n", "").splitlines()
    return [re.sub(r"\s+# .*", "", line) for line in lines if line]


STARTING, ASKING, OF_ONES_OWN = map(commands, blocks("sh"))
(SAID,) = blocks("")
IN_A_SENTENCE = re.findall(r"`((?:make|docker|chalice) [^`]+)`", README.replace("\n", " "))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """Without the developer's `.env` and `.local`, but with the environment that runs these tests."""
    copy = tmp_path_factory.mktemp("decant")
    for name in ("chalicelib", "local"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("app.py", "Makefile", "requirements.txt", "requirements-dev.txt", ".chalice/config.json"):
        (copy / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, copy / name)
    (copy / ".venv").mkdir()
    for part in Path(sys.prefix).iterdir():
        if part.name != "installed":
            (copy / ".venv" / part.name).symlink_to(part)
    (copy / ".venv" / "installed").touch()
    yield copy
    shell(copy, "make clean").check_returncode()


@pytest.fixture(scope="module")
def source():
    with UserApi() as running:
        yield running


def environment(**changes):
    ours = settings.NAMES | {"DECANT_LOCAL_DIR", "PORT", "PYTHON", "MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
    return {name: value for name, value in os.environ.items() if name not in ours} | changes


def shell(checkout, command, **changes):
    return subprocess.run(
        ["/bin/sh", "-ec", command],
        cwd=checkout, env=environment(**changes), capture_output=True, text=True, check=False,
        timeout=PATIENCE_SECONDS,
    )  # fmt: skip


@contextlib.contextmanager
def under_way(checkout, command):
    """A command that goes on until Ctrl-C, and what it has said by the time that it serves; and its port."""
    port = str(free_port())
    said = checkout / "said"
    with said.open("w") as out:
        process = subprocess.Popen(
            ["/bin/sh", "-c", f"exec env {command}"],
            cwd=checkout, env=environment(PORT=port), stdout=out, stderr=out, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + START_SECONDS
        while "Decant serves at" not in said.read_text():
            assert process.poll() is None, said.read_text()
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.1)
        yield said.read_text(), port
    finally:
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        process.wait(STOP_SECONDS)


def test_every_command_is_run_here_or_known_to_be_run_elsewhere():
    here = {"make run", "make help", "make pii-key", *ASKING, *OF_ONES_OWN}
    unknown = {*STARTING, *IN_A_SENTENCE} - here - ELSEWHERE.keys()

    assert not unknown
    assert ELSEWHERE.keys() <= {*STARTING, *IN_A_SENTENCE}  # and no entry outlives its command


@pytest.mark.parametrize("command", ELSEWHERE)
def test_what_is_run_elsewhere_is_run_there(command):
    file, words = ELSEWHERE[command]

    assert words in (ROOT / file).read_text(encoding="utf-8")


def test_make_help_lists_every_target(checkout):
    listed = shell(checkout, "make help").stdout

    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", "")
    declared = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE).group(1)
    assert set(re.findall(r"make ([a-z0-9-]+)", listed)) == set(declared.split())


def test_it_is_read_in_two_minutes():
    assert README.count("\n") < 150


def test_make_run_says_what_the_readme_shows_and_the_next_commands_work(checkout, tmp_path):
    with under_way(checkout, "make run") as (said, port):
        shown = [shape(line) for line in SAID.splitlines()]
        assert [shape(line) for line in said.replace(port, "8000").splitlines() if line] == shown

        script = "\n".join(ASKING).replace(":8000", f":{port}")
        curl.put_into(tmp_path)
        done = shell(checkout, script, PATH=f"{tmp_path}:{os.environ['PATH']}")

        assert done.returncode == 0, done.stderr
        assert re.search(r"fetched +20,000$", done.stdout, re.MULTILINE)
    assert "version 2 makes the tokens" in shell(checkout, "make pii-key").stdout


def shape(line):
    """A line without what differs from run to run, and where the checkout lies."""
    line = re.sub(r"decant_\S+", "decant_…", re.sub(r"\S*\.local/", ".local/", line))
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9][0-9.,]*", "0", line).replace(" ", "")


@pytest.mark.parametrize("command", OF_ONES_OWN)
def test_another_source_is_one_setting(checkout, source, command):
    """The stand-in answers in the place of the public APIs."""
    before = len(source.requests)
    stand_in = f"http://127.0.0.1:{source.port}"
    moved = re.sub(r"https://[^/]+", stand_in, command)

    with under_way(checkout, moved) as (said, _):
        assert "Ingest succeeded" in said
    assert len(source.requests) > before
