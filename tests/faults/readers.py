"""Continuous readers of the cache: each answer must be the requested person, and not older than allowed."""

import contextlib
import json
import threading
import time
from collections.abc import Mapping
from random import Random
from typing import Self

from chalicelib.cache import Cache
from chalicelib.errors import StoreUnavailable
from chalicelib.store import Store
from local.postgres import Postgres
from local.valkey import Valkey
from tests.faults.invariants import LONGEST_TTL_SECONDS
from tests.faults.wire import Wire, cut, delayed, now_and_then, truncate

_TTL_SECONDS = 120
_FLIGHT_SECONDS = 10  # a read during another's lookup gets the result of that lookup
_LONGEST_SECONDS = 20  # longest allowed wait for an answer; a gateway would wait for 29
_STORM, _SLOW_SECONDS = 0.02, 0.7
_PAUSE_SECONDS = 0.02
_READERS = 2


class Readers:
    """Readers over their own wires, on which a small share of messages is always disturbed."""

    def __init__(self, postgres: Postgres, valkey: Valkey, url: str, dice: Random) -> None:
        storm = now_and_then(dice, _STORM, (cut, truncate, delayed(_SLOW_SECONDS)))
        self._dice, self._storm = dice, storm
        self._to_postgres, self._to_redis = Wire(postgres.port), Wire(valkey.port)
        self._store = Store(url.replace(f":{postgres.port}/", f":{self._to_postgres.port}/"))
        redis_url = valkey.url.replace(f":{valkey.port}/", f":{self._to_redis.port}/")
        self._cache = Cache(redis_url, self._store, _TTL_SECONDS)
        self._known: list[tuple[float, Mapping[str, int]]] = []
        self._over, self._counting = threading.Event(), threading.Lock()
        self._open = contextlib.ExitStack()
        self.answered = self.refused = 0
        self.slowest = 0.0
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        for wire in (self._to_postgres, self._to_redis):
            self._open.enter_context(wire)
            wire.begin(self._storm)
        for part in (self._store, self._cache):
            self._open.callback(part.close)
        for _ in range(_READERS):
            thread = threading.Thread(target=self._read, name="reader", daemon=True)
            thread.start()
            self._open.callback(thread.join)
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._open.close()

    def __str__(self) -> str:
        storm = self._to_postgres.happened + self._to_redis.happened
        return (
            f"{self.answered} people read through {storm} faults, {self.refused} refused, "
            f"{len(self.wrong)} wrong {self.wrong[:3]}, the slowest after {self.slowest:.1f} s"
        )

    @property
    def are_satisfied(self) -> bool:
        return not self.wrong and self.answered > self.refused and self.slowest < _LONGEST_SECONDS

    def know(self, versions: Mapping[str, int]) -> None:
        """From now on Postgres has at least these versions; the cache does once a TTL has passed."""
        self._known.append((time.monotonic(), versions))

    def _read(self) -> None:
        while not self._over.wait(_PAUSE_SECONDS):
            if self._known:
                self._read_one(self._dice.choice(list(self._known[-1][1])))

    def _read_one(self, uid: str) -> None:
        began, wrong, answered = time.monotonic(), "", True
        try:
            answer = self._cache.get_user(uid)
            person = json.loads(answer.body or b"{}")
            if person.get("uid") != uid:
                wrong = f"{uid} was not who was asked for"
            elif person["version"] < self._least(uid, began, answer.source):
                wrong = f"{uid} was too old by {answer.source}"
        except StoreUnavailable:
            answered = False
        with self._counting:
            self.answered, self.refused = self.answered + answered, self.refused + (not answered)
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.wrong += filter(None, [wrong])

    def _least(self, uid: str, began: float, source: str) -> int:
        """The lowest version that an answer may have."""
        when = began - _FLIGHT_SECONDS - (LONGEST_TTL_SECONDS if source == "redis" else 0)
        return max((versions[uid] for known, versions in self._known if known <= when), default=0)
