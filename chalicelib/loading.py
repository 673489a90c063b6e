"""Loads prepared pages in order, each while the next one is being prepared, and fills the cache."""

import sys
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Self

from chalicelib import views
from chalicelib.edges import Edges
from chalicelib.errors import StoreUnavailable
from chalicelib.ledger import Loaded, PageLoad
from chalicelib.report import Report
from chalicelib.timing import timed

# How long a thread whose answer has arrived may wait for the GIL: usually 5 ms.
_USUAL_SWITCH_SECONDS, _SWITCH_SECONDS = sys.getswitchinterval(), 0.0002


class Loads:
    """A run's loads: at most one in flight, and beside it at most one page being written to the cache.

    Leaving the ``with`` block waits for both. Their threads do little but wait, for Postgres and for Redis:
    threads that compete for the GIL slow each other down, so a page arrives already encoded. Within the
    block, all threads of the process switch more often.
    """

    def __init__(self, edges: Edges, report: Report, on_done: Callable[[], None] = lambda: None) -> None:
        """``on_done`` is called after each page is loaded."""
        self._edges, self._report, self._on_done = edges, report, on_done
        self._loader, self._cacher = ThreadPoolExecutor(1, "load"), ThreadPoolExecutor(1, "cache")
        self._in_flight: tuple[PageLoad, Future[Loaded | None]] | None = None
        self._caching: Future[None] | None = None

    def __enter__(self) -> Self:
        sys.setswitchinterval(_SWITCH_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self.wait()
            self._wait_for_cache()
        finally:
            self._loader.shutdown()
            self._cacher.shutdown()
            sys.setswitchinterval(_USUAL_SWITCH_SECONDS)

    def begin(self, load: PageLoad) -> None:
        """Begins this load once the one in flight has ended. Raises what that one raises."""
        self.wait()
        self._in_flight = load, self._loader.submit(self._load, load)

    def wait(self) -> None:
        """Waits for the load in flight and counts it. Raises StoreError."""
        if self._in_flight is None:
            return
        (load, future), self._in_flight = self._in_flight, None
        loaded = future.result()
        if loaded is not None:
            self._report.add(loaded, load.fetched, load.duplicate, load.filtered)
        else:  # another worker, or an earlier try whose answer got lost, loaded it
            self._report.pages += 1
        self._on_done()

    def _load(self, load: PageLoad) -> Loaded | None:
        try:
            with timed(self._report, "load"):
                loaded = self._edges.store.load_page(load)
        except StoreUnavailable:  # a try whose answer got lost may have loaded it all the same
            self._wait_for_cache()
            self._cache(load, None)
            raise
        self._wait_for_cache()
        self._caching = self._cacher.submit(self._cache, load, loaded)
        return loaded

    def _wait_for_cache(self) -> None:
        if self._caching is not None:
            self._caching.result()

    def _cache(self, load: PageLoad, loaded: Loaded | None) -> None:
        """Without an answer, nobody knows who has changed: the cache forgets all of the page's people."""
        with timed(self._report, "cache"):
            if loaded is None:
                self._edges.cache.drop_users([*load.drafts, *load.gone])
                return
            self._edges.cache.put_users(views.user_bodies(load.drafts, loaded.versions, loaded.updated_at))
            self._edges.cache.drop_users(load.gone)
