"""What the frameworks' handlers read with: a Redis client and a connection, made as tutorials make them."""

import json
import os

import psycopg2
import redis

_ONE = "SELECT * FROM users JOIN users_address USING (uid) WHERE uid = %s"
_LIST = "SELECT * FROM users JOIN users_address USING (uid) ORDER BY uid LIMIT %s"

_redis = redis.Redis.from_url(os.environ["REDIS_URL"])
_database: list[psycopg2.extensions.connection] = []


def person(uid: str) -> str:
    """One person's JSON: from Redis, else from Postgres and then into Redis."""
    held = _redis.get(f"user:{uid}")
    if isinstance(held, bytes):
        return held.decode()
    body = _rows(_ONE, uid)[0]
    _redis.set(f"user:{uid}", body, ex=120)
    return body


def people(limit: int) -> str:
    """The JSON of a list of people, from Postgres."""
    return f'{{"items":[{",".join(_rows(_LIST, limit))}]}}'


def _rows(query: str, value: object) -> list[str]:
    if not _database:
        _database.append(psycopg2.connect(os.environ["DATABASE_URL"]))
    with _database[0] as transaction, transaction.cursor() as cursor:
        cursor.execute(query, (value,))
        names = [column.name for column in cursor.description or ()]
        return [json.dumps(dict(zip(names, row, strict=True)), default=str) for row in cursor.fetchall()]
