"""The tutorial way: a connection, the INSERTs, a commit and a SET for each record."""

import contextlib
import json
from pathlib import Path

import psycopg2
import redis

from bench.ingest import flat
from bench.ingest.pages import Pages, pages_of
from bench.ingest.way import Way
from bench.servers import Servers

_INSERT = Path(__file__).with_name("tutorial.sql").read_text(encoding="utf-8")
_MOST_RECORDS = 200  # the next thousand would be just as slow


class Tutorial(Way):
    """Loads at most the first 200 records; its rate is theirs."""

    def __init__(self, servers: Servers, pages: Pages) -> None:
        few = min(pages.records, _MOST_RECORDS)
        super().__init__(servers, pages_of(few, few))
        self._redis = redis.Redis.from_url(servers.redis_url)

    def work(self) -> None:
        for body in self.pages.bodies:
            for record in json.loads(body):
                row = flat.hashed(flat.user(record) | flat.address(record))
                with contextlib.closing(psycopg2.connect(self.servers.database_url)) as connection:
                    with connection.cursor() as cursor:
                        cursor.execute(_INSERT, row)
                    connection.commit()
                self._redis.set(f"user:{row['uid']}", json.dumps(row), ex=3_600)

    def close(self) -> None:
        self._redis.close()
