"""No secret in the repository: checks every file that is in it, or would be with the next commit."""

import base64
import subprocess

import pytest

from local.folders import ROOT
from tests.secret_forms import FORMS, secrets_in

PLANTED = {
    "a private key": "-----BEGIN EC PRIVATE" + " KEY-----",
    "an AWS access key": "AKIA" + "IOSFODNN7EXAMPLE",
    "an AWS secret key": "AWS_SECRET_ACCESS_KEY=" + "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "a key of Decant's API": "decant_" + "a-B_" * 10 + "abc",
    "a key for tokens": base64.b64encode(bytes(range(100, 132))).decode(),
    "a token of GitHub": "ghp_" + "a1B2" * 9,
    "a token of PyPI": "pypi-" + "AgEIcHlwaS5vcmc" * 4,
    "a password in a URL": "postgresql://decant:" + "hunter22hunter@db.example/decant",
}


def git(*asked):
    return subprocess.run(
        ["/usr/bin/env", "git", *asked], cwd=ROOT, capture_output=True, text=True, check=False
    )


if git("rev-parse").returncode:
    pytest.skip("this is no checkout of git", allow_module_level=True)


def test_no_file_of_the_repository_holds_a_secret():
    listed = git("ls-files", "--cached", "--others", "--exclude-standard").stdout.splitlines()
    texts = [ROOT / name for name in listed if not name.endswith(".png") and (ROOT / name).exists()]
    assert len(texts) > 100

    found = [
        f"{path.relative_to(ROOT)}: {secret}"
        for path in texts
        for secret in secrets_in(path.read_text(encoding="utf-8"))
    ]

    assert [
        one for one in found if not (one.startswith("tests/") and one.endswith("a password in a URL"))
    ] == []


@pytest.mark.parametrize("kind", FORMS)
def test_a_secret_of_each_kind_would_be_found_and_not_shown(kind):
    (found,) = secrets_in(f"one\nset it to {PLANTED[kind]} \n")
    assert found == f"line 2: {kind}"


@pytest.mark.parametrize("name", [".env", "settings.prod.json", ".local/api-key", ".local/pii-keys.json"])
def test_files_that_hold_secrets_are_never_committed(name):
    assert git("check-ignore", "-q", name).returncode == 0
