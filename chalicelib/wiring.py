"""Builds the real objects, each once per container on first use, and again when the secret has changed.

Imports late: an HTTP Lambda never loads pandas, nor psycopg2 before it needs the store.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from chalicelib import config
from chalicelib.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from chalicelib.cache import Cache
    from chalicelib.dialect import Dialect
    from chalicelib.privacy import Tokeniser
    from chalicelib.quarantine import Quarantine
    from chalicelib.sources.client import Source
    from chalicelib.store import Store

T = TypeVar("T")

_building = threading.RLock()
_log = logging.getLogger("decant.wiring")


SECRET_SECONDS = 300.0  # how old a secret's values may become
_RETRY_SECONDS = 30.0


class _Cached(Generic[T]):
    """Builds its object on first use, and again after a reload. Concurrent callers get the same object."""

    all: ClassVar[list[_Cached[Any]]] = []  # in the order of their definition

    def __init__(self, build: Callable[[], T]) -> None:
        self._build, self.built = build, list[T]()
        self.all.append(self)

    def __call__(self) -> T:
        if time.monotonic() >= _secret.stale_at:
            _reload()
        built = self.built
        if not built:
            with _building:
                built = self.built
                if not built:
                    built.append(self._build())
        return built[0]


class _Secret:
    """When the settings' secret must be read again, by the monotonic clock; never if there is none."""

    stale_at = math.inf


_secret = _Secret()


@_Cached
def settings() -> config.Settings:
    read = config.read()
    _secret.stale_at = time.monotonic() + SECRET_SECONDS if config.has_secret() else math.inf
    return read


def _reload() -> None:
    """Applies changes of the secret. If it cannot be read, the old values stay in use."""
    with _building:
        if time.monotonic() < _secret.stale_at:
            return  # another thread was quicker
        _secret.stale_at = time.monotonic() + SECRET_SECONDS
        try:
            new_settings = config.read()
            if settings.built != [new_settings]:
                _replace(new_settings)
        except ConfigError as error:
            _secret.stale_at = time.monotonic() + _RETRY_SECONDS
            _log.error("the secret cannot be read again; its old values stay in use: %s", error)


def _replace(new_settings: config.Settings) -> None:
    """Rebuilds all that had been built. If that fails, raises the error and keeps the old objects in use."""
    before = [(cached, cached.built) for cached in _Cached.all]
    for cached in _Cached.all:
        cached.built = []
    settings.built.append(new_settings)
    try:
        for cached, built in before:
            if built or cached is store:  # which the cache may need at any moment
                cached()
    except ConfigError:
        for cached, built in before:
            cached.built = built
        raise
    for _, built in before:
        _close(built)


def _close(built: list[Any]) -> None:
    for edge in (one for one in built if hasattr(one, "close")):
        edge.close()


@_Cached
def store() -> Store:
    from chalicelib.store import Store

    return Store(settings().database_url)


@_Cached
def cache() -> Cache:
    """The cache in front of the store, through which single people and the statistics are read."""
    from chalicelib.cache import Cache

    return Cache(settings().redis_url, _LazyStore(), settings().cache_ttl_seconds)


class _LazyStore:
    """The store, as the cache needs it: built at the first cache miss."""

    def get_user(self, uid: str) -> bytes | None:
        return store().get_user(uid)

    def stats(self) -> bytes:
        return store().stats(tokeniser().given_up)


@_Cached
def tokeniser() -> Tokeniser:
    from chalicelib.privacy import Tokeniser

    return Tokeniser(settings().pii_keys)


@_Cached
def quarantine() -> Quarantine | None:
    """What seals and opens rejects; None if no key is set for it."""
    from chalicelib.quarantine import Quarantine

    key, days = settings().quarantine_key, settings().quarantine_days
    return Quarantine(key, days) if key else None


@_Cached
def source() -> Source:
    from chalicelib.sources.client import Source

    read = settings()
    return Source(
        read.source_url,
        dialect(),
        authorization=read.source_authorization,
        token_url=read.source_token_url,
        token_key=read.source_token_key,
    )


def dialect() -> Dialect[Any]:
    """The source's dialect, without the client that fetches."""
    from chalicelib import sources

    return sources.named(settings().source_dialect)


def reset() -> None:
    """Closes what was built and forgets it, so that changed settings take effect."""
    for cached in _Cached.all:
        _close(cached.built)
        cached.built.clear()
    _secret.stale_at = math.inf
