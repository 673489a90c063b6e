"""Redis in front of the store: recent people, as the exact JSON that the API returns. Disposable.

The only file that knows redis. If Redis is away or slow, Postgres answers, and Redis is left alone for some
seconds.
"""

import hashlib
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from math import ceil
from typing import Literal, Protocol, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from chalicelib.errors import ConfigError, DecantError
from chalicelib.views import CacheCounts

_log = logging.getLogger("decant.cache")

T = TypeVar("T")

_ABSENT = b""  # nobody has this uid
_ABSENT_SECONDS = 10
_ERASED = b"erased"
_ERASED_SECONDS = 60  # longer than any request may take that read the person before
_STATS, _STATS_LOCK = "stats", "stats:lock"
_STATS_SECONDS = 30
_STATS_PATIENCE_SECONDS = 5
_REST_SECONDS = 5
_TIMEOUT_SECONDS = 0.5
_CONNECTIONS = 32  # more threads than these wait for one another, which is no outage
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
_SET_IF_NEWER_SHA = hashlib.sha1(_SET_IF_NEWER.encode(), usedforsecurity=False).hexdigest()


class Reader(Protocol):
    """What the cache stands in front of."""

    def get_user(self, uid: str) -> bytes | None: ...
    def stats(self) -> bytes: ...


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
        self._resting = threading.Lock()
        self._resting_until, self._is_away, self._refuses = 0.0, False, False
        self._flights = Flights()
        self._counting = threading.Lock()
        self.counts: Counter[str] = Counter(hits=0, misses=0, fills=0, errors=0)

    def get_user(self, uid: str) -> Answer:
        """The person from Redis, else from the store; those who miss together share one look."""
        held = self._ask(lambda: self._redis.get(_key(uid)))
        if isinstance(held, bytes):
            self._count("hits")
            return Answer(held if held.startswith(b"{") else None, "redis")
        self._count("misses")
        return self._flights.share(uid, lambda: self._fetch_user(uid))

    def get_stats(self) -> Answer:
        """The statistics, at most half a minute old; those who miss together share one computation."""
        held = self._ask(lambda: self._redis.get(_STATS))
        if isinstance(held, bytes):
            return Answer(held, "redis")
        return self._flights.share(_STATS, self._compute_stats)

    def forget_user(self, uid: str) -> bool:
        """Leaves the mark of an erasure, which no load and no reader overwrites; False if Redis is away."""
        return bool(self._ask(lambda: self._redis.set(_key(uid), _ERASED, ex=_ERASED_SECONDS), keeps=True))

    @property
    def longest_ttl_seconds(self) -> int:
        return ceil(self._ttl_seconds * (1 + _JITTER))

    def put_users(self, bodies: Mapping[str, bytes], versions: Mapping[str, int]) -> None:
        """After a commit: the new bodies, by uid, each unless a newer one is there."""
        if bodies:
            self._ask(lambda: self._put(bodies, versions), keeps=True)

    def stats(self) -> CacheCounts:
        """What this cache did since it was made."""
        return CacheCounts(**self.counts)

    def is_up(self) -> bool:
        return bool(self._ask(self._redis.ping))

    def close(self) -> None:
        self._redis.close()

    def _fetch_user(self, uid: str) -> Answer:
        """Fills Redis only where nothing came in between: no slow reader overwrites a newer body."""
        key, body = _key(uid), self._store.get_user(uid)
        if body is None:
            self._ask(lambda: self._redis.set(key, _ABSENT, nx=True, ex=_ABSENT_SECONDS), keeps=True)
        elif self._ask(lambda: self._redis.set(key, body, nx=True, px=self._ttl_milliseconds()), keeps=True):
            self._count("fills")
        return Answer(body, "postgres")

    def _compute_stats(self) -> Answer:
        """One container computes; the others wait for it, but not for ever."""
        alone = self._ask(
            lambda: self._redis.set(_STATS_LOCK, b"", nx=True, ex=_STATS_PATIENCE_SECONDS), keeps=True
        )
        until = time.monotonic() + (0 if alone else _STATS_PATIENCE_SECONDS)
        while time.monotonic() < until and self._is_asked():
            held = self._ask(lambda: self._redis.get(_STATS))
            if isinstance(held, bytes):
                return Answer(held, "redis")
            time.sleep(0.05)
        try:
            body = self._store.stats()
            self._ask(lambda: self._redis.set(_STATS, body, ex=_STATS_SECONDS), keeps=True)
        finally:
            self._ask(lambda: self._redis.delete(_STATS_LOCK))
        return Answer(body, "postgres")

    def _count(self, what: str) -> None:
        with self._counting:
            self.counts[what] += 1

    def _is_asked(self) -> bool:
        return time.monotonic() >= self._resting_until

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

    def _ask(self, question: Callable[[], T], keeps: bool = False) -> T | None:
        """Redis' answer; None while it is away, which is asked again only after a rest.

        One that is full, or a replica, still reads: it is back when it ``keeps`` something.
        """
        if not self._is_asked():
            return None
        try:
            answer = question()
        except (redis.RedisError, UnicodeError) as error:  # the latter for a host that cannot be one
            self._rest(error)
            return None
        if self._is_away and (keeps or not self._refuses):
            self._welcome()
        return answer

    def _welcome(self) -> None:
        """Not for an answer that was under way when Redis went."""
        with self._resting:
            if not self._is_asked() or not self._is_away:
                return
            self._is_away = self._refuses = False
        _log.warning("redis is back")

    def _rest(self, error: Exception) -> None:
        self._count("errors")
        with self._resting:
            self._resting_until = time.monotonic() + _REST_SECONDS
            self._refuses = isinstance(error, redis.ResponseError)
            told, self._is_away = self._is_away, True
        if isinstance(error, redis.ReadOnlyError):  # once the primary: its name may lead to another by now
            self._redis.connection_pool.disconnect(inuse_connections=False)
        if not told:
            _log.warning("redis is away (%s); asking again in %s s", type(error).__name__, _REST_SECONDS)


class Flights:
    """Several threads that want the same at once: one does it, all get what it got."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: dict[str, Future[Answer]] = {}

    def share(self, name: str, work: Callable[[], Answer]) -> Answer:
        with self._lock:
            flight = self._under_way.get(name)
            if flight is None:
                mine = self._under_way[name] = Future()
        if flight is not None:
            return flight.result()
        try:
            mine.set_result(work())
        except DecantError as error:
            mine.set_exception(error)
        finally:
            with self._lock:
                del self._under_way[name]
            mine.cancel()  # if nobody foresaw how it ended, the others must not wait for ever
        return mine.result()


def _client(url: str) -> redis.Redis:
    try:
        pool = redis.BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=_TIMEOUT_SECONDS,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            # a connection that died while idle costs one more try; a silent server does not get a second
            retry=Retry(NoBackoff(), 1, supported_errors=(redis.ConnectionError,)),
        )
        pool.make_connection()  # type: ignore[no-untyped-call]  # what the URL's query asks for is only seen here
        return redis.Redis.from_pool(pool)
    except (TypeError, ValueError):
        pass  # their text may hold a part of the password
    raise ConfigError("REDIS_URL", "cannot be read as a URL")


def _key(uid: str) -> str:
    return f"user:{uid}"
