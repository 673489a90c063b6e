"""Redis in front of the store: recent people and statistics, as the exact JSON of the API. Disposable.

If Redis is unavailable or slow, Postgres answers, and Redis is not asked again for a few seconds.
"""

import hashlib
import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from math import ceil
from typing import Any, Literal, Protocol

from chalicelib.redis_connections import Command, Connections, Unanswered
from chalicelib.single_flight import SingleFlight
from chalicelib.views import CacheCounts

_log = logging.getLogger("decant.cache")

_ABSENT = b""  # nobody has this uid
_ABSENT_SECONDS = 10
_ERASED = b"erased"
_ERASED_SECONDS = 600  # outlives any request that read the person before, and any load yet to cache its page
_STATS, _STATS_LOCK = "stats", "stats:lock"
_STATS_SECONDS = 30
_STATS_WAIT_SECONDS = 20  # as long as Postgres may take; API Gateway waits 29 s
_RETRY_SECONDS = 5
_TIMEOUT_SECONDS = 0.5
_JITTER = 0.1
_KEYS_PER_SCRIPT = 500  # so that a script blocks other clients only briefly

# Sets each body unless Redis holds one at least as new, or an erasure mark. The version is near a body's
# start. New people have no key yet: a single SET NX both checks and sets. A script sets many bodies, since a
# command for each takes several times as long. Arguments: a random seed (without one, every execution draws
# the same numbers), the bounds of the time to live in milliseconds, the bodies.
_SET_IF_NEWER = """
local function version(body) return tonumber(string.match(body, '"version":(%d+)')) end
math.randomseed(ARGV[1])
for i, key in ipairs(KEYS) do
    local body, ttl = ARGV[3 + i], math.random(ARGV[2], ARGV[3])
    if not redis.call('SET', key, body, 'PX', ttl, 'NX') then
        local held = redis.call('GET', key)
        if held ~= 'erased' and (version(held) or 0) < version(body) then
            redis.call('SET', key, body, 'PX', ttl)
        end
    end
end
"""
# Forgets people, but no erasure mark: a read that began before the erasure is not to cache its person again.
_DROP = """
for _, key in ipairs(KEYS) do
    if redis.call('GET', key) ~= 'erased' then redis.call('DEL', key) end
end
"""
_SET_IF_NEWER_SHA = hashlib.sha1(_SET_IF_NEWER.encode(), usedforsecurity=False).hexdigest()


class Reader(Protocol):
    """The store, as far as the cache reads from it."""

    def get_user(self, uid: str) -> bytes | None: ...
    def stats(self) -> bytes: ...


@dataclass(frozen=True)
class Answer:
    """A JSON body (None: nobody has this uid), and which of the two it came from."""

    body: bytes | None = field(repr=False)
    source: Literal["redis", "postgres"]


