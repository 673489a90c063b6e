"""The pages that every way gets: people of the stand-in, the same for all and each time."""

import json
from dataclasses import dataclass, field
from typing import Any

from local import people

_SEED = "decant-bench"


@dataclass(frozen=True)
class Pages:
    """Bodies as they come over HTTP, with so many records in them, of so many different people."""

    bodies: list[bytes] = field(repr=False)
    page_size: int
    records: int
    people: int


def pages_of(records: int, page_size: int, bad: float = 0.0) -> Pages:
    """``bad`` is the share of invalid records, which are among the records and not among the people."""
    if records % page_size:
        raise ValueError("the last page would not be full")
    numbers = range(1, records // page_size + 1)
    bodies = [people.random_data_api(people.Page(_SEED, number, page_size, bad)) for number in numbers]
    return Pages(bodies, page_size, records, _different(bodies) if not bad else 0)


def _different(bodies: list[bytes]) -> int:
    return len({record["uid"] for body in bodies for record in records_of(body)})


def records_of(body: bytes) -> list[dict[str, Any]]:
    """A page as whoever knows the standard library reads it."""
    records: list[dict[str, Any]] = json.loads(body)
    return records
