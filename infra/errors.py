"""The errors of packaging and deploying. Each is one sentence for the person at the terminal."""


class PackageError(Exception):
    """The package cannot be built, or would not run in a Lambda."""


class DeployError(Exception):
    """AWS did not reach the requested state."""
