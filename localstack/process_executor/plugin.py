"""Implements LocalStack's interface for runtime executors with sandboxes.

LAMBDA_RUNTIME_EXECUTOR=process selects it.
"""

import platform
import sys
from pathlib import Path
from typing import Any

from localstack.services.lambda_.invocation.lambda_models import FunctionVersion, InvocationResult
from localstack.services.lambda_.invocation.plugins import RuntimeExecutorPlugin
from localstack.services.lambda_.invocation.runtime_executor import LambdaRuntimeException, RuntimeExecutor

from localstack import config  # type: ignore[attr-defined]
from process_executor import packages
from process_executor.code import CodeFolders
from process_executor.runtime_api import Invocation
from process_executor.sandbox import Function, Sandbox

_ROOT = Path(config.dirs.tmp) / "process-executor"
_PACKAGES = _ROOT / "packages"
_RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"
_ARCHITECTURE = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())

# As on Lambda, or in place of its values.
_DEFAULTS = {"LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin"}

_code = CodeFolders(_ROOT / "code")


class ProcessExecutorPlugin(RuntimeExecutorPlugin):  # type: ignore[misc]  # LocalStack is not typed
    name = "process"

    def load(self, *_: Any, **__: Any) -> type[RuntimeExecutor]:
        return ProcessExecutor


class ProcessExecutor(RuntimeExecutor):  # type: ignore[misc]
    """One execution environment of a function version."""

    _sandbox: Sandbox | None = None

    def start(self, env_vars: dict[str, Any]) -> None:
        """Does not wait for the function to load: a failure to load is the answer to the first invocation."""
        settings = self.function_version.config
        folder = _code.folder_of(self.function_version)
        given = {name: str(value) for name, value in env_vars.items()}
        reserved = {
            "AWS_EXECUTION_ENV": f"AWS_Lambda_{settings.runtime}",
            "LAMBDA_TASK_ROOT": str(folder),
            "LAMBDA_RUNTIME_DIR": str(_PACKAGES),
        }
        function = Function(
            folder=folder,
            environment=_DEFAULTS | given | reserved,
            version=self.function_version.id.qualifier,
            timeout_seconds=settings.timeout,
            memory_mb=settings.memory_size,
            largest_payload=config.LAMBDA_LIMITS_MAX_FUNCTION_PAYLOAD_SIZE_BYTES,
        )
        self._sandbox = Sandbox(function, _ROOT / "sandboxes" / self.id)

    def invoke(self, payload: dict[str, str]) -> InvocationResult:
        if self._sandbox is None:
            raise LambdaRuntimeException(f"sandbox {self.id} was not started")
        invocation = Invocation(
            request_id=payload["invoke-id"],
            function_arn=payload["invoked-function-arn"],
            payload=payload["payload"].encode(),
            trace_id=payload["trace-id"],
        )
        outcome, log = self._sandbox.invoke(invocation)
        return InvocationResult(invocation.request_id, outcome.payload, outcome.is_error, log)

    def stop(self) -> None:
        if self._sandbox:
            self._sandbox.stop()
        self._sandbox = None

    def get_logs(self) -> str:
        return self._sandbox.printed() if self._sandbox else ""

    def get_address(self) -> str:
        return "127.0.0.1"

    def get_endpoint_from_executor(self) -> str:
        """LocalStack's address as the function sees it."""
        return "127.0.0.1"

    def get_runtime_endpoint(self) -> str:
        """Unused: each process has a Runtime API of its own."""
        return ""

    @classmethod
    def validate_environment(cls) -> bool:
        """LocalStack calls this once, before it creates the first function."""
        packages.link_into(_PACKAGES)
        return True

    @classmethod
    def prepare_version(cls, function_version: FunctionVersion) -> None:
        """Raises LambdaRuntimeException for a function that cannot run here; LocalStack marks it failed."""
        settings = function_version.config
        if settings.runtime != _RUNTIME:
            raise LambdaRuntimeException(f"this process executor runs {_RUNTIME}, not {settings.runtime}")
        if settings.architectures != [_ARCHITECTURE]:
            wanted = ", ".join(settings.architectures)
            raise LambdaRuntimeException(
                f"this machine is {_ARCHITECTURE}, and the function requires {wanted}"
            )
        if settings.layers:
            raise LambdaRuntimeException("the process executor does not support layers")
        _code.acquire(function_version)

    @classmethod
    def cleanup_version(cls, function_version: FunctionVersion) -> None:
        _code.release(function_version)
