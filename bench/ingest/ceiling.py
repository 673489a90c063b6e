"""The ceiling: everything is prepared beforehand, so that only the work of Postgres and Redis is left.

Its turn decodes, checks, cleans and hashes nothing, and has no ledger. Pages follow one another, each with
its own commit and then Redis. One commit for all pages, or Redis in parallel, would be faster still.
"""

import io
import socket
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import redis

from bench.ingest.pages import Pages
from bench.ingest.way import Way
from bench.servers import Servers
from bench.settings import PII_KEY
from chalicelib import privacy, views
from chalicelib.clean import clean
from chalicelib.privacy import Tokeniser
from chalicelib.sources import random_data_api
from chalicelib.validation import validate

_RUN_ID = "00000000-0000-4000-8000-000000000000"
_MERGE = Path(__file__).with_name("ceiling.sql").read_text(encoding="utf-8").format(run_id=_RUN_ID)
_NOW = "2026-01-31T12:00:00.000000Z"
_TTL_MILLISECONDS = 3_600_000
_OK = b"+OK\r\n"
_ESCAPED = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})
_TYPES = {"uid": "uuid", "birth_year": "integer", "lat": "numeric", "lng": "numeric", "content_hash": "bytea"}


class Ceiling(Way):
    """COPY into a staging table and a merge, one transaction per page; then the cache commands at once."""

    def __init__(self, servers: Servers, pages: Pages) -> None:
        super().__init__(servers, pages)
        columns = [_stored(body) for body in pages.bodies]
        self._copies = [_copy(page) for page in columns]
        self._commands = [(_commands(page), len(page["uid"])) for page in columns]
        names = [*columns[0], "content_hash"]
        self._copy = f"COPY staging ({', '.join(names)}) FROM STDIN"
        self._database = psycopg2.connect(servers.database_url)
        self._redis = _connected(servers.redis_url)
        self._make_staging(names)

    def work(self) -> None:
        with self._database.cursor() as cursor:
            for rows, (commands, entries) in zip(self._copies, self._commands, strict=True):
                cursor.copy_expert(self._copy, io.BytesIO(rows))
                cursor.execute(_MERGE)
                self._database.commit()
                self._redis.sendall(commands)
                _receive(self._redis, entries * len(_OK))

    def close(self) -> None:
        self._database.close()
        self._redis.close()

    def _make_staging(self, names: Sequence[str]) -> None:
        columns = ", ".join(f"{name} {_TYPES.get(name, 'text')}" for name in names)
        with self._database, self._database.cursor() as cursor:
            cursor.execute(f"CREATE TEMPORARY TABLE staging ({columns}) ON COMMIT DELETE ROWS")


def _stored(body: bytes) -> Mapping[str, list[Any]]:
    users = validate(body, random_data_api.DIALECT, datetime.now(UTC).date()).users
    return privacy.protect(clean(users).columns, Tokeniser({1: PII_KEY}))


def _copy(columns: Mapping[str, list[Any]]) -> bytes:
    """The rows in COPY's text format, each with its content hash."""
    lines = ("\t".join(map(_text, row)) for row in zip(*columns.values(), strict=True))
    return "".join(f"{line}\t\\\\x{_hash(line)}\n" for line in lines).encode()


def _text(value: Any) -> str:
    return "\\N" if value is None else str(value).translate(_ESCAPED)


def _hash(line: str) -> str:
    return blake2b(line.encode(), digest_size=16).hexdigest()


def _commands(columns: Mapping[str, list[Any]]) -> bytes:
    """SET user:<uid> <body> PX <ttl>, encoded in the Redis protocol."""
    versions = dict.fromkeys(columns["uid"], 1)
    bodies = views.user_bodies(views.user_drafts(columns), versions, _NOW)
    packer: Any = redis.Connection()  # type: ignore[no-untyped-call]
    sets = [("SET", f"user:{uid}", body, "PX", _TTL_MILLISECONDS) for uid, body in bodies.items()]
    return b"".join(packer.pack_commands(sets))


def _connected(url: str) -> socket.socket:
    parts = urlsplit(url)
    sock = socket.create_connection((str(parts.hostname), int(parts.port or 6379)))
    sock.sendall(f"AUTH {parts.password}\r\n".encode())
    _receive(sock, len(_OK))
    return sock


def _receive(sock: socket.socket, size: int) -> None:
    while size > 0:
        received = sock.recv(1 << 20)
        if not received or b"-" in received:
            raise ConnectionError("Redis refused a command, or closed the connection")
        size -= len(received)
