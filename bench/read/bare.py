"""Redis and Postgres themselves, with nothing in front of them."""

from collections.abc import Callable, Sequence
from itertools import cycle
from typing import Any

import psycopg2
import redis

from bench.servers import Servers


class Bare:
    """Each kind of query cycles through its keys.

    psycopg2 is used as it comes: it sends a transaction's BEGIN, statement and COMMIT one by one.
    """

    def __init__(self, servers: Servers) -> None:
        self._redis = redis.Redis.from_url(servers.redis_url)
        self._held: Any = self._redis.connection_pool.get_connection()
        self._database = psycopg2.connect(servers.database_url)

    def pooled_get(self, uids: Sequence[str]) -> Callable[[], Any]:
        keys = cycle([f"user:{uid}" for uid in uids])
        return lambda: self._redis.get(next(keys))

    def held_get(self, uids: Sequence[str]) -> Callable[[], Any]:
        keys = cycle([f"user:{uid}" for uid in uids])

        def get() -> Any:
            self._held.send_command("GET", next(keys))
            return self._held.read_response()

        return get

    def select(self, query: str, values: Sequence[object]) -> Callable[[], Any]:
        each = cycle(values)

        def select() -> Any:
            with self._database as transaction, transaction.cursor() as cursor:
                cursor.execute(query, (next(each),))
                return cursor.fetchall()

        return select

    def forget_all(self) -> None:
        self._redis.flushall()

    def close(self) -> None:
        self._redis.close()
        self._database.close()