class Cache:
    """Wraps a store's reads. Every Redis failure is handled here; no method raises for one."""

    def __init__(self, url: str, store: Reader, ttl_seconds: int) -> None:
        self._store = store
        self._ttl_bounds = [round(ttl_seconds * 1000 * part) for part in (1 - _JITTER, 1 + _JITTER)]
        self._redis = Connections(url, _TIMEOUT_SECONDS)
        self._state_lock = threading.Lock()
        self._retry_at, self._is_down, self._is_refusing = 0.0, False, False
        self._flights = SingleFlight[Answer]()
        self._count_lock = threading.Lock()
        self.counts: Counter[str] = Counter(hits=0, misses=0, fills=0, errors=0)

    def get_user(self, uid: str) -> Answer:
        """The person from Redis, else from the store; concurrent misses share one store read."""
        cached = self._ask("GET", _key(uid))
        if isinstance(cached, bytes):
            self._count("hits")
            return Answer(cached if cached.startswith(b"{") else None, "redis")
        self._count("misses")
        return self._flights.share(uid, lambda: self._fetch_user(uid))

    def get_stats(self) -> Answer:
        """The statistics, at most 30 seconds old; concurrent misses share one computation."""
        cached = self._ask("GET", _STATS)
        if isinstance(cached, bytes):
            return Answer(cached, "redis")
        return self._flights.share(_STATS, self._compute_stats)

    def forget_user(self, uid: str) -> bool:
        """Replaces a person with an erasure mark, which no load or read overwrites; False if Redis fails.

        Redis is asked even if it has just failed; a full one still deletes the person. Later requests do not
        join a store read that began before.
        """
        self._flights.forget(uid)
        key = _key(uid)
        commands = ("DEL", key), ("SET", key, _ERASED, "EX", _ERASED_SECONDS)
        return bool(self._ask_all(commands, writes=True, even_if_down=True))

    @property
    def longest_ttl_seconds(self) -> int:
        return ceil(self._ttl_bounds[1] / 1000)

    def put_users(self, bodies: Mapping[str, bytes]) -> None:
        """Caches the bodies, by uid, that a load has committed; a newer one in Redis stays."""
        if bodies:
            self._ask_all(self._commands(bodies), writes=True)

    def drop_users(self, uids: Iterable[str]) -> None:
        """Forgets people whom a run has removed, or may have changed without an answer. A read in progress
        may cache one of them again."""
        keys = map(_key, uids)
        while batch := list(islice(keys, _KEYS_PER_SCRIPT)):
            self._ask("EVAL", _DROP, len(batch), *batch, writes=True)

    def get_counts(self) -> CacheCounts:
        """The counts since this cache was created."""
        return CacheCounts(**self.counts)

    def is_up(self) -> bool:
        return bool(self._ask("PING"))

    def close(self) -> None:
        self._redis.close()

    def _fetch_user(self, uid: str) -> Answer:
        """Sets the key only if it is still absent, so that a slow reader never overwrites a newer body."""
        key, body = _key(uid), self._store.get_user(uid)
        if body is None:
            self._fill("SET", key, _ABSENT, "NX", "EX", _ABSENT_SECONDS)
        elif self._fill("SET", key, body, "NX", "PX", self._ttl_milliseconds()):
            self._count("fills")
        return Answer(body, "postgres")

    def _fill(self, *command: str | bytes | int) -> bool:
        """Whether the command was sent. Its answer, which the connection's next command reads, is not waited
        for unless Redis was unavailable: then only an answer shows that it is back."""
        if self._is_down:
            return bool(self._ask(*command, writes=True))
        try:
            self._redis.send(command)
        except Unanswered as error:
            self._mark_down(error)
            return False
        return True

    def _compute_stats(self) -> Answer:
        """One container computes; others wait for its result, but not forever, and take over if it fails."""
        give_up_at = lock_until = time.monotonic() + _STATS_WAIT_SECONDS
        has_lock = False
        try:
            while self._may_ask():
                lock_until = time.monotonic() + _STATS_WAIT_SECONDS
                lock = "SET", _STATS_LOCK, b"", "NX", "EX", _STATS_WAIT_SECONDS
                has_lock = bool(self._ask(*lock, writes=True))
                cached = self._ask("GET", _STATS)  # may have been set just before this container got the lock
                if isinstance(cached, bytes):
                    return Answer(cached, "redis")
                if has_lock or time.monotonic() >= give_up_at:
                    break
                time.sleep(0.05)
            body = self._store.stats()
            self._ask("SET", _STATS, body, "EX", _STATS_SECONDS, writes=True)
        finally:
            if has_lock and time.monotonic() < lock_until:  # else another container may hold it
                self._ask("DEL", _STATS_LOCK)
        return Answer(body, "postgres")

    def _count(self, what: str) -> None:
        with self._count_lock:
            self.counts[what] += 1

    def _may_ask(self) -> bool:
        return time.monotonic() >= self._retry_at

    def _commands(self, bodies: Mapping[str, bytes]) -> Iterator[Command]:
        """Loads the script into Redis with every page, since Redis may have restarted."""
        yield "SCRIPT", "LOAD", _SET_IF_NEWER
        entries = iter(bodies.items())
        while batch := dict(islice(entries, _KEYS_PER_SCRIPT)):
            arguments = random.getrandbits(31), *self._ttl_bounds
            yield "EVALSHA", _SET_IF_NEWER_SHA, len(batch), *map(_key, batch), *arguments, *batch.values()

    def _ttl_milliseconds(self) -> int:
        """Jittered, so that entries written together do not expire together."""
        return random.randint(*self._ttl_bounds)  # noqa: S311  no secret

    def _ask(self, *command: str | bytes | int, writes: bool = False) -> Any:
        """Redis' answer to one command; None if it fails, and for a few seconds after that without asking.

        A full Redis, or a replica, still reads: after a refusal, only an answered write shows it is back.
        """
        answers = self._ask_all([command], writes)
        return answers[0] if answers else None

    def _ask_all(
        self, commands: Iterable[Command], writes: bool, even_if_down: bool = False
    ) -> list[Any] | None:
        if not (even_if_down or self._may_ask()):
            return None
        try:
            answers = self._redis.ask(*commands)
        except Unanswered as error:
            self._mark_down(error)
            return None
        if self._is_down and (writes or not self._is_refusing):
            self._mark_up()
        return answers

    def _mark_up(self) -> None:
        """Ignores an answer that was already in flight when Redis went away."""
        with self._state_lock:
            if not self._may_ask() or not self._is_down:
                return
            self._is_down = self._is_refusing = False
        _log.warning("redis is available again")

    def _mark_down(self, error: Unanswered) -> None:
        self._count("errors")
        with self._state_lock:
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            self._is_refusing = error.is_refusal
            was_down, self._is_down = self._is_down, True
        if not was_down:
            _log.warning("redis is unavailable (%s); trying again in %s s", error, _RETRY_SECONDS)


def _key(uid: str) -> str:
    return f"user:{uid}"
