"""What a cold start loads. Each claim is checked in an interpreter of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# Together they take half a second and more, and no request needs them all.
HEAVY = (
    *("pandas", "numpy", "boto3", "botocore"),
    *("redis", "psycopg2", "requests", "urllib3", "tenacity", "cryptography"),
)


def loaded_by(statement: str) -> set[str]:
    """The names of all modules that a fresh interpreter holds after the statement."""
    done = subprocess.run(
        [sys.executable, "-c", f"{statement}; import sys; print(*sys.modules)"],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=ROOT,
    )
    return set(done.stdout.split())


@pytest.fixture(scope="module")
def loaded_by_the_app():
    return loaded_by("import app")


@pytest.mark.parametrize("library", HEAVY)
def test_importing_the_app_does_not_load(loaded_by_the_app, library):
    assert library not in loaded_by_the_app


def test_importing_the_app_reads_no_setting_that_could_be_missing():
    assert "app" in loaded_by("import os; os.environ.clear(); import app")


def test_the_pipeline_is_what_brings_pandas():
    assert "pandas" in loaded_by("import chalicelib.pipeline")
