"""A good handwritten script: HMACs, execute_values, a Redis pipeline, one transaction per page."""

import json
from pathlib import Path
from typing import Any

import psycopg2
import redis
from psycopg2.extras import execute_values

from bench.ingest import flat
from bench.ingest.pages import Pages, records_of
from bench.ingest.way import Way
from bench.servers import Servers

_HERE = Path(__file__).parent
_USERS = (_HERE / "by_hand.sql").read_text(encoding="utf-8")
_ADDRESSES = (_HERE / "by_hand_address.sql").read_text(encoding="utf-8")
_RUN_ID = "00000000-0000-4000-8000-000000000000"
_ROWS_A_STATEMENT = 1_000


class ByHand(Way):
    """Loads into Decant's own tables, without validation, ledger or content hash."""

    def __init__(self, servers: Servers, pages: Pages) -> None:
        super().__init__(servers, pages)
        self._database = psycopg2.connect(servers.database_url)
        self._redis = redis.Redis.from_url(servers.redis_url)

    def work(self) -> None:
        for body in self.pages.bodies:
            records = {record["uid"]: record for record in records_of(body)}.values()  # the last one wins
            users = [flat.hashed(flat.user(record)) for record in records]
            addresses = [flat.hashed(flat.address(record)) for record in records]
            self._store(users, addresses)
            self._cache(users, addresses)

    def _store(self, users: list[dict[str, Any]], addresses: list[dict[str, Any]]) -> None:
        with self._database, self._database.cursor() as cursor:
            rows = [(*user.values(), 1, b"", _RUN_ID, _RUN_ID) for user in users]
            execute_values(cursor, _USERS, rows, page_size=_ROWS_A_STATEMENT)
            rows = [tuple(address.values()) for address in addresses]
            execute_values(cursor, _ADDRESSES, rows, page_size=_ROWS_A_STATEMENT)

    def _cache(self, users: list[dict[str, Any]], addresses: list[dict[str, Any]]) -> None:
        with self._redis.pipeline(transaction=False) as pipeline:
            for user, address in zip(users, addresses, strict=True):
                body = json.dumps(user | {"address": address})
                pipeline.set(f"user:{user['uid']}", body, ex=3_600)
            pipeline.execute()

    def close(self) -> None:
        self._database.close()
        self._redis.close()
