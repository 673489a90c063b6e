"""Everything that could store or reveal a value: the servers, the processes, their output and files."""

import os
import subprocess
import sys
import time
import traceback
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from local.folders import ROOT
from local.postgres import Postgres
from local.processes import free_port, listening
from local.run import http_server_argv
from local.valkey import Valkey
from tests import checkout
from tests.leaks import writes
from tests.leaks.source import Source

_PATIENCE_SECONDS = 60
_SITE = "from pathlib import Path\nfrom tests.leaks.writes import note_in\nnote_in(Path({list!r}))\n"


@dataclass(frozen=True)
class Process:
    """A watched Python process, and the files with its output."""

    popen: subprocess.Popen[bytes]
    stdout: Path
    stderr: Path

    def wait(self) -> int:
        """Waits for its exit status; kills it if it takes too long."""
        try:
            return self.popen.wait(_PATIENCE_SECONDS)
        finally:
            self.kill()

    def kill(self) -> None:
        self.popen.kill()
        self.popen.wait()


class System:
    """The servers and processes, and their output so far: for each sink, texts with their origin."""

    def __init__(self, folder: Path, postgres: Postgres, valkey: Valkey, source: Source) -> None:
        self.postgres, self.valkey, self.source = postgres, valkey, source
        self.noted = defaultdict[str, list[tuple[str, bytes]]](list)
        self.work, self.temporary, self.outputs = folder / "work", folder / "temporary", folder / "outputs"
        self.list_of_written, self._site = folder / "written", folder / "site"
        for one in (self.work, self.temporary, self.outputs, self._site):
            one.mkdir()
        self.list_of_written.touch()
        begin = _SITE.format(list=str(self.list_of_written))
        (self._site / "sitecustomize.py").write_text(begin, encoding="utf-8")

    def note(self, sink: str, place: str, text: str | bytes) -> None:
        encoded = text if isinstance(text, bytes) else text.encode("utf-8", "backslashreplace")
        self.noted[sink].append((place, encoded))

    def note_error(self, error: BaseException) -> None:
        """Notes everything that a handler of this error could reveal."""
        self.note("errors", type(error).__name__, "\n".join(_texts_of(error)))

    def note_answer(self, place: str, head: str, body: bytes) -> None:
        """Notes an answer of the HTTP API."""
        self.note("HTTP heads", place, head)
        self.note("HTTP bodies", place, body)
        if place.startswith("DELETE"):
            self.note("receipts", place, body)

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Notes the files that this process writes in the meantime."""
        with writes.noted_in(self.list_of_written):
            yield

    def start(self, name: str, argv: Sequence[str], environment: Mapping[str, str]) -> Process:
        """Starts a Python program with these settings and no others. The caller must end it."""
        own = {
            "PYTHONPATH": os.pathsep.join((str(self._site), str(ROOT))),
            "PYTHONUNBUFFERED": "1",
            "TMPDIR": str(self.temporary),
        }
        draft = f"{len(list(self.outputs.iterdir())) // 2:02} {name}"
        stdout, stderr = self.outputs / f"{draft}.stdout", self.outputs / f"{draft}.stderr"
        with stdout.open("xb") as out, stderr.open("xb") as err:
            popen = subprocess.Popen(
                [sys.executable, *argv], env=checkout.environment(**{**environment, **own}), cwd=self.work,
                stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip
        return Process(popen, stdout, stderr)

    @contextmanager
    def serving(self, environment: Mapping[str, str]) -> Iterator[int]:
        """Runs `chalice local` as `make run` does; yields its port."""
        port = free_port()
        process = self.start("chalice local", http_server_argv(port), environment)
        try:
            deadline = time.monotonic() + _PATIENCE_SECONDS
            while not listening(port):
                assert process.popen.poll() is None, process.stderr.read_text(encoding="utf-8")
                assert time.monotonic() < deadline
                time.sleep(0.02)
            yield port
        finally:
            process.kill()


def _texts_of(error: BaseException) -> Iterator[str]:
    """The texts and attributes of it and of every chained error, whether or not a traceback shows them."""
    seen, waiting = set[int](), [error]
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield from (str(one), repr(one), repr(one.args), repr(vars(one)), *traceback.format_exception(one))
        inner = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        waiting += [other for other in (one.__cause__, one.__context__, *inner) if other is not None]
