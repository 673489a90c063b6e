"""The errors of packaging and deploying. Each is one sentence for the person at the terminal."""


class InfraError(Exception):
    """The root."""


class PackageError(InfraError):
    """What was packaged would not run in a Lambda."""


class DeployError(InfraError):
    """AWS did not come to the state that was asked for."""
