"""Runs `chalice deploy` against LocalStack: this checkout's app, in the package that AWS would get.

Chalice's record of a deployment is kept in the folder of its LocalStack, and is removed with it.
"""

import json
import os
import sys
from pathlib import Path

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from local.errors import LocalError, ServerFailed
from local.folders import ROOT, make_private
from local.processes import Child

STAGE = "localstack"

# LocalStack accepts any credentials. These reveal nothing of a real account, and AWS would refuse them.
DUMMY_CREDENTIALS = {
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
_PACKAGES = ROOT / ".chalice" / "deployments"
_MIGRATION_SECONDS = 70


def deploy(folder: Path, endpoint: str, log: Path) -> str:
    """Returns the URL of the API. Raises ServerFailed."""
    project = _project(folder / "project")
    _chalice(project, endpoint, log)
    _remove_older_packages()
    deployed = json.loads((project / ".chalice" / "deployed" / f"{STAGE}.json").read_text(encoding="utf-8"))
    api = next(one for one in deployed["resources"] if one["resource_type"] == "rest_api")
    return f"{endpoint}/_aws/execute-api/{api['rest_api_id']}/api"


def migrate(endpoint: str) -> None:
    """Invokes the Lambda that migrates the database, as on AWS. Raises LocalError."""
    client = boto3.client(
        "lambda",
        endpoint_url=endpoint,
        region_name=DUMMY_CREDENTIALS["AWS_DEFAULT_REGION"],
        aws_access_key_id=DUMMY_CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=DUMMY_CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(read_timeout=_MIGRATION_SECONDS, retries={"total_max_attempts": 1}),
    )
    try:
        answer = client.invoke(FunctionName=f"decant-{STAGE}-migrate")
    except (BotoCoreError, ClientError) as error:
        raise LocalError(f"the migration could not be invoked: {error}") from error
    said = json.load(answer["Payload"])
    if "FunctionError" in answer:
        raise LocalError(f"the migration failed: {said.get('errorType')}: {said.get('errorMessage')}")


def _project(project: Path) -> Path:
    """Links the checkout's code, Chalice's settings, and the packages, of which the newest may be reused."""
    make_private(project / ".chalice")
    _PACKAGES.mkdir(exist_ok=True)
    settings = (".chalice/config.json", f".chalice/policy-{STAGE}.json", ".chalice/deployments")
    for name in ("app.py", "chalicelib", "requirements.txt", *settings):
        (project / name).unlink(missing_ok=True)
        (project / name).symlink_to(ROOT / name)
    return project


def _chalice(project: Path, endpoint: str, log: Path) -> None:
    """Raises ServerFailed, and Stopped."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    child = Child(
        "chalice deploy",
        [
            sys.executable,
            "-m",
            "infra.chalice_cli",
            "--project-dir",
            str(project),
            "deploy",
            "--stage",
            STAGE,
        ],
        env={**inherited, "AWS_ENDPOINT_URL": endpoint, **DUMMY_CREDENTIALS, "PYTHONDONTWRITEBYTECODE": "1"},
        cwd=ROOT,
        log=log,
    )
    if status := child.wait():
        raise ServerFailed(child.name, f"failed (exit status {status})", log)


def _remove_older_packages() -> None:
    """Keeps only the newest: Chalice keeps one for each version of the code that was ever deployed."""
    by_age = sorted(_PACKAGES.glob("*.zip"), key=lambda package: package.stat().st_mtime)
    for older in by_age[:-1]:
        older.unlink(missing_ok=True)
