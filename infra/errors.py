"""The errors of packaging and deploying. Each is one sentence for the person at the terminal."""


class InfraError(Exception):
    """The root."""


class PackageError(InfraError):
    """The package cannot be built, or would not run in a Lambda."""


class DeployError(InfraError):
    """AWS did not reach the requested state."""
