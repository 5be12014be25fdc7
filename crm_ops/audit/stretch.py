"""Stretches of time, half-open as partitions are: what they cover and what they leave out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# What MINVALUE and MAXVALUE are to us; PostgreSQL's own range is wider than Python's.
BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
END = datetime(9999, 12, 31, tzinfo=UTC)


@dataclass(frozen=True, order=True)
class Stretch:
    """From `lower` (inside) to `upper` (outside), both aware."""

    lower: datetime
    upper: datetime

    def overlaps(self, other: Stretch) -> bool:
        """Whether a moment lies in both."""
        return self.lower < other.upper and other.lower < self.upper

    def without(self, taken: Iterable[Stretch]) -> tuple[Stretch, ...]:
        """The parts of it that none of `taken` covers, in order."""
        left, start = [], self.lower
        for other in sorted(each for each in taken if each.overlaps(self)):
            if start < other.lower:
                left.append(Stretch(start, other.lower))
            start = max(start, other.upper)
        if start < self.upper:
            left.append(Stretch(start, self.upper))
        return tuple(left)


def unbroken_days(covered: Iterable[Stretch], now: datetime) -> int:
    """Whole days from `now` until the first moment that none of `covered` holds."""
    until = now
    for each in sorted(covered):
        if each.lower <= until < each.upper:
            until = each.upper
    return (until - now) // timedelta(days=1)


__all__ = ["BEGINNING", "END", "Stretch", "unbroken_days"]
