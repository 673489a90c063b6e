"""What all ways have in common: they get pages and servers, and can show that the work was done."""

from collections.abc import Mapping
from types import MappingProxyType

from bench.ingest.pages import Pages
from bench.servers import Servers


class WrongResult(Exception):
    """A way has not stored what it was given; its time means nothing."""


class Way:
    """One way to load pages. ``cached`` says whether it promises a cache entry for each person; ``steps`` are
    milliseconds of the last turn, by what they were spent on, where a way can tell.
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
            raise WrongResult(f"{type(self).__name__}: {people} people came, {stored} are stored")

    def close(self) -> None:
        pass
