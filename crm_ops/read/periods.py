"""Calendar periods by the names of buckets: 2026, 2026-Q1, 2026-03, 2026-W10, 2026-03-14."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache
from typing import Literal

Unit = Literal["day", "week", "month", "quarter", "year"]

EXAMPLES: dict[Unit, str] = {
    "day": "2026-03-14",
    "week": "2026-W10",
    "month": "2026-03",
    "quarter": "2026-Q1",
    "year": "2026",
}

_NAME = re.compile(
    r"(?P<year>[0-9]{4})(?:-Q(?P<quarter>[1-4])|-W(?P<week>[0-9]{2})"
    r"|-(?P<month>[0-9]{2})(?:-(?P<day>[0-9]{2}))?)?"
)
# Buckets that PostgreSQL's calendar has and Python's has not.
_FAR = re.compile(r"-?infinity|[0-9]{4,7}(-Q[1-4]|-W[0-9]{2}|-[0-9]{2}(-[0-9]{2})?)?( BC)?")


@dataclass(frozen=True)
class Period:
    """A calendar unit from the day it begins to before the day it ends."""

    unit: Unit
    begins: date
    ends: date


@lru_cache(4_096)
def parse(name: str) -> Period | None:
    """The period of that name; None where Python's calendar has none."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    try:
        return _period(**match.groupdict())
    except (ValueError, OverflowError):
        return None


def far(name: str) -> bool:
    """Whether `name` may be a bucket beyond Python's calendar: `infinity`, `0044-03 BC`."""
    return (_FAR.fullmatch(name) is not None and not _NAME.fullmatch(name)) or name in _EDGES


# Years of four digits that Python's dates cannot go past or do not have.
_EDGES = frozenset({"9999", *(f"9999-{at:02d}" for at in range(1, 13)), "9999-12-31"})


def _period(
    year: str, quarter: str | None, week: str | None, month: str | None, day: str | None
) -> Period:
    if quarter:
        first = int(quarter) * 3 - 2
        return Period("quarter", date(int(year), first, 1), _month(int(year), first + 3))
    if week:
        monday = date.fromisocalendar(int(year), int(week), 1)
        return Period("week", monday, monday + timedelta(days=7))
    if day and month:
        begins = date(int(year), int(month), int(day))
        return Period("day", begins, begins + timedelta(days=1))
    if month:
        return Period("month", _month(int(year), int(month)), _month(int(year), int(month) + 1))
    return Period("year", date(int(year), 1, 1), date(int(year) + 1, 1, 1))


def _month(year: int, month: int) -> date:
    """The first day of a month; the 13th is the next year's first."""
    if not 1 <= month <= 13:
        raise ValueError
    return date(year + (month - 1) // 12, (month - 1) % 12 + 1, 1)


__all__ = ["EXAMPLES", "Period", "Unit", "far", "parse"]
