"""dlt's merge by primary key, in four variants, one of which fills a cache."""

import json
import os
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from bench.ingest import flat
from bench.ingest.pages import Pages, records_of
from bench.ingest.way import Way
from bench.servers import Servers

os.environ |= {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}  # read on import

import dlt
import redis


class DltMerge(Way):
    """One pipeline run for all pages, after an untimed one that creates the tables."""

    file_format: Any = None

    def __init__(self, servers: Servers, pages: Pages) -> None:
        super().__init__(servers, pages)
        name = f"dlt_{type(self).__name__.lower()}"
        self.users, self.addresses, self.cached = f"{name}.users", f"{name}.users_address", False
        self._folder = tempfile.TemporaryDirectory(prefix="decant-bench-dlt-")
        self._pipeline = dlt.pipeline(
            pipeline_name=name,
            pipelines_dir=self._folder.name,
            destination=dlt.destinations.postgres(servers.database_url),
            dataset_name=name,
        )
        self._run(pages.bodies[:1])

    def work(self) -> None:
        self._run(self.pages.bodies)

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        """What dlt gets for a row of either table."""
        return row

    def close(self) -> None:
        self._folder.cleanup()

    def _run(self, bodies: list[bytes]) -> None:
        def rows(row_of: Any) -> Iterator[list[dict[str, Any]]]:
            for body in bodies:
                yield [self.row(row_of(record)) for record in records_of(body)]

        tables = {"users": flat.user, "users_address": flat.address}
        resources = [
            dlt.resource(rows(row_of), name=name, primary_key="uid", write_disposition="merge")
            for name, row_of in tables.items()
        ]
        self._pipeline.run(resources, loader_file_format=self.file_format).raise_on_failed_jobs()


class DltByPage(DltMerge):
    """A run for each page, so that each page is committed on its own, as by the other ways."""

    def work(self) -> None:
        for body in self.pages.bodies:
            self._run([body])


class DltComplete(DltMerge):
    """The work of the hand-written script: an HMAC in place of each personal value, and the cache entries."""

    def __init__(self, servers: Servers, pages: Pages) -> None:
        self._people: defaultdict[str, dict[str, Any]] = defaultdict(dict)
        super().__init__(servers, pages)
        self.cached = True
        self._redis = redis.Redis.from_url(servers.redis_url)

    def work(self) -> None:
        self._people.clear()
        super().work()
        with self._redis.pipeline(transaction=False) as pipeline:
            for number, (uid, person) in enumerate(self._people.items(), 1):
                pipeline.set(f"user:{uid}", json.dumps(person), ex=3_600)
                if number % self.pages.page_size == 0:
                    pipeline.execute()
            pipeline.execute()

    def row(self, row: dict[str, Any]) -> dict[str, Any]:
        hashed = flat.hashed(row)
        self._people[row["uid"]] |= hashed
        return hashed

    def close(self) -> None:
        self._redis.close()
        super().close()


class DltCsv(DltMerge):
    """The same, with COPY from CSV files."""

    file_format = "csv"
