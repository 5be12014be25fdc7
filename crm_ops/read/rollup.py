"""Rolls the buckets of dates up, from days to weeks, months, quarters and years, as SQL."""

from __future__ import annotations

from datetime import timedelta
from functools import lru_cache

from crm_ops.base import errors, sql
from crm_ops.catalog.facets import DateFacet
from crm_ops.fold import splits
from crm_ops.read import periods
from crm_ops.read.periods import Period, Unit

COARSER: dict[Unit, tuple[Unit, ...]] = {
    "day": ("week", "month", "quarter", "year"),
    "week": (),
    "month": ("quarter", "year"),
    "quarter": ("year",),
    "year": (),
}
"""The units that each unit adds up to; a week may lie in two months."""

# What makes a bucket's name a date that PostgreSQL reads; what follows a year keeps its era.
_FIRST_DAY: dict[Unit, tuple[str, str]] = {
    "day": ("^([0-9]+-[0-9]+-[0-9]+)", r"\1"),
    "month": ("^([0-9]+-[0-9]+)", r"\1-01"),
}

# What a bucket's name begins with is the name of the month, the quarter or the year it lies in.
_CUT: dict[Unit, str] = {
    "month": "left({held}, 7)",
    "quarter": "left({held}, 4) || '-Q' || (substr({held}, 6, 2)::integer + 2) / 3",
    "year": "left({held}, 4)",
}


@lru_cache(256)
def bucket(held: str, unit: Unit, wanted: Unit) -> str:
    """The name of the `wanted` unit's bucket that the bucket `held` of `unit` lies in."""
    if unit == wanted:
        return held
    if unit == "quarter":
        return f"regexp_replace({held}, '-Q[1-4]', '')"
    far = _far(held, unit, wanted)
    if wanted not in _CUT:
        return far
    # A name of the usual length is cut, which takes a tenth of reading it as a date: only years of
    # five digits and those before Christ have other lengths.
    cut = _CUT[wanted].format(held=held)
    return f"CASE WHEN length({held}) = {len(periods.EXAMPLES[unit])} THEN {cut} ELSE {far} END"


def _far(held: str, unit: Unit, wanted: Unit) -> str:
    """The same for any year of PostgreSQL's calendar."""
    pattern, first = _FIRST_DAY[unit]
    day = f"regexp_replace({held}, {sql.literal(pattern)}, {sql.literal(first)})::timestamp"
    facet = DateFacet(kind="date", column="bucket", bucket=wanted)
    split = splits.make("", facet, {"bucket": "timestamp without time zone"}, "UTC")
    return split.text(f"date_trunc('{wanted}', {day})")


def first_bucket(name: str, unit: Unit) -> str:
    """The bucket of `unit` that the period called `name` begins with."""
    return _name(_period(name, unit), unit, last=False)


def last_bucket(name: str, unit: Unit) -> str:
    """The bucket of `unit` that the period called `name` ends with."""
    return _name(_period(name, unit), unit, last=True)


def _period(name: str, unit: Unit) -> Period:
    found = periods.parse(name)
    if found is None or found.unit not in (unit, *COARSER[unit]):
        raise errors.ParameterError(
            f"{name[:60]!r} is no {unit} or longer period; write one such as"
            f" {periods.EXAMPLES[unit]} or 2026"
        )
    return found


def _name(period: Period, unit: Unit, *, last: bool) -> str:
    day = period.ends - timedelta(days=1) if last else period.begins
    match unit:
        case "day":
            return day.isoformat()
        case "week":
            year, week, _ = day.isocalendar()
            return f"{year:04d}-W{week:02d}"
        case "month":
            return f"{day.year:04d}-{day.month:02d}"
        case "quarter":
            return f"{day.year:04d}-Q{(day.month + 2) // 3}"
        case "year":
            return f"{day.year:04d}"


__all__ = ["COARSER", "bucket", "first_bucket", "last_bucket"]
