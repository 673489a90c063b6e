"""Computes when EventBridge's schedule expressions fire next. Refuses what EventBridge refuses.

croniter does the calendar; this module adds what is AWS's own: six fields, `?`, weekdays with Sunday as 1.
Source: https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from croniter import croniter
from croniter.croniter import CroniterBadDateError

from local.errors import ScheduleUnreadable

_UNITS = {"minute": timedelta(minutes=1), "hour": timedelta(hours=1), "day": timedelta(days=1)}
_MONTHS = "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"
_DAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_FIELDS = {  # croniter accepts more letters than EventBridge, among them R for a random value
    "minutes": r"[\d*,/-]+",
    "hours": r"[\d*,/-]+",
    "day-of-month": r"\?|L|\d+W|[\d*,/-]+",
    "month": rf"(?:{_MONTHS}|[\d*,/-])+",
    "day-of-week": rf"\?|L|(?:\d|{'|'.join(_DAYS)})(?:L|#\d)|(?:{'|'.join(_DAYS)}|[\d*,/-])+",
    "year": r"[\d*,/-]+",
}


class Schedule(Protocol):
    def next_after(self, moment: datetime) -> datetime | None:
        """The first firing time after that moment; None if the schedule never fires again."""


@dataclass(frozen=True)
class Rate:
    """Fires at start + 1, 2, 3 … periods. Missed firings are not made up for."""

    start: datetime
    period: timedelta

    def next_after(self, moment: datetime) -> datetime | None:
        passed = max((moment - self.start) // self.period, 0)
        return self.start + (passed + 1) * self.period


@dataclass(frozen=True)
class Cron:
    """In croniter's order: minutes, hours, day, month, weekday, seconds, year."""

    expression: str

    def next_after(self, moment: datetime) -> datetime | None:
        try:
            found: datetime = croniter(self.expression, moment, ret_type=datetime).get_next()
        except CroniterBadDateError:
            return None
        return found


def parse(expression: str, start: datetime) -> Schedule:
    """Raises ScheduleUnreadable. Rates count from ``start``. All times in this module are in UTC."""
    kind, _, inner = expression.strip().removesuffix(")").partition("(")
    if not expression.strip().endswith(")") or kind not in ("rate", "cron"):
        raise ScheduleUnreadable("it is neither rate(…) nor cron(…)")
    return _rate(inner, start) if kind == "rate" else _cron(inner)


def _rate(inner: str, start: datetime) -> Rate:
    match = re.fullmatch(r"([1-9]\d{0,5}) (minute|hour|day)(s?)", inner.strip(), re.ASCII)
    if not match:
        raise ScheduleUnreadable("a rate is a whole number of minutes, hours or days")
    count, unit, plural = int(match[1]), match[2], match[3]
    if (count == 1) == bool(plural):
        raise ScheduleUnreadable("EventBridge requires the singular for 1 and the plural for more")
    return Rate(start, count * _UNITS[unit])


def _cron(inner: str) -> Cron:
    parts = inner.upper().split()
    if len(parts) != len(_FIELDS):
        raise ScheduleUnreadable(f"a cron expression has six fields: {', '.join(_FIELDS)}")
    for part, (name, pattern) in zip(parts, _FIELDS.items(), strict=True):
        if not re.fullmatch(pattern, part, re.ASCII):
            raise ScheduleUnreadable(f"invalid field {name}")
    minutes, hours, day, month, weekday, year = parts
    if (day == "?") == (weekday == "?"):
        raise ScheduleUnreadable("one of day-of-month and day-of-week must be ?, and only one")
    try:
        translated = " ".join([minutes, hours, _or_any(day), month, _weekday(weekday), "0", year])
        croniter(translated)
    except ValueError:  # CroniterError is a subclass
        raise ScheduleUnreadable("a value is out of range") from None
    return Cron(translated)


def _or_any(field: str) -> str:
    return "*" if field == "?" else field


def _weekday(field: str) -> str:
    """Sunday is 1 for AWS, 0 for croniter. L alone is the week's last day; 6L is the month's last Friday."""
    if field == "L":
        return "6"
    if field.endswith("L"):
        return f"L{_shift(field[:-1])}"
    items = (re.match(r"([^/#]*)(.*)", item) for item in _or_any(field).split(","))
    return ",".join(re.sub(r"\d+", lambda day: _shift(day[0]), item[1]) + item[2] for item in items if item)


def _shift(day: str) -> str:
    """Translates one day of the week, given by number or name."""
    if day in _DAYS:
        return str(_DAYS.index(day))
    if not 1 <= int(day) <= len(_DAYS):
        raise ValueError("a weekday is 1 to 7")
    return str(int(day) - 1)
