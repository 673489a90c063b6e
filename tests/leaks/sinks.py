"""Every place where a value could be stored or revealed, and how to read all of it."""

import contextlib
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import psycopg2
import redis

from local import installation
from tests.leaks.system import System

Place = tuple[str, bytes]

_LARGEST_FILE = 64 * 1024 * 1024
_BLOCK, _OVERLAP = 65_536, 256
_METRIC = b'"_aws"'  # marks a line in CloudWatch's embedded metric format


@dataclass(frozen=True)
class Sink:
    """One kind of place. Some may hold values that the contract keeps; none may hold a raw value."""

    name: str
    read: Callable[[System], Iterator[Place]]
    may_hold_kept: bool = False


def _dump(system: System) -> Iterator[Place]:
    """Every database, schema, table, function, comment and role."""
    program = installation._programs() / "pg_dumpall"
    password = unquote(urlsplit(system.postgres.url).password or "")
    done = subprocess.run(
        [str(program), "--dbname", system.postgres.url],
        env={**os.environ, "PGPASSWORD": password},
        capture_output=True,
        check=True,
    )
    yield "pg_dumpall", done.stdout


def _rows(system: System, *queries: str) -> Iterator[Place]:
    with (
        contextlib.closing(psycopg2.connect(system.postgres.url)) as connection,
        connection.cursor() as cursor,
    ):
        for query in queries:
            cursor.execute(query)
            yield query, "\n".join(row for (row,) in cursor.fetchall()).encode()


def _ledger(system: System) -> Iterator[Place]:
    return _rows(system, *(f"SELECT one::text FROM {table} one" for table in ("runs", "rejects", "erasures")))


def _activity(system: System) -> Iterator[Place]:
    return _rows(system, "SELECT one::text FROM pg_stat_activity one")


def _database_files(system: System) -> Iterator[Place]:
    """The tables on disk, including deleted rows and the write-ahead log."""
    with contextlib.closing(psycopg2.connect(system.postgres.url)) as connection:
        connection.autocommit = True
        connection.cursor().execute("CHECKPOINT")
    for place, text in _below(system.postgres.log.parent / "data"):
        for start in range(
            0, max(len(text), 1), _BLOCK
        ):  # so that after small changes little is searched again
            yield f"{place}, from {start:,}", text[start : start + _BLOCK + _OVERLAP]


def _server_logs(system: System) -> Iterator[Place]:
    yield from system.noted["server logs"]  # the logs of servers that were restarted since
    for path in filter(Path.exists, _logs_of_servers(system)):
        yield str(path), path.read_bytes()


def _logs_of_servers(system: System) -> list[Path]:
    """Each server's log, and the one from before its restart."""
    logs = [system.postgres.log, system.valkey.log]
    return logs + [log.with_name(f"{log.name}.1") for log in logs]


def _redis_keys(system: System) -> Iterator[Place]:
    with redis.Redis.from_url(system.valkey.url) as client:
        databases = [name.removeprefix("db") for name in client.info("keyspace")]
    for database in databases:
        with redis.Redis.from_url(system.valkey.url, db=database) as client:
            for key in client.scan_iter():
                texts = (key, _value_of(client, key), client.dump(key) or b"")
                yield f"db {database}, {key!r}", b"\n".join(texts)


def _value_of(client: Any, key: bytes) -> bytes:
    match client.type(key):
        case b"string":
            return client.get(key) or b""
        case b"hash":
            return b"\n".join(part for pair in client.hgetall(key).items() for part in pair)
        case b"list":
            return b"\n".join(client.lrange(key, 0, -1))
        case b"set":
            return b"\n".join(client.smembers(key))
        case b"zset":
            return b"\n".join(client.zrange(key, 0, -1))
    return repr(client.xrange(key)).encode()


def _redis_commands(system: System) -> Iterator[Place]:
    """Every command that Redis ever received (each argument up to its 128th byte), whatever its result."""
    with redis.Redis.from_url(system.valkey.url) as client:
        for entry in client.slowlog_get(-1):
            yield f"command {entry['id']}", entry["command"]


def _standard(stream: str) -> Callable[[System], Iterator[Place]]:
    def read(system: System) -> Iterator[Place]:
        yield from system.noted[stream]
        for path in sorted(system.outputs.glob(f"*.{stream}")):
            yield path.name, path.read_bytes()

    return read


def _metrics(system: System) -> Iterator[Place]:
    for place, text in _standard("stdout")(system):
        for number, line in enumerate(text.splitlines(), 1):
            if _METRIC in line:
                yield f"{place}, line {number}", line


def _files(system: System) -> Iterator[Place]:
    """Every file that a process of the app opened for writing, and all files in the app's folders."""
    opened = set(system.list_of_written.read_bytes().splitlines())
    for folder in (system.work, system.temporary, system.valkey.log.parent):
        yield from _below(folder)
    for path in (Path(os.fsdecode(line)) for line in sorted(opened)):
        if path.is_file() and path not in _logs_of_servers(system):
            assert path.stat().st_size < _LARGEST_FILE, path
            yield str(path), path.read_bytes()


def _below(folder: Path) -> Iterator[Place]:
    """Every file; empty ones too, as their names could reveal a value."""
    for above, _, names in os.walk(folder):
        for name in sorted(names):
            with contextlib.suppress(FileNotFoundError):  # Postgres may remove files at any time
                path = Path(above, name)
                yield str(path), path.read_bytes()


def _noted(name: str) -> Callable[[System], Iterator[Place]]:
    return lambda system: iter(system.noted[name])


def _requests(system: System) -> Iterator[Place]:
    for number, head in enumerate(system.source.heads):
        yield f"request {number}", head


SINKS = {
    sink.name: sink
    for sink in (
        Sink("Postgres: dump", _dump, may_hold_kept=True),
        Sink("Postgres: ledger, rejects, erasures", _ledger),
        Sink("Postgres: activity", _activity, may_hold_kept=True),
        Sink("Postgres: files", _database_files, may_hold_kept=True),
        Sink("Redis: keys", _redis_keys, may_hold_kept=True),
        Sink("Redis: commands", _redis_commands, may_hold_kept=True),
        Sink("server logs", _server_logs, may_hold_kept=True),
        Sink("stdout", _standard("stdout")),
        Sink("stderr", _standard("stderr")),
        Sink("log records", _noted("log records")),
        Sink("metrics", _metrics),
        Sink("errors", _noted("errors")),
        Sink("results of Lambdas", _noted("results of Lambdas")),
        Sink("HTTP heads", _noted("HTTP heads"), may_hold_kept=True),
        Sink("HTTP bodies", _noted("HTTP bodies"), may_hold_kept=True),
        Sink("receipts", _noted("receipts")),
        Sink("files", _files),
        Sink("requests to the source", _requests),
    )
}
