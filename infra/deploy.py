"""`make deploy STAGE=prod` and `make destroy STAGE=prod`: say what they will do, ask, and do it."""

import argparse
import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra import secret
from infra.errors import DeployError
from infra.stacks import Stack

ROOT = Path(__file__).parent.parent

# The CA bundle that verifies Postgres' certificate, by the value of Proxy: DatabaseAuthorities in base.yaml.
_AUTHORITIES = {"true": "certifi/cacert.pem", "false": "chalicelib/rds.pem"}

# The outputs of the base stack that are parameters of the app.
_OF_BASE = ("ArtifactBucket", "SubnetIds", "SecurityGroupId", "SettingsSecretArn")

_LEAST_UNRESERVED = 100  # executions that AWS wants to leave to functions without a reservation

Asks = Callable[[str], bool]


def deploy(
    stage: str, session: Any, given: Mapping[str, str], settings: Mapping[str, Any], ask: Asks
) -> None:
    """Deploys the base stack, which outlives the app, then the settings, then the app. Raises DeployError."""
    cloudformation = session.client("cloudformation")
    base, app = _stacks(cloudformation, stage)
    _announce(session, stage)
    template = {"TemplateBody": (ROOT / "infra/base.yaml").read_text(encoding="utf-8")}
    build = ROOT / "build" / stage
    app_template = json.loads((build / "sam.json").read_text(encoding="utf-8"))  # too large for a request
    common = {"Stage": stage, **given}
    planned = base.planned_parameters(template, common)
    _refuse_unknown(given, {*planned, *app_template["Parameters"]})
    _refuse_package_without(planned["Proxy"], build / "deployment.zip")
    if not base.exists():
        secret.check_new(settings)
    if not app.exists() and _reserves_executions(app_template):
        _refuse_small_quota(session.client("lambda"))
    _change(base, template, common, ask, _ask)
    base.protect()
    outputs = base.outputs()
    _set(session.client("secretsmanager"), outputs, settings, ask)
    uploaded, artifact = _upload(session.client("s3"), outputs["ArtifactBucket"], build)
    known = {name: outputs[name] for name in _OF_BASE} | {"ArtifactKey": artifact}
    _change(app, uploaded, common | known, ask)
    print(f"Decant is running at {app.outputs()['EndpointURL']}")


def destroy(stage: str, session: Any, everything: bool, ask: Asks) -> None:
    """Deletes the app; with ``everything`` also the base stack. Raises DeployError."""
    base, app = _stacks(session.client("cloudformation"), stage)
    _announce(session, stage)
    doomed = [stack for stack in ((app, base) if everything else (app,)) if stack.exists()]
    if not doomed:
        raise DeployError(f"there is no stack {app.name}")
    for stack in doomed:
        print(f"{stack.name} would be deleted:")
        print(*(f"! {resource}" for resource in stack.resources()), sep="\n")
    kept = "Postgres' password and a final snapshot of Postgres" if everything else "Postgres and the cache"
    print(
        f"Messages in the queues and the logs of the functions are lost. Settings, packages, {kept} are kept."
    )
    if not ask(f"Delete {' and '.join(stack.name for stack in doomed)}?"):
        raise DeployError("nothing was deleted")
    for stack in doomed:
        stack.delete()
        print(f"{stack.name} is deleted.")


def _stacks(cloudformation: Any, stage: str) -> tuple[Stack, Stack]:
    base = Stack(cloudformation, f"decant-{stage}-base", f"make destroy STAGE={stage} ALL=1")
    return base, Stack(cloudformation, f"decant-{stage}", f"make destroy STAGE={stage}")


def _announce(session: Any, stage: str) -> None:
    account = session.client("sts").get_caller_identity()["Account"]
    print(f"Stage {stage} in account {account}, region {session.region_name}")


def _change(
    stack: Stack,
    template: Mapping[str, str],
    parameters: Mapping[str, str],
    ask: Asks,
    ask_before_loss: Asks | None = None,
) -> None:
    """``ask_before_loss`` is asked in place of ``ask`` if a resource would be removed or may be replaced."""
    plan = stack.plan(template, parameters)
    if plan is None:
        print(f"{stack.name}: nothing to change.")
        return
    print(f"{stack.name} would {'be created' if plan.first else 'change'}:")
    print(*plan.changes, sep="\n")
    if ask_before_loss and any(change.is_destructive for change in plan.changes):
        ask = ask_before_loss
    if not ask(f"{'Create' if plan.first else 'Change'} {stack.name}?"):
        stack.discard(plan)
        raise DeployError(f"{stack.name} was not changed")
    print("This takes a few minutes …")
    stack.execute(plan)


