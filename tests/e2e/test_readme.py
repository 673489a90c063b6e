"""The README's commands as written: in a shell, through the Makefile, in a copy of the checkout.

A test fails on a command that is neither run here nor known to be run elsewhere.
"""

import os
import re

import pytest

from local.folders import ROOT
from local.user_api import UserApi
from tests import curl
from tests.checkout import copied

README = (ROOT / "README.md").read_text(encoding="utf-8")

# Commands that are too large for a test or need more than these tests have: the file that runs each, and the
# words with which it does.
ELSEWHERE = {
    "make test": (".ci/run", "make test"),
    "make leak-test": ("pyproject.toml", 'testpaths = ["tests"]'),  # tests/leaks, with a report
    "make clean": ("tests/checkout.py", "make clean"),  # after each test here
    "make preview": ("docs/adapting.md", "make preview < page.json"),  # which test_adapting.py follows
    "make localstack": ("tests/e2e/in_localstack/cloud.py", '"local.localstack", "up"'),
    "make localstack-down": ("tests/e2e/in_localstack/cloud.py", '"local.localstack", "down"'),
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
    with copied(tmp_path_factory.mktemp("decant")) as copy:
        yield copy


@pytest.fixture(scope="module")
def source():
    with UserApi() as running:
        yield running


def test_every_command_is_run_here_or_known_to_be_run_elsewhere():
    here = {"make run", "make help", "make pii-key", *ASKING, *OF_ONES_OWN}
    unknown = {*STARTING, *IN_A_SENTENCE} - here - ELSEWHERE.keys()

    assert not unknown
    assert ELSEWHERE.keys() <= {*STARTING, *IN_A_SENTENCE}  # no entry for a removed command


@pytest.mark.parametrize("command", ELSEWHERE)
def test_what_is_run_elsewhere_is_run_there(command):
    file, words = ELSEWHERE[command]

    assert words in (ROOT / file).read_text(encoding="utf-8")


def test_make_help_lists_every_target(checkout):
    listed = checkout.shell("make help").stdout

    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("\\\n", "")
    declared = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE).group(1)
    assert set(re.findall(r"make ([a-z0-9-]+)", listed)) == set(declared.split())


def test_it_is_short_enough_to_be_read_in_two_minutes():
    assert README.count("\n") < 150


def test_make_run_prints_what_the_readme_shows_and_the_next_commands_work(checkout, tmp_path):
    with checkout.running("make run") as (said, port):
        shown = [shape(line) for line in SAID.splitlines()]
        assert [shape(line) for line in said.replace(port, "8000").splitlines() if line] == shown

        script = "\n".join(ASKING).replace(":8000", f":{port}")
        curl.put_into(tmp_path)
        done = checkout.shell(script, PATH=f"{tmp_path}:{os.environ['PATH']}")

        assert done.returncode == 0, done.stderr
        assert re.search(r"fetched +20,000$", done.stdout, re.MULTILINE)
    assert "version 2 makes the tokens" in checkout.shell("make pii-key").stdout


def shape(line):
    """A line without what differs between runs, and without the path of the checkout."""
    line = re.sub(r"decant_\S+", "decant_…", re.sub(r"\S*\.local/", ".local/", line))
    return re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}|[0-9][0-9.,]*", "0", line).replace(" ", "")


@pytest.mark.parametrize("command", OF_ONES_OWN)
def test_another_source_is_one_setting(checkout, source, command):
    """The stand-in answers in place of the public APIs."""
    before = len(source.requests)
    stand_in = f"http://127.0.0.1:{source.port}"
    moved = re.sub(r"https://[^/]+", stand_in, command)

    with checkout.running(moved) as (said, _):
        assert "Ingest succeeded" in said
    assert len(source.requests) > before
