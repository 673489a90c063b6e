"""The base of all ways: they get pages and servers, and can show that the work was done."""

from collections.abc import Mapping
from types import MappingProxyType

from bench.ingest.pages import Pages
from bench.servers import Servers


class WrongResult(Exception):
    """A way has not stored what it was given, so its time is meaningless."""


class Way:
    """One way to load pages. ``cached`` says whether it promises a cache entry for each person.

    ``steps`` holds the last turn's milliseconds by step, if the way measures them.
    """

    users, addresses, cached = "users", "users_address", True
    steps: Mapping[str, float] = MappingProxyType({})

    def __init__(self, servers: Servers, pages: Pages) -> None:
        self.servers, self.pages = servers, pages
        self.records = pages.records

    def prepare(self) -> None:
        self.servers.empty()

    def work(self) -> None:
        raise NotImplementedError

    def check(self) -> None:
        people = self.pages.people
        stored = self.servers.count(self.users), self.servers.count(self.addresses), self.servers.entries()
        if stored != (people, people, people if self.cached else 0):
            raise WrongResult(f"{type(self).__name__}: {people} people were sent, {stored} are stored")

    def close(self) -> None:
        pass
