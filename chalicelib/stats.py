"""The shapes of the statistics: how people are distributed, and how easily one could be singled out. Pure."""

from collections.abc import Sequence

from msgspec import Struct

from chalicelib.views import Moment

QUASI_IDENTIFIERS = ("birth_year", "zip_prefix", "city", "gender", "employment_title")  # as in risk.sql
_OTHERS = ("total", "computed_at", "risk")  # fields of Stats that are not distributions
SMALL_GROUP = 5
FEW_DISTINCT = 1_000  # at most this many distinct tokens are repetitive, if there are many more people


class Count(Struct):
    """How many people have a value; null counts those without one."""

    value: str | None
    count: int


class TokenFrequency(Struct):
    """A column whose tokens repeat so often that their frequency may reveal what they stand for."""

    column: str
    distinct: int


class Risk(Struct):
    """How easily a person could be singled out by fields that are not tokenised.

    People with the same values in all ``quasi_identifiers`` form a group. ``k_anonymity`` is the size of the
    smallest group; small groups have fewer than ``small_group`` people.
    """

    quasi_identifiers: list[str]
    k_anonymity: int | None
    groups: int
    small_group: int
    in_small_groups: int
    share_in_small_groups: float
    repetitive_tokens: list[TokenFrequency]


class Stats(Struct):
    """How many people are stored and how they are distributed.

    Each kind has at most its hundred most common values. People and erasures are also counted by the version
    of the key that made their tokens.
    """

    total: int
    computed_at: Moment
    risk: Risk
    country: list[Count]
    birth_decade: list[Count]
    plan: list[Count]
    gender: list[Count]
    key_version: list[Count]
    erasure_key_version: list[Count]


def risk_view(
    total: int, smallest: int | None, groups: int, in_small: int, tokens: Sequence[tuple[str, int, int]]
) -> Risk:
    """The view of the result of ``risk.sql``; ``total`` is the number of people in all groups."""
    repetitive = [
        TokenFrequency(column, count)
        for column, count, people in tokens
        if count <= FEW_DISTINCT and people >= 5 * count > 0
    ]
    share = round(in_small / total, 4) if total else 0.0
    return Risk(list(QUASI_IDENTIFIERS), smallest, groups, SMALL_GROUP, in_small, share, repetitive)


def stats_view(
    total: int, computed_at: str, counts: Sequence[tuple[str, str | None, int]], risk: Risk
) -> Stats:
    """The view of the result of ``stats.sql``: the total, the time, and (kind, value, count)."""
    kinds: dict[str, list[Count]] = {kind: [] for kind in Stats.__struct_fields__ if kind not in _OTHERS}
    for kind, value, count in counts:
        kinds[kind].append(Count(value, count))
    return Stats(total, computed_at, risk, **kinds)
