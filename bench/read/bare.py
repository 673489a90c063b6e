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
        self._autocommitting = psycopg2.connect(servers.database_url)
        self._autocommitting.autocommit = True

    def pooled_get(self, uids: Sequence[str]) -> Callable[[], Any]:
        keys = cycle([f"user:{uid}" for uid in uids])
        return lambda: self._redis.get(next(keys))

    def held_get(self, uids: Sequence[str]) -> Callable[[], Any]:
        keys = cycle([f"user:{uid}" for uid in uids])

        return lambda: self._ask("GET", next(keys))

    def select(self, query: str, values: Sequence[object]) -> Callable[[], Any]:
        each = cycle(values)

        def select() -> Any:
            with self._database as transaction, transaction.cursor() as cursor:
                cursor.execute(query, (next(each),))
                return cursor.fetchall()

        return select

    def miss(self, uids: Sequence[str]) -> Callable[[], Any]:
        """What Decant asks for a person who is not in Redis, one by one on held connections."""
        each = cycle(uids)

        def miss() -> Any:
            uid = next(each)
            self._ask("GET", f"user:{uid}")
            with self._autocommitting.cursor() as cursor:
                cursor.execute("SELECT person(%s)", (uid,))
                [[body]] = cursor.fetchall()
            self._ask("SET", f"user:{uid}", body, "NX", "PX", 60_000)
            return body

        return miss

    def forget_all(self) -> None:
        self._redis.flushall()

    def close(self) -> None:
        self._redis.close()
        self._database.close()
        self._autocommitting.close()

    def _ask(self, *command: str | int) -> Any:
        self._held.send_command(*command)
        return self._held.read_response()
