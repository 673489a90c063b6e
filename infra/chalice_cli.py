"""Chalice's command line with Decant's packager: `python -m infra.chalice_cli deploy --stage localstack`."""

import sys

import click
from chalice import cli
from chalice.deploy import deployer

from infra.errors import PackageError
from infra.packager import Packager


class _Reporting(Packager):
    """Ends the command with the one sentence that a person needs; Chalice would show a traceback."""

    def create_deployment_package(self, project_dir: str, python_version: str) -> str:
        try:
            return super().create_deployment_package(project_dir, python_version)
        except PackageError as error:
            raise click.ClickException(f"{error}.") from None


def main() -> int:
    deployer.LambdaDeploymentPackager = _Reporting  # type: ignore[attr-defined]  # where deploy and package find it
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
