"""The tests that share one LocalStack: scheduler, Makefile and CI workflow name the same files."""

import re
from pathlib import Path

import yaml

from tests.conftest import IN_LOCALSTACK

ROOT = Path(__file__).parents[2]
MAKEFILE, WORKFLOW = (
    (ROOT / name).read_text(encoding="utf-8") for name in ("Makefile", ".github/workflows/ci.yml")
)


def test_they_are_the_files_with_the_fixture_cloud():
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "tests/e2e").glob("test_*.py")}
    users = {path for path, text in texts.items() if re.search(r"def \w+\([^)]*\bcloud\b", text)}
    assert {str(path.relative_to(ROOT)) for path in users} == IN_LOCALSTACK


def test_make_e2e_runs_them():
    prefix, names = re.search(r"^IN_LOCALSTACK = \$\(addprefix (.+),(.+)\)$", MAKEFILE, re.MULTILINE).groups()
    assert {prefix + name for name in names.split()} == IN_LOCALSTACK


def test_the_workflow_leaves_them_out_of_its_job_test():
    (command,) = [step["run"] for step in yaml.safe_load(WORKFLOW)["jobs"]["test"]["steps"] if "run" in step]
    assert set(re.findall(r"--ignore=([\w/.]+)", command)) == IN_LOCALSTACK
