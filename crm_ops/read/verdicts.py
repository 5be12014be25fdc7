"""What a rule's condition says of the rows in one bucket of a facet of the column that it tests."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from crm_ops.catalog.facets import ColumnFacet, DateFacet, Facet, LookupFacet, RangesFacet
from crm_ops.read import periods
from crm_ops.read.buckets import Bucket
from crm_ops.sharing import compiled
from crm_ops.sharing.kinds import Kind
from crm_ops.sharing.predicate import Condition

Verdicts = frozenset[bool | None]
"""What it may say of them: True, False, or None for unknown."""

Judge = Callable[[Bucket], Verdicts]

_EITHER: Verdicts = frozenset({True, False})
_CLIPPED = re.compile(r".*…[0-9a-f]{32}", re.DOTALL)
_UTC = frozenset({"UTC", "Etc/UTC"})
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BY_VALUE = frozenset({"text", "enum", "number", "boolean", "uuid"})
_LOWEST, _HIGHEST = Decimal("-Infinity"), Decimal("Infinity")


def judge(facet: Facet, condition: Condition, time_zone: str) -> Judge | None:
    """The verdicts by bucket; None where the facet tells nothing about the condition."""
    test = compiled.test(condition, {condition.field: 0})
    without: Verdicts = frozenset({test([None])})
    some = _some(facet, condition, test, time_zone)
    if some is None:
        return None
    known = some
    if condition.operator == "is_null":
        return lambda bucket: frozenset({bucket is None})
    return lambda bucket: without if bucket is None else known(bucket)


def _some(
    facet: Facet, condition: Condition, test: compiled.Test, time_zone: str
) -> Callable[[str], Verdicts] | None:
    """The verdicts on buckets of rows that have a value."""
    match facet:
        case ColumnFacet() | LookupFacet() if condition.kind in _BY_VALUE:
            return lambda bucket: (
                _EITHER
                if _CLIPPED.fullmatch(bucket)
                else frozenset({test([_cell(bucket, condition.kind)])})
            )
        case RangesFacet() if condition.kind == "number":
            edges = [_LOWEST, *facet.bounds, _HIGHEST]
            ranges = dict(zip(facet.labels(), itertools.pairwise(edges), strict=True))
            wanted = [Decimal(value) for value in condition.values]
            return lambda bucket: _within(condition, wanted, *ranges[bucket])
        case DateFacet() if condition.kind in ("date", "timestamp"):
            moments = [_seconds(value) for value in condition.values]
            zone = facet.time_zone or time_zone
            # On another calendar a day begins and ends at other moments, by less than a day.
            slack = timedelta(0 if condition.kind == "date" or zone in _UTC else 1)
            return lambda bucket: _dated(condition, moments, bucket, slack)
    return None


def _cell(bucket: str, kind: Kind) -> object:
    """The value that a bucket is named after, as the condition's function reads it."""
    if kind == "number":
        return Decimal(bucket)
    return bucket == "true" if kind == "boolean" else bucket


def _within(condition: Condition, wanted: list[Decimal], low: Decimal, high: Decimal) -> Verdicts:
    """The verdicts on values from `low` to before `high`; without an end also on not-a-number."""
    value = wanted[0]
    match condition.operator:
        case "lt":
            return _one_of(yes=high <= value, no=low >= value)
        case "le":
            return _one_of(yes=high <= value, no=low > value)
        case "ge":
            return _one_of(yes=low >= value, no=high <= value)
        case "gt":
            return _one_of(yes=low > value, no=high <= value)
    if any(low <= each < high for each in wanted):
        return _EITHER
    return frozenset({condition.operator == "ne"})


def _one_of(*, yes: bool, no: bool) -> Verdicts:
    return _EITHER if yes == no else frozenset({yes})


def _dated(condition: Condition, moments: list[Decimal], bucket: str, slack: timedelta) -> Verdicts:
    period = periods.parse(bucket)
    if period is None:
        # Infinitely far, or beyond the calendar.
        return _EITHER
    try:
        low, high = (_day(period.begins, -slack), _day(period.ends, slack))
    except OverflowError:
        return _EITHER
    return _within(condition, moments, low, high)


def _day(day: date, slack: timedelta) -> Decimal:
    moment = datetime.combine(day, datetime.min.time(), UTC) + slack
    return Decimal((moment - _EPOCH) // timedelta(seconds=1))


def _seconds(text: str) -> Decimal:
    moment = datetime.fromisoformat(text)
    moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return Decimal((moment - _EPOCH) // timedelta(microseconds=1)) / 1_000_000


__all__ = ["Verdicts", "judge"]
