"""How an API is asked for a page, and how a run knows whether another one follows, and where. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args
from urllib.parse import parse_qs, urlsplit

# What leads from one page to the next: query parameters, of which a list is sent as several of the same name;
# or parts of a posted query, at any depth.
Cursor = Mapping[str, Any]

_Method = Literal["GET", "POST"]


class Body(bytes):
    """A page's body; ``next_query`` is the query of the page that the answer's ``Link`` header calls next."""

    next_query: Cursor | None = None


def merged(query: Mapping[str, Any], added: Mapping[str, Any]) -> dict[str, Any]:
    """The query with what is added to it, which wins; objects within them are merged likewise."""
    both = {**query, **added}
    for name in query.keys() & added.keys():
        if isinstance(query[name], Mapping) and isinstance(added[name], Mapping):
            both[name] = merged(query[name], added[name])
    return both


def query_of(address: str) -> Cursor:
    """The query of the next page's address. Raises ValueError if there is none."""
    query = parse_qs(urlsplit(address).query, keep_blank_values=True)
    if not query:
        raise ValueError("an address without a query")
    return query


@dataclass(frozen=True)
class Paging:
    """One API's way to page. ``query`` gets a page's number, from 1, and how many records it is to have.
    With the ``method`` POST, it is sent as a JSON body, and what is added to it is merged at any depth.

    ``ends`` means that the API has a last page, and that pages after it hold no records; ``pages_vary``, that
    a page before the last may have fewer records than requested. ``total`` is the dotted path of the number
    of all records in a page.

    For an API that pages by cursor, ``next_cursor`` gets a page's whole JSON and returns what to add to the
    query for the next page, or None after the last. ``next_link`` is for one that says the next page's
    address: it gets a page's whole JSON and returns the address or None, or is True if the address is in the
    ``Link`` header (RFC 8288). Of the address, only the query is used, in place of ``query`` and ``since``.

    ``since`` is for an API that can leave out who has not changed since a time: it gets the time (UTC) and
    returns what to add to the query.
    """

    query: Callable[[int, int], Mapping[str, Any]]
    ends: bool = True
    pages_vary: bool = False
    total: str | None = None
    next_cursor: Callable[[Any], Cursor | None] | None = None
    next_link: bool | Callable[[Any], str | None] = False
    since: Callable[[datetime], Mapping[str, Any]] | None = None
    method: _Method = "GET"

    def __post_init__(self) -> None:
        """Raises ValueError for another method, for a ``since`` without an end, as no run could tell that it
        has everybody, and for a ``next_link`` with POST or beside a ``next_cursor``."""
        if self.method not in get_args(_Method):
            raise ValueError(f"the method is GET or POST, not {self.method}")
        if self.since and not self.has_end:
            raise ValueError("since needs an API that ends, or pages by cursor")
        if self.next_link and self.method != "GET":
            raise ValueError("an API whose next page is a link is asked with GET")
        if self.next_link and self.next_cursor:
            raise ValueError("either next_link or next_cursor says where the next page is")

    @property
    def by_cursor(self) -> bool:
        """Whether only a page can say where the next one is."""
        return bool(self.next_link or self.next_cursor)

    def after(self, page: Any) -> Cursor | None:
        """Where the page after this one is, by its JSON; None if there is none."""
        if callable(self.next_link):
            address = self.next_link(page)
            return None if address is None else query_of(address)
        return self.next_cursor(page) if self.next_cursor else None

    @property
    def pages_are_full(self) -> bool:
        """Whether a page with fewer records than requested must be the last that has any."""
        return self.ends and not self.by_cursor and not self.pages_vary

    @property
    def has_end(self) -> bool:
        """Whether a run can tell that it has read everything."""
        return self.ends or self.by_cursor
