"""The cost of a cold start: from a fresh interpreter to the first answer, with bytecode and without.

A Lambda's code folder is read-only. Here `-B` stands in for that, since root could write anywhere.
"""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

from bench import events, secret, settings
from bench.ingest.decant import Decant
from bench.ingest.pages import pages_of, records_of
from bench.package import Package
from bench.rounds import Turns, take_turns
from bench.servers import Servers
from infra import contents
from infra.package import ROOT

_BYTECODE = ignore_patterns("__pycache__")

_SCRIPT = """
import json, os, sys
sys.path[:0] = {folders!r}
import {module}
context = type("Context", (), {{"aws_request_id": "0", "function_name": "bench"}})()
answer = sys.modules[{module!r}].{name}(json.loads({event!r}), context)
os.write({pipe}, json.dumps(answer).encode())
"""


_MINIMAL = ("chalice", "redis", "psycopg2-binary")


@dataclass(frozen=True)
class Start:
    """A handler to start, and the libraries it needs; none if it is in Decant's package."""

    title: str
    module: str
    name: str = "handler"
    needs: tuple[str, ...] = ()


STARTS = {
    "decant": Start("**Decant**, one person from Redis", "app", "app"),
    "secret": Start("Decant, settings from Secrets Manager", "app", "app"),
    "authorizer": Start("Decant's authorizer", "app", "authorize"),
    "ingest": Start("Decant's `ingest`, imports only", "bench.handlers.decant_ingest"),
    "alone": Start("Chalice", "bench.handlers.chalice_alone", needs=("chalice",)),
    "chalice": Start(
        "Chalice + redis + psycopg2, one person from Redis", "bench.handlers.minimal_chalice", needs=_MINIMAL
    ),
    "boto3": Start("the same + boto3", "bench.handlers.chalice_boto3", needs=(*_MINIMAL, "boto3")),
    "pandas": Start("the same + pandas", "bench.handlers.chalice_pandas", needs=(*_MINIMAL, "pandas")),
    "fastapi": Start(
        "FastAPI + Mangum + redis + psycopg2",
        "bench.handlers.fastapi_mangum",
        needs=("fastapi", "mangum", "redis", "psycopg2-binary"),
    ),
}


class ColdStart:
    """Starts one interpreter per turn, which answers once and is then killed."""

    def __init__(
        self, start: Start, folders: list[Path], event: dict[str, Any], env: Mapping[str, str]
    ) -> None:
        self._env, self._answer = env, b""
        self._names = {
            "module": start.module,
            "name": start.name,
            "folders": list(map(str, folders)),
            "event": json.dumps(event),
        }

    def prepare(self) -> None:
        self._read_end, write_end = os.pipe()
        script = _SCRIPT.format(**self._names, pipe=write_end)
        self._write_end, self._argv = write_end, [sys.executable, "-I", "-S", "-B", "-c", script]

    def work(self) -> None:
        self._process = subprocess.Popen(
            self._argv, env=self._env, cwd="/", stdout=subprocess.DEVNULL, pass_fds=[self._write_end]
        )
        os.close(self._write_end)
        self._answer = os.read(self._read_end, 1 << 16)

    def check(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._read_end)
        answer: dict[str, Any] = json.loads(self._answer or "{}")
        if answer.get("statusCode") != 200 and "policyDocument" not in answer:
            raise ValueError(f"unexpected answer: {answer}")


Starts = dict[tuple[str, bool], Turns]  # by name, and whether there was bytecode


def starts(
    servers: Servers, built: Package, scratch: Path, rounds: int, names: Sequence[str] = tuple(STARTS)
) -> Starts:
    """Runs the named starts, each with bytecode and without."""
    chosen = {name: STARTS[name] for name in names}
    uid, folders = _cached_uid(servers), _folders(built, scratch, chosen.values())
    with secret.serve(settings.of(servers)) as secret_env:
        competitors = {}
        for name, start in chosen.items():
            event = events.authorize(settings.API_KEY) if name == "authorizer" else events.get_user(uid)
            env = secret_env if name == "secret" else settings.of(servers)
            for compiled in (True, False):
                places = [folders[not start.needs, compiled]]
                if name == "secret":
                    places.append(folders[False, compiled])  # boto3 comes from AWS's runtime
                competitors[name, compiled] = ColdStart(start, places, event, env)
        return take_turns(competitors, rounds)


def _cached_uid(servers: Servers) -> str:
    """The uid of a person who is in Redis."""
    pages = pages_of(100, 100)
    with contextlib.closing(Decant(servers, pages)) as decant:
        decant.prepare()
        decant.work()
    return str(records_of(pages.bodies[0])[-1]["uid"])


def _folders(built: Package, scratch: Path, chosen: Iterable[Start]) -> dict[tuple[bool, bool], Path]:
    """Code folders, by whether they hold Decant's package (else competitors' libraries) and bytecode."""
    needs = {library for start in chosen for library in start.needs}
    compiled = {True: built.folder, False: _installed(needs, built.pins, scratch / "competitors")}
    folders = {}
    for of_decant, folder in compiled.items():
        copytree(ROOT / "bench/handlers", folder / "bench/handlers", ignore=_BYTECODE)
        contents.compile_sources(folder / "bench")
        folders[of_decant, True] = folder
        folders[of_decant, False] = copytree(folder, scratch / f"sources-{of_decant}", ignore=_BYTECODE)
    return folders


def _installed(libraries: Iterable[str], pins: Path, folder: Path) -> Path:
    """Installs the versions pinned in Decant's package, if it has them. A handler imports its own share."""
    pinned = dict(line.split("==") for line in pins.read_text(encoding="utf-8").split())
    wanted = [f"{name}=={pinned.get(name.replace('-', '_')) or version(name)}" for name in sorted(libraries)]
    command = ("-m", "pip", "install", "-qq", "--disable-pip-version-check", "--no-compile", "--target")
    subprocess.run([sys.executable, *command, folder, *wanted], check=True)
    contents.compile_sources(folder)
    return folder


def markdown(found: Starts) -> str:
    """A Markdown table."""
    lines = [
        "| first answer of | ms, with bytecode | fastest – slowest | ms, without | of the minimal app |",
        "|---|---:|---:|---:|---:|",
    ]
    for name, start in STARTS.items():
        compiled, uncompiled = found[name, True], found[name, False]
        fastest, slowest = (f"{seconds * 1000:,.0f}" for seconds in compiled.spread)
        ratio = compiled.ratio_to(found["chalice", True])
        figures = f"{compiled.median * 1000:,.0f} | {fastest} – {slowest} | {uncompiled.median * 1000:,.0f}"
        lines.append(f"| {start.title} | {figures} | {ratio:.2f} |")
    return "\n".join(lines)
