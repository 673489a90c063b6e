"""What a cold start loads. Each claim is checked in an interpreter of its own."""

import subprocess
import sys

import pytest

from local.folders import ROOT
from tests.keys import pii_keys

# Together they take half a second or more, and no request needs all of them.
HEAVY = (
    *("pandas", "numpy", "boto3", "botocore"),
    *("redis", "psycopg2", "requests", "urllib3", "tenacity", "cryptography"),
    *("chalicelib.openapi", "chalicelib.manual"),
)


def loaded_by(statement: str) -> set[str]:
    """The names of all modules that a fresh interpreter has loaded after the statement."""
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


def test_importing_the_app_needs_no_setting():
    assert "app" in loaded_by("import os; os.environ.clear(); import app")


def test_a_lambda_without_its_settings_does_not_start():
    alone = "import os; os.environ.clear(); os.environ['AWS_LAMBDA_FUNCTION_NAME'] = 'decant'"

    with pytest.raises(subprocess.CalledProcessError) as refused:
        loaded_by(f"{alone}; import app")

    assert "ConfigError: DATABASE_URL: is not set" in refused.value.stderr


SETTINGS = {
    "DATABASE_URL": "postgresql://localhost",
    "REDIS_URL": "redis://localhost",
    "SOURCE_URL": "http://localhost",
    "PII_KEYS": pii_keys({1: bytes(32)}),
}


def test_the_cache_loads_only_redis_py_until_it_needs_postgres():
    cache = f"import os; os.environ.update({SETTINGS!r}); import app; app.wiring.cache()"

    assert loaded_by(cache) & {*HEAVY} == {"redis", "cryptography"}  # redis-py tries to import the latter


def test_reading_from_postgres_loads_no_heavy_library_but_its_driver():
    assert loaded_by("import app, chalicelib.store") & {*HEAVY, "asyncio"} == {"psycopg2"}


def test_the_pipeline_loads_pandas():
    assert "pandas" in loaded_by("import chalicelib.pipeline")
