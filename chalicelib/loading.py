"""Loads prepared pages in their order, each while the next one is being prepared, and fills the cache."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from chalicelib import views
from chalicelib.edges import Edges
from chalicelib.ledger import Loaded, PageLoad, Report
from chalicelib.timing import timed


class Loads:
    """A run's loads, of which one at most is under way. Leaving its ``with`` waits for that one.

    Its thread does little but wait: each time it wants the interpreter's lock back from whoever prepares the
    next page can cost it 5 ms.
    """

    def __init__(self, edges: Edges, report: Report, on_done: Callable[[], None] = lambda: None) -> None:
        """``on_done`` is called after each page that is loaded and cached."""
        self._edges, self._report, self._on_done = edges, report, on_done
        self._thread = ThreadPoolExecutor(1, "load")
        self._under_way: tuple[PageLoad, Future[Loaded | None]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end()
        finally:
            self._thread.shutdown()

    def begin(self, load: PageLoad) -> None:
        """Begins this load when the one under way has ended. Raises what that one raises."""
        self.end()
        self._under_way = load, self._thread.submit(self._load, load)

    def end(self) -> None:
        """Waits for the load under way and counts it. Raises StoreError."""
        if self._under_way is None:
            return
        (load, future), self._under_way = self._under_way, None
        loaded = future.result()
        if loaded is not None:  # else by somebody who was quicker, or by an earlier try whose answer got lost
            self._report.add(loaded, load.fetched, load.duplicates)
        self._on_done()

    def _load(self, load: PageLoad) -> Loaded | None:
        with timed(self._report, "load"):
            loaded = self._edges.store.load_page(load)
        if loaded is not None:
            with timed(self._report, "cache"):
                bodies = views.user_bodies(load.drafts, loaded.versions, loaded.updated_at)
                self._edges.cache.put_users(bodies)
        return loaded
