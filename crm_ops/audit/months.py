"""Calendar months in UTC: no gap, no overlap, whatever the day and the hour."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from crm_ops.audit.stretch import Stretch


@dataclass(frozen=True, order=True)
class Month:
    """One calendar month; `month` counts from 1."""

    year: int
    month: int

    @classmethod
    def of(cls, moment: datetime) -> Month:
        """The month that holds `moment` in UTC; a moment without a time zone is refused."""
        if moment.tzinfo is None:
            raise ValueError(f"{moment} has no time zone")
        utc = moment.astimezone(UTC)
        return cls(utc.year, utc.month)

    def plus(self, months: int) -> Month:
        """The month so many months later, or earlier where `months` is negative."""
        year, month = divmod(self.year * 12 + self.month - 1 + months, 12)
        return Month(year, month + 1)

    @property
    def stretch(self) -> Stretch:
        """From its first instant to the first of the next month."""
        following = self.plus(1)
        return Stretch(
            datetime(self.year, self.month, 1, tzinfo=UTC),
            datetime(following.year, following.month, 1, tzinfo=UTC),
        )


def upcoming(now: datetime, ahead: int) -> tuple[Month, ...]:
    """The current month and the `ahead` months after it."""
    current = Month.of(now)
    return tuple(current.plus(months) for months in range(ahead + 1))


def cutoff(now: datetime, retention_months: int) -> datetime:
    """The moment before which rows have expired.

    `retention_months` whole months are kept beside the current one, so it is the first instant of
    a month.
    """
    return Month.of(now).plus(-retention_months).stretch.lower


__all__ = ["Month", "cutoff", "upcoming"]
