"""`chalice deploy` into a LocalStack, from a copy of the app, so that neither touches the checkout.

What Chalice notes of a deployment lies in the copy, and goes with the LocalStack that it is about.
"""

import json
import os
import shutil
import sys
import time
import zipfile
from pathlib import Path

import boto3
from botocore.config import Config

from local import signals
from local.errors import LocalError, ServerFailed
from local.folders import ROOT, make_private
from local.processes import Child

STAGE = "localstack"

# LocalStack takes any name. Nothing of a real account gets there, and no request gets to AWS by it.
ANYBODY = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
_CHALICE = (
    "import sys; from chalice.cli import main; sys.exit(main())"  # its script's first line may be too long
)
_PARTS_MISSING = "Could not install dependencies"
_MIGRATION_SECONDS = 70


def deploy(folder: Path, endpoint: str, log: Path) -> str:
    """Gives the URL of the API. Raises ServerFailed."""
    project = _copy(folder / "project")
    packages, cache = make_private(project / ".chalice" / "deployments"), ROOT / ".local" / "package"
    _adopt(cache, packages)
    said = _chalice(project, endpoint, log)
    if _PARTS_MISSING in said:
        shutil.rmtree(packages)  # Chalice would take the same broken zip again, and say nothing
        raise ServerFailed("chalice deploy", "could not put all dependencies into the package", log)
    _keep(packages, cache)
    deployed = json.loads((project / ".chalice" / "deployed" / f"{STAGE}.json").read_text(encoding="utf-8"))
    api = next(one for one in deployed["resources"] if one["resource_type"] == "rest_api")
    return f"{endpoint}/_aws/execute-api/{api['rest_api_id']}/api"


def migrate(endpoint: str) -> None:
    """By the Lambda, as on AWS. Raises LocalError."""
    client = boto3.client(
        "lambda",
        endpoint_url=endpoint,
        region_name=ANYBODY["AWS_DEFAULT_REGION"],
        aws_access_key_id=ANYBODY["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=ANYBODY["AWS_SECRET_ACCESS_KEY"],
        config=Config(read_timeout=_MIGRATION_SECONDS, retries={"total_max_attempts": 1}),
    )
    answer = client.invoke(FunctionName=f"decant-{STAGE}-migrate")
    said = json.load(answer["Payload"])
    if "FunctionError" in answer:
        raise LocalError(f"the migration failed: {said.get('errorType')}: {said.get('errorMessage')}")


def _copy(project: Path) -> Path:
    """Without bytecode: Chalice would package it, and name the package by it."""
    for name in ("chalicelib", "app.py", "requirements.txt"):
        _replace(ROOT / name, project / name)
    for name in ("config.json", f"policy-{STAGE}.json"):
        _replace(ROOT / ".chalice" / name, project / ".chalice" / name)
    return project


def _replace(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copyfile(source, target)


def _chalice(project: Path, endpoint: str, log: Path) -> str:
    """What it said. Raises ServerFailed, and StopRequested."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    child = Child(
        "chalice deploy",
        [sys.executable, "-c", _CHALICE, "--project-dir", str(project), "deploy", "--stage", STAGE],
        env={
            **outside,
            "AWS_ENDPOINT_URL": endpoint,
            **ANYBODY,
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        cwd=project,
        log=log,
    )
    try:
        while child.running:
            signals.check()
            time.sleep(0.05)
    finally:
        child.stop()
    if child.exit_status:
        raise ServerFailed(child.name, f"failed (exit status {child.exit_status})", log)
    return log.read_text(encoding="utf-8", errors="replace")


def _adopt(cache: Path, packages: Path) -> None:
    """The last package that was made: Chalice takes it again if nothing in it has changed since."""
    for package in cache.glob("*.zip"):
        if zipfile.is_zipfile(package) and not (packages / package.name).exists():
            shutil.copyfile(package, packages / package.name)


def _keep(packages: Path, cache: Path) -> None:
    """The newest alone; two deployments at once each leave a whole file."""
    newest = max(packages.glob("*.zip"), key=lambda package: package.stat().st_mtime)
    make_private(cache)
    for older in cache.glob("*.zip"):
        older.unlink(missing_ok=True)
    draft = cache / f"{os.getpid()}.new"
    shutil.copyfile(newest, draft)
    draft.replace(cache / newest.name)
