"""Finds the SQL statements, each of which is a file of its own."""

from functools import cache
from pathlib import Path

_SQL = Path(__file__).parent / "sql"


@cache
def sql(query: str) -> str:
    """The statement of this name."""
    return (_SQL / "queries" / f"{query}.sql").read_text(encoding="utf-8")


def files(kind: str) -> list[Path]:
    """The files of the migrations or the functions, in the order in which they are applied."""
    return sorted((_SQL / kind).glob("*.sql"))
