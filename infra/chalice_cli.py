"""Chalice's command line with Decant's packager: `python -m infra.chalice_cli deploy --stage localstack`."""

import sys

import click
from chalice import cli
from chalice.awsclient import TypedAWSClient
from chalice.deploy import deployer

from infra.errors import PackageError
from infra.packager import Packager


class _Reporting(Packager):
    """Ends the command with one sentence for the user; Chalice would show a traceback."""

    def create_deployment_package(self, project_dir: str, python_version: str) -> str:
        try:
            return super().create_deployment_package(project_dir, python_version)
        except PackageError as error:
            raise click.ClickException(f"{error}.") from None


class _FasterPolling(TypedAWSClient):
    """Waits for a function's new code as long as boto3 does, but polls more often than every five seconds."""

    def _wait_for_function_update(self, function_name: str) -> None:
        waiter = self._client("lambda").get_waiter("function_updated")
        waiter.wait(FunctionName=function_name, WaiterConfig={"Delay": 0.5, "MaxAttempts": 600})


def main() -> int:
    deployer.LambdaDeploymentPackager = _Reporting  # type: ignore[attr-defined]  # where deploy and package look it up
    deployer.TypedAWSClient = _FasterPolling  # type: ignore[attr-defined]
    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
