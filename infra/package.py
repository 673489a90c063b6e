"""`make package STAGE=prod`: builds the zip and the template that CloudFormation deploys, in build/prod/."""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from chalice.package import TemplateDeepMerger

from infra import archive
from infra.errors import PackageError
from infra.gateway import template

ROOT = Path(__file__).parent.parent
RUNTIME = (3, 13)

# Above the current sizes, so that growth is noticed, but not by so little that a library's next release stops
# a deployment. Lambda's limit is 250 MB unzipped.
ZIPPED_MB, UNZIPPED_MB = 48, 145


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--stage", default="prod")
    stage = parser.parse_args().stage
    try:
        build(stage, ROOT / "build" / stage)
    except PackageError as error:
        print(f"make package: {error}.", file=sys.stderr)
        return 1
    return 0


def build(stage: str, target: Path) -> None:
    """Leaves deployment.zip, sam.json and packages.txt in the target. Raises PackageError."""
    if sys.version_info[:2] != RUNTIME:
        wanted, here = (".".join(map(str, version)) for version in (RUNTIME, sys.version_info[:2]))
        raise PackageError(
            f"the functions run Python {wanted}, and bytecode works with one version only; this is {here}: "
            f"`make package PYTHON=python{wanted}`"
        )
    if stage not in _config()["stages"]:
        raise PackageError(f".chalice/config.json has no stage {stage}")
    with TemporaryDirectory() as scratch:
        merged = Path(scratch, "merge.json")
        merged.write_text(json.dumps(additions(stage)), encoding="utf-8")
        _chalice_package(stage, merged, target)
    zipped = target / "deployment.zip"
    (target / "packages.txt").write_text("\n".join([*archive.versions(zipped), ""]), encoding="utf-8")
    _check_sizes(zipped)


def additions(stage: str) -> dict[str, Any]:
    """What is merged into Chalice's template: app.yaml, and API Gateway's own answers."""
    app: dict[str, Any] = yaml.safe_load((ROOT / "infra/app.yaml").read_text(encoding="utf-8"))
    variables = os.environ | _config()["stages"][stage].get("environment_variables", {})
    gateway = template(variables.get("ALLOWED_ORIGIN"))  # the same lookup as in the app when Chalice loads it
    merged: dict[str, Any] = TemplateDeepMerger().merge(app, gateway)
    return merged


def _config() -> dict[str, Any]:
    config: dict[str, Any] = json.loads((ROOT / ".chalice/config.json").read_text(encoding="utf-8"))
    return config


def _chalice_package(stage: str, merged: Path, target: Path) -> None:
    command = ("-m", "infra.chalice_cli", "package", "--stage", stage, "--merge-template", str(merged))
    # Chalice requires a region although nothing that it writes here depends on one.
    environment = {"AWS_DEFAULT_REGION": "us-east-1"} | os.environ
    done = subprocess.run([sys.executable, *command, str(target)], cwd=ROOT, env=environment, check=False)
    if done.returncode:
        raise PackageError("Chalice could not build the package; see its output above")


def _check_sizes(zipped: Path) -> None:
    small, large = archive.sizes(zipped)
    print(f"{'MB':36} zipped  unzipped")
    for name, size in large.most_common():
        print(f"{name:36} {small[name] / 1e6:6.1f}  {size / 1e6:8.1f}")
    mb_zipped, mb_unzipped = small.total() / 1e6, large.total() / 1e6
    print(f"{'all':36} {mb_zipped:6.1f}  {mb_unzipped:8.1f}")
    if mb_zipped > ZIPPED_MB or mb_unzipped > UNZIPPED_MB:
        raise PackageError(
            f"the package is larger than {ZIPPED_MB} MB zipped or {UNZIPPED_MB} MB unzipped; "
            "prune it in infra/contents.py, or raise the limit in infra/package.py"
        )


if __name__ == "__main__":
    sys.exit(main())