def _set(secretsmanager: Any, outputs: Mapping[str, str], settings: Mapping[str, Any], ask: Asks) -> None:
    """Asks first: the functions of an existing app read the secret within minutes."""

    def approve(names: Sequence[str]) -> bool:
        print(f"Settings: {', '.join(names)} would be set.")
        return ask("Set them?")

    if not secret.complete(secretsmanager, outputs, settings, approve):
        print("Settings: unchanged.")


def _reserves_executions(template: Mapping[str, Any]) -> bool:
    resources = template.get("Resources", {}).values()
    return any(resource.get("Properties", {}).get("ReservedConcurrentExecutions") for resource in resources)


def _refuse_small_quota(functions: Any) -> None:
    """AWS refuses the execution that ``ingest`` reserves if fewer than 100, or the whole quota, were left."""
    limit = functions.get_account_settings()["AccountLimit"]
    left, quota = limit["UnreservedConcurrentExecutions"], limit["ConcurrentExecutions"]
    if left <= _LEAST_UNRESERVED:
        raise DeployError(
            f"the account's quota of {quota} concurrent executions is too small to reserve one for ingest; "
            "request a higher one, or see docs/deploy.md"
        )


def _refuse_unknown(given: Mapping[str, str], known: set[str]) -> None:
    """A misspelt name, or that of a parameter which is set here, would silently have no effect."""
    if ours := given.keys() & {"Stage", "ArtifactKey", *_OF_BASE}:
        raise DeployError(f"PARAMETERS: {', '.join(sorted(ours))} cannot be set; the stage is set as STAGE=…")
    if unknown := given.keys() - known:
        raise DeployError(f"PARAMETERS: unknown name {', '.join(sorted(unknown))}")


def _refuse_package_without(proxy: str, package: Path) -> None:
    """Postgres would be unreachable: its certificate is verified with a CA bundle from the package."""
    if proxy not in _AUTHORITIES:
        raise DeployError(f"Proxy must be {' or '.join(_AUTHORITIES)}")
    authorities = _AUTHORITIES[proxy]
    with ZipFile(package) as packed:
        if authorities not in packed.namelist():
            raise DeployError(
                f"the package does not contain {authorities}; see docs/deploy.md for where to get it"
            )


def _upload(s3: Any, bucket: str, build: Path) -> tuple[dict[str, str], str]:
    """Uploads template and package to where CloudFormation finds them, under hashes of their contents.
    The versions in the package are uploaded beside it."""
    keys = {}
    for name in ("deployment.zip", "sam.json"):
        content = (build / name).read_bytes()
        keys[name] = f"{hashlib.sha256(content).hexdigest()[:32]}/{name}"
        s3.put_object(Bucket=bucket, Key=keys[name], Body=content)
    pins = keys["deployment.zip"].replace("deployment.zip", "packages.txt")
    s3.put_object(Bucket=bucket, Key=pins, Body=(build / "packages.txt").read_bytes())
    url = f"https://{bucket}.s3.{s3.meta.region_name}.amazonaws.com/{keys['sam.json']}"
    return {"TemplateURL": url}, keys["deployment.zip"]


def _ask(question: str) -> bool:
    """No answer means no."""
    try:
        return input(f"{question} [y/N] ").strip().lower() == "y"
    except (EOFError, KeyboardInterrupt):
        print()
        return False


def _pairs(text: str) -> dict[str, str]:
    pairs = [word.partition("=") for word in text.split()]
    if not all(name and sign for name, sign, _ in pairs):
        raise DeployError("PARAMETERS must be words like AlarmEmail=me@example.com")
    return {name: value for name, _, value in pairs}


def _settings(file: str) -> dict[str, Any]:
    if not file:
        return {}
    try:
        settings = json.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        settings = None
    if not isinstance(settings, dict):
        raise DeployError("SETTINGS must name a file that holds a JSON object")
    return settings


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("deploy", "destroy"))
    parser.add_argument("--stage", default="prod")
    parser.add_argument("--yes", action="store_true")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--parameters", default="")
    parser.add_argument("--settings", default="")
    options = parser.parse_args()
    ask: Asks = (lambda _: True) if options.yes else _ask
    try:
        if options.what == "deploy":
            given = _pairs(options.parameters), _settings(options.settings)
            deploy(options.stage, boto3.Session(), *given, ask)
        else:
            destroy(options.stage, boto3.Session(), options.all, ask)
    except (DeployError, BotoCoreError, ClientError) as error:
        print(f"make {options.what}: {str(error).rstrip('.')}.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nmake {options.what}: stopped. What CloudFormation has begun continues.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
