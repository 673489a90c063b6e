"""Redis in front of the store: recent people, as the exact JSON that the API returns. Disposable.

The only file that knows redis. If Redis is away or slow, Postgres answers, and Redis is left alone for some
seconds.
"""

import hashlib
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chalicelib.errors import ConfigError

_log = logging.getLogger("decant.cache")

T = TypeVar("T")

_ABSENT = b""  # nobody has this uid
_ABSENT_SECONDS = 10
_REST_SECONDS = 5
_TIMEOUT_SECONDS = 0.5
_JITTER = 0.1

# Sets a body unless a newer one is there, or the mark of an erasure. The version stands near a body's start.
_SET_IF_NEWER = """
local held = redis.call('GET', KEYS[1])
if held then
    if held == 'erased' then return 0 end
    local version = tonumber(string.match(held, '"version":(%d+)'))
    if version and version >= tonumber(ARGV[1]) then return 0 end
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
_SET_IF_NEWER_SHA = hashlib.sha1(_SET_IF_NEWER.encode()).hexdigest()  # noqa: S324  Redis names scripts by it


class Reader(Protocol):
    """What the cache stands in front of."""

    def get_user(self, uid: str) -> bytes | None: ...


@dataclass(frozen=True)
class Answer:
    """One person's JSON body (None: nobody by that uid), and which of the two knew."""

    body: bytes | None = field(repr=False)
    source: Literal["redis", "postgres"]


class Cache:
    """Wraps a store's reads. Every failure of Redis ends here; no method raises for one."""

    def __init__(self, url: str, store: Reader, ttl_seconds: int) -> None:
        self._store, self._ttl_seconds = store, ttl_seconds
        self._redis = _client(url)
        self._resting_until = 0.0

    def get_user(self, uid: str) -> Answer:
        """The person from Redis, else from the store, which then fills Redis if nothing came in between."""
        key = _key(uid)
        held = self._ask(lambda: self._redis.get(key))
        if isinstance(held, bytes):
            return Answer(held if held.startswith(b"{") else None, "redis")
        body = self._store.get_user(uid)
        if body is None:
            self._ask(lambda: self._redis.set(key, _ABSENT, nx=True, ex=_ABSENT_SECONDS))
        else:
            self._ask(lambda: self._redis.set(key, body, nx=True, px=self._ttl_milliseconds()))
        return Answer(body, "postgres")

    def put_users(self, bodies: Mapping[str, bytes], versions: Mapping[str, int]) -> None:
        """After a commit: the new bodies, by uid, each unless a newer one is there."""
        if bodies:
            self._ask(lambda: self._put(bodies, versions))

    def is_up(self) -> bool:
        return bool(self._ask(self._redis.ping))

    def close(self) -> None:
        self._redis.close()

    def _put(self, bodies: Mapping[str, bytes], versions: Mapping[str, int]) -> None:
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.script_load(_SET_IF_NEWER)
            for uid, body in bodies.items():
                pipeline.evalsha(
                    _SET_IF_NEWER_SHA, 1, _key(uid), versions[uid], body, self._ttl_milliseconds()
                )
            pipeline.execute()

    def _ttl_milliseconds(self) -> int:
        """Jittered, so that what was loaded together does not expire together."""
        spread = random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311  no secret
        return round(self._ttl_seconds * 1000 * spread)

    def _ask(self, question: Callable[[], T]) -> T | None:
        """Redis' answer; None while it is away, which is asked again only after a rest."""
        if time.monotonic() < self._resting_until:
            return None
        try:
            answer = question()
        except redis.RedisError as error:
            self._resting_until = time.monotonic() + _REST_SECONDS
            _log.warning("redis is away (%s); asking again in %s s", type(error).__name__, _REST_SECONDS)
            return None
        return answer


def _client(url: str) -> redis.Redis:
    try:
        return redis.Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            # a connection that died while idle costs one more try; a silent server does not get a second
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )
    except ValueError:
        pass  # its text may hold a part of the password
    raise ConfigError("REDIS_URL", "cannot be read as a URL")


def _key(uid: str) -> str:
    return f"user:{uid}"
