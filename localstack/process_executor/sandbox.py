"""An execution environment: one invocation at a time, first cold, then warm, and cold again after a crash."""

import os
import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from process_executor import report
from process_executor.report import Outcome, Usage
from process_executor.runtime import Runtime
from process_executor.runtime_api import Answered, Exited, InitFailed, Invocation

_INIT_SECONDS = 10.0  # Lambda's own limit: loading beyond it counts against the function's timeout
_LARGEST_OUTPUT_BYTES = 1_048_576


@dataclass(frozen=True)
class Function:
    """What a sandbox needs to know of the function that it runs."""

    folder: Path
    environment: Mapping[str, str]
    version: str
    timeout_seconds: int
    memory_mb: int
    largest_payload: int


class Stopped(Exception):
    """An invocation came for a sandbox that was stopped."""


class Sandbox:
    """Owns the folder that it is given, with the function's temporary files and its output."""

    def __init__(self, function: Function, folder: Path) -> None:
        """Starts to load the function and does not wait for it."""
        temporary = folder / "tmp"
        temporary.mkdir(parents=True)
        self._function, self._folder = function, folder
        self._environment = {"HOME": str(temporary), **function.environment, "TMPDIR": str(temporary)}
        self._output = _Output(folder / "output.log")
        self._stopped, self._changing = False, threading.Lock()
        self._runtime = self._new_runtime()

    def invoke(self, invocation: Invocation) -> tuple[Outcome, str]:
        """The answer for the caller, and the invocation's log. Raises Stopped."""
        runtime = self._running()
        cold = not runtime.loaded
        event: Answered | InitFailed | Exited | None = runtime.load(_INIT_SECONDS)
        before, started = self._output.new(), time.monotonic()
        if event is None:
            event = runtime.work(invocation, self._function.timeout_seconds)
        outcome = self._outcome(invocation.request_id, event)
        usage = Usage(
            (time.monotonic() - started) * 1000,
            self._function.memory_mb,
            runtime.memory_mb,
            runtime.init_ms if cold else None,
        )
        if not isinstance(event, Answered):
            runtime.end()
        during = self._output.new()
        self._output.shorten()
        log = report.log_text(invocation.request_id, self._function.version, before, during, outcome, usage)
        return outcome, log

    def printed(self) -> str:
        """The function's output, as far as it has not been discarded."""
        return self._output.all()

    def stop(self) -> None:
        """An invocation in progress ends like one whose process was killed."""
        with self._changing:
            self._stopped = True
            self._runtime.end()
        shutil.rmtree(self._folder)

    def _running(self) -> Runtime:
        with self._changing:
            if self._stopped:
                raise Stopped
            if not self._runtime.running:
                self._runtime = self._new_runtime()
            return self._runtime

    def _new_runtime(self) -> Runtime:
        function = self._function
        return Runtime(self._environment, function.folder, self._output.file, function.largest_payload)

    def _outcome(self, request_id: str, event: Answered | InitFailed | Exited | None) -> Outcome:
        if event is None:
            return report.timed_out(request_id, self._function.timeout_seconds)
        if isinstance(event, Exited):
            return report.exited(request_id, event.status)
        if event.error_type is None:
            return Outcome(event.body)
        return report.failed(event.body, event.error_type)


class _Output:
    """A file, not a pipe: it never fills up, and output printed before an answer is there with the answer."""

    def __init__(self, path: Path) -> None:
        """The file stays open until it is garbage-collected: an invocation may read it after a stop."""
        self.file = path.open("ab+", buffering=0)
        self._read_bytes = 0

    def new(self) -> str:
        """What was printed since the last call."""
        output = self._from(self._read_bytes)
        self._read_bytes += len(output)
        return output.decode(errors="replace")

    def all(self) -> str:
        return self._from(0).decode(errors="replace")

    def shorten(self) -> None:
        """Truncates the file if it has grown long; what is printed at that very moment is lost."""
        if self._read_bytes > _LARGEST_OUTPUT_BYTES:
            os.ftruncate(self.file.fileno(), 0)
            self._read_bytes = 0

    def _from(self, start: int) -> bytes:
        size = os.fstat(self.file.fileno()).st_size
        return os.pread(self.file.fileno(), max(size - start, 0), start)
