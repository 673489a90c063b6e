"""The pages that every way gets: the stand-in's people, identical for all ways and on each run."""

import json
from dataclasses import dataclass, field
from typing import Any

from local import people

_SEED = "decant-bench"


@dataclass(frozen=True)
class Pages:
    """Response bodies as they come over HTTP, and how many records and distinct people they hold."""

    bodies: list[bytes] = field(repr=False)
    page_size: int
    records: int
    people: int


def pages_of(records: int, page_size: int, bad: float = 0.0) -> Pages:
    """``bad`` is the share of invalid records. If it is not 0, ``people`` is left at 0."""
    if records % page_size:
        raise ValueError("the last page would not be full")
    numbers = range(1, records // page_size + 1)
    bodies = [people.random_data_api(people.Page(_SEED, number, page_size, bad)) for number in numbers]
    return Pages(bodies, page_size, records, _distinct_people(bodies) if not bad else 0)


def _distinct_people(bodies: list[bytes]) -> int:
    return len({record["uid"] for body in bodies for record in records_of(body)})


def records_of(body: bytes) -> list[dict[str, Any]]:
    """A page, parsed by the standard library."""
    records: list[dict[str, Any]] = json.loads(body)
    return records
