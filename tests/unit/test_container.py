"""What a container does before its program starts: it makes the keys once and passes them to the program."""

import json
import shutil
import stat
import subprocess
import sys

import pytest

from chalicelib import config
from local import settings
from tests.checkout import ROOT, environment


@pytest.fixture
def container(tmp_path):
    """Runs the container's command with two folders as its volumes, and without the developer's `.env`."""
    image = tmp_path / "image"
    for package in ("chalicelib", "local"):
        shutil.copytree(ROOT / package, image / package, ignore=shutil.ignore_patterns("__pycache__"))

    def run(*arguments, **changes):
        return subprocess.run(
            [sys.executable, "-m", "local.container", *arguments],
            cwd=image, env=environment(DECANT_LOCAL_DIR=str(tmp_path / "keys"), **changes),
            capture_output=True, text=True, check=False, timeout=30,
        )  # fmt: skip

    return run


@pytest.fixture
def make_keys(container, tmp_path):
    return lambda **environment: container("keys", str(tmp_path / "passwords"), **environment)


def files(folder):
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_keys_and_passwords_are_made_once_and_readable_by_nobody_else(make_keys, tmp_path):
    first = make_keys()
    made = {**files(tmp_path / "keys"), **files(tmp_path / "passwords")}
    second = make_keys()

    assert (first.returncode, first.stderr) == (0, "")
    assert {**files(tmp_path / "keys"), **files(tmp_path / "passwords")} == made
    assert made.keys() == {"api-key", "env", "pii-keys.json", "postgres", "redis", "redis.conf"}
    assert second.stdout == first.stdout
    assert first.stdout.startswith(f"API key: {made['api-key'].strip()} ")
    for folder in ("keys", "passwords"):
        assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / folder).iterdir()} == {0o600}


def test_a_server_has_the_password_that_the_app_gets(make_keys, tmp_path):
    make_keys()
    published, passwords = settings.published(tmp_path / "keys"), files(tmp_path / "passwords")

    assert f":{passwords['postgres'].strip()}@postgres:" in published["DATABASE_URL"]
    assert f":{passwords['redis'].strip()}@redis:" in published["REDIS_URL"]
    assert passwords["redis.conf"] == f"requirepass {passwords['redis'].strip()}\n"
    assert passwords["postgres"] != passwords["redis"]


def test_the_app_accepts_the_settings(make_keys, tmp_path):
    make_keys()

    read = config.read({**settings.published(tmp_path / "keys"), "SOURCE_URL": "http://user-api:9000"})

    assert read.pii_keys[1]
    assert list(read.api_keys.values()) == [frozenset({"read", "operate", "erase"})]


def test_the_users_own_keys_are_passed_on_and_no_other_is_shown(make_keys, tmp_path):
    own = {"API_KEYS": json.dumps({"0" * 64: ["read"]}), "PII_KEYS": '{"7": "x"}'}

    said = make_keys(**own)

    assert (said.returncode, said.stdout) == (0, "")
    published = settings.published(tmp_path / "keys")
    assert {name: published[name] for name in own} == own


def test_a_program_replaces_the_containers_process_and_has_the_settings(make_keys, container, tmp_path):
    make_keys()
    show = "import json, os; print(json.dumps(dict(os.environ)))"

    done = container(sys.executable, "-c", show, LOG_LEVEL="DEBUG")

    seen = json.loads(done.stdout)
    assert seen.items() >= settings.published(tmp_path / "keys").items()
    assert seen["LOG_LEVEL"] == "DEBUG"
    assert container(sys.executable, "-c", "raise SystemExit(7)").returncode == 7


def test_a_program_starts_without_keys_too(container):
    assert container(sys.executable, "-c", "print('well')").stdout == "well\n"


def test_a_shell_reads_the_settings_as_localstacks_container_does(make_keys, tmp_path):
    make_keys()
    script = 'set -a; . "$0"; set +a; exec "$1" -c "import os; print(os.environ[\'PII_KEYS\'])"'

    shown = subprocess.run(
        ["/bin/sh", "-c", script, tmp_path / "keys" / "env", sys.executable],
        capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert shown.stdout.strip() == settings.published(tmp_path / "keys")["PII_KEYS"]


@pytest.mark.parametrize("arguments", [[], ["keys"], ["there-is-no-such-program"]])
def test_an_error_is_reported_in_one_line(container, arguments):
    done = container(*arguments)

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


def test_a_program_that_does_not_exist_is_named(container):
    done = container("decant-nowhere", "--option")

    assert (done.returncode, done.stderr) == (1, "decant-nowhere cannot be run: No such file or directory.\n")
