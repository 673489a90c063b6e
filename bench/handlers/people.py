"""The frameworks' handlers read through this: a Redis client and a connection, set up as in tutorials.

Postgres builds the JSON, and the handlers pass it on.
"""

import os

import psycopg2
import redis

_ONE = """
    SELECT row_to_json(person)::text
    FROM (SELECT * FROM users JOIN users_address USING (uid) WHERE uid = %s) AS person
"""
_LIST = """
    SELECT json_build_object('items', json_agg(person))::text
    FROM (SELECT * FROM users JOIN users_address USING (uid) ORDER BY uid LIMIT %s) AS person
"""

_redis = redis.Redis.from_url(os.environ["REDIS_URL"])
_database: list[psycopg2.extensions.connection] = []


def person(uid: str) -> str:
    """One person's JSON: from Redis, else from Postgres and then into Redis."""
    cached = _redis.get(f"user:{uid}")
    if isinstance(cached, bytes):
        return cached.decode()
    body = _text(_ONE, uid)
    _redis.set(f"user:{uid}", body, ex=120)
    return body


def people(limit: int) -> str:
    """The JSON of a list of people, from Postgres."""
    return _text(_LIST, limit)


def _text(query: str, value: object) -> str:
    if not _database:
        _database.append(psycopg2.connect(os.environ["DATABASE_URL"]))
    with _database[0] as transaction, transaction.cursor() as cursor:
        cursor.execute(query, (value,))
        ((text,),) = cursor.fetchall()
        return str(text)
