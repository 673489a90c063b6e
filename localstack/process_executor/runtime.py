"""One process of a function, from its start to its end, and the Runtime API that it talks to."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import BinaryIO

import psutil

from process_executor.runtime_api import Answered, Event, Exited, InitFailed, Invocation, Ready, RuntimeApi

_BOOTSTRAP = Path(__file__).with_name("bootstrap.py")


class Runtime:
    """Starts at once and never again: after a crash or a timeout, another one takes over."""

    def __init__(
        self, environment: Mapping[str, str], folder: Path, output: BinaryIO, largest_payload: int
    ) -> None:
        """The process works in the function's ``folder``; all that it prints goes to ``output``."""
        self._events: SimpleQueue[Event] = SimpleQueue()
        self._api = RuntimeApi(self._events, largest_payload)
        self._group = threading.Lock()  # held while the process id is certain to be its own
        self._has_ended = False
        self._started, self._ready = time.monotonic(), 0.0
        read_end, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603  our own bootstrap
                [sys.executable, "-S", "-s", "-P", str(_BOOTSTRAP), str(read_end)],
                env={**environment, "AWS_LAMBDA_RUNTIME_API": self._api.address},
                cwd=folder, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                pass_fds=(read_end,), start_new_session=True,
            )  # fmt: skip
        except OSError:
            os.close(self._lifeline)
            self._api.close()
            raise
        finally:
            os.close(read_end)
        self._watcher = threading.Thread(target=self._reap, daemon=True)
        self._watcher.start()

    @property
    def running(self) -> bool:
        return not self._has_ended and self._process.returncode is None

    @property
    def loaded(self) -> bool:
        return bool(self._ready)

    @property
    def init_ms(self) -> float:
        """How long the function took to load, or has taken until now."""
        return ((self._ready or time.monotonic()) - self._started) * 1000

    @property
    def memory_mb(self) -> int:
        """The current resident memory; 0 once the process has ended."""
        try:
            return int(psutil.Process(self._process.pid).memory_info().rss) // 1_048_576
        except psutil.Error:
            return 0

    def load(self, seconds: float) -> InitFailed | Exited | None:
        """Waits until it is loaded, at most ``seconds`` from its start. None if it is, or takes longer."""
        deadline = self._started + seconds
        while not self._ready:
            event = self._next(deadline)
            if event is None or isinstance(event, InitFailed | Exited):
                return event
        return None

    def work(self, invocation: Invocation, seconds: float) -> Answered | InitFailed | Exited | None:
        """The outcome of the invocation; None if there is none within ``seconds``."""
        deadline = time.monotonic() + seconds
        self._api.submit(invocation, seconds)
        while (event := self._next(deadline)) is not None:
            if not isinstance(event, Ready):
                return event
        return None

    def end(self) -> None:
        """Kills the process, and whatever it started, and waits for it."""
        self._kill()
        self._watcher.join()

    def _next(self, deadline: float) -> Event | None:
        try:
            event = self._events.get(timeout=max(deadline - time.monotonic(), 0))
        except Empty:
            return None
        if isinstance(event, Ready) and not self._ready:
            self._ready = time.monotonic()
        return event

    def _kill(self) -> None:
        with self._group:
            if not self._has_ended:
                os.killpg(self._process.pid, signal.SIGKILL)

    def _reap(self) -> None:
        os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)  # still a zombie: the id is its own
        self._kill()
        with self._group:
            self._has_ended = True
            status = self._process.wait()
        os.close(self._lifeline)
        self._api.close()
        self._events.put(Exited(status))
