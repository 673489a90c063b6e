"""Decant's own pipeline over real edges, with its default features on; only the source is in memory."""

import logging
from typing import Any

from bench.ingest.pages import Pages
from bench.ingest.way import Way, WrongResult
from bench.servers import Servers
from bench.settings import PII_KEY
from chalicelib import pipeline
from chalicelib.cache import Cache
from chalicelib.dialect import Dialect
from chalicelib.edges import Edges, Plan
from chalicelib.privacy import Tokeniser
from chalicelib.report import Report
from chalicelib.sources import random_data_api
from chalicelib.store import Store

_TTL_SECONDS = 3_600  # longer than any turn, so that its entries can still be counted

_log = logging.getLogger("decant")


class _Memory:
    """A source without a network."""

    name = "random-data-api http://memory"
    dialect: Dialect[Any] = random_data_api.DIALECT

    def __init__(self, pages: Pages) -> None:
        self._bodies = pages.bodies

    def fetch(self, page: int, size: int, cursor: object = None) -> bytes:
        return self._bodies[page - 1]


class Decant(Way):
    """A run of `pipeline.run`: validation, cleaning, protection, ledger, rejects, cache."""

    def __init__(self, servers: Servers, pages: Pages) -> None:
        super().__init__(servers, pages)
        self._store = Store(servers.database_url)
        self._cache = Cache(servers.redis_url, self._store, _TTL_SECONDS)
        self.edges = Edges(_Memory(pages), self._store, self._cache, Tokeniser({1: PII_KEY}))
        self._plan = Plan("manual", len(pages.bodies), pages.page_size, max_reject_ratio=0.2)
        self._report = Report("", "running")
        self._log_level = _log.level
        _log.setLevel(logging.ERROR)  # runs warn of the unknown fields in these records

    def work(self) -> None:
        self._report = pipeline.run(self.edges, self._plan)
        self.steps = self._report.timings

    def check(self) -> None:
        report = self._report
        kept = report.inserted + report.unchanged
        stored = self.servers.count(self.users), self.servers.count(self.addresses), self.servers.entries()
        if (report.status, report.fetched) != ("succeeded", self.records) or stored != (kept, kept, kept):
            raise WrongResult(f"{report} does not match what is stored: {stored}")

    def close(self) -> None:
        _log.setLevel(self._log_level)
        self._cache.close()
        self._store.close()


class DecantAgain(Decant):
    """The same pages once more: nothing has changed since."""

    def prepare(self) -> None:
        super().prepare()
        self.work()

    def check(self) -> None:
        super().check()
        if self._report.inserted:
            raise WrongResult("loading the same pages again inserted people")
