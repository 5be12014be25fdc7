"""Which rows may be on a page: found by their keys, or by walking the index of the page's order.

Of few rows that the filters keep each is looked up, as far as the order reaches: where a facet of
dates is made of the column of the order, no more of its buckets than the page wants. Rows changed
since are in the changes of the bitmaps or still in the log, and looked up, too: the page is as of
its own moment, whatever version of the bitmaps told where to look.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from pyroaring import BitMap

from crm_ops.base import sql
from crm_ops.base.names import BITMAP_CHANGE, BITMAP_POSITION
from crm_ops.catalog.facets import DateFacet, LinkFacet
from crm_ops.changes import logs
from crm_ops.fold import rows
from crm_ops.read import periods
from crm_ops.read.condition import Condition
from crm_ops.read.kept import Held
from crm_ops.read.layout import column
from crm_ops.read.periods import Period
from crm_ops.read.question import Question

# Measured at a tenant of a million rows: a row on the way along an index, and one by its key. Most
# walks take half of it, one for which the planner takes another index a few times as long.
_WALKED_MS = 0.0008
_LOOKED_UP_MS = 0.011
# A day on one calendar may be another on the next.
_DAY = timedelta(days=1)
# Calendars on which no moment is written twice: without a zone, and of a zone without a summer.
_STEADY = (None, "UTC", "Etc/UTC")
_UNITS = ("day", "week", "month", "quarter", "year")


@dataclass(frozen=True)
class Found:
    """Rows among which the page is; `beyond` leaves out what lies past them in the order.

    Where `whole` nothing lies past them. `passed` rows are on the way to the end of the page.
    """

    positions: BitMap
    beyond: Condition | None
    passed: float

    @property
    def whole(self) -> bool:
        """Whether they are all that the filters keep after the cursor."""
        return self.beyond is None


@dataclass(frozen=True)
class Choice:
    """How a page is found, and what both ways are expected to cost, in milliseconds.

    `found` is None where the index is walked.
    """

    found: Found | None
    walk_ms: float
    lookup_ms: float


def choose(question: Question, held: Held, kept: BitMap) -> Choice:
    """The cheaper way to the page of the rows `kept`."""
    found = _reach(question, held, kept)
    walk_ms = min(found.passed, len(held.everything)) * _WALKED_MS
    lookup_ms = len(found.positions) * _LOOKED_UP_MS
    return Choice(found if lookup_ms <= walk_ms else None, walk_ms, lookup_ms)


def condition(question: Question, held: Held, found: Found, *also: str) -> Condition:
    """The rows `r` that were found, those that changed since, and those with keys that are `also`.

    Each of `also` is a SELECT of keys.
    """
    counted = question.layout.counted
    key_type = question.layout.type_of(counted.entity.key)
    own = logs.relation(counted.name).quoted
    parts = [
        f"SELECT known.key::{key_type} FROM {BITMAP_POSITION.quoted} AS known"
        " WHERE known.set_id = %(page_set)s AND known.position = ANY(%(page_rows)s::integer[])",
        f"SELECT known.key::{key_type} FROM {BITMAP_POSITION.quoted} AS known"
        " WHERE known.set_id = %(page_set)s AND known.position = ANY(ARRAY("
        f"SELECT unnest(change.went || change.came) FROM {BITMAP_CHANGE.quoted} AS change"
        " WHERE change.set_id = %(page_set)s AND change.version > %(page_version)s"
        " AND change.facet = ANY(%(page_facets)s::text[])))",
        f"SELECT logged.{sql.identifier(counted.entity.key)}::{key_type} FROM {own} AS logged"
        f" WHERE {rows.tenant(counted, 'logged')} = %(page_tenant)s",
    ]
    for name in question.buckets:
        facet = counted.entity.facets[name]
        if isinstance(facet, LinkFacet):
            link = logs.relation(counted.name, name).quoted
            parent = sql.identifier(facet.parent)
            parts.append(f"SELECT linked.{parent}::{key_type} FROM {link} AS linked")
    parts += also
    keys = f"{question.layout.key} = ANY(ARRAY({' UNION ALL '.join(parts)}))"
    within = "" if found.beyond is None else f" AND {found.beyond.text}"
    return Condition(
        keys + within,
        {
            "page_set": held.set_id,
            "page_version": held.version,
            # What else changed neither brings a row under the filters, nor nearer in the order.
            "page_facets": ["", *question.buckets, _calendar(question) or ""],
            "page_rows": found.positions.to_array().tolist(),
            "page_tenant": question.tenant,
            **({} if found.beyond is None else found.beyond.values),
        },
    )


def _reach(question: Question, held: Held, kept: BitMap) -> Found:
    """The rows of as many buckets, in the page's order, as fill the page."""
    name = _calendar(question)
    each = len(held.everything) / len(kept) if kept else math.inf
    everything = Found(kept, None, (question.limit + 1) * each)
    if name is None or len(kept) <= question.limit:
        return everything
    there = held.places.get(name, {})
    after = question.after
    if after is not None and after.value is None:
        without = kept & there.get(None, BitMap())
        return Found(without, None, len(there.get(None, BitMap())))
    begin = None if after is None else _day(after.value)
    if after is not None and begin is None:
        return everything
    reached: dict[str, Period] = {}
    for bucket in there:
        period = None if bucket is None else periods.parse(bucket)
        if period is not None:
            reached[str(bucket)] = period
        elif bucket is not None and kept.intersect(there[bucket]):
            return everything
    return _filled(question, kept, there, list(_ordered(question, reached)), begin)


def _filled(
    question: Question,
    kept: BitMap,
    there: Mapping[str | None, BitMap],
    ordered: list[tuple[str, Period]],
    begin: date | None,
) -> Found:
    falling = question.order.falling
    rows_, sure, passed = BitMap(), 0, 0.0
    # A filter of the order's own column lets the index begin where the first of its rows is.
    narrowed = _narrowed(question)
    for at, (bucket, period) in enumerate(ordered):
        if begin is not None and _before(period, begin, falling=falling):
            continue
        part = kept & there[bucket]
        rows_ |= part
        share = min(1.0, (question.limit + 1 - sure) / len(part)) if part else 1.0
        passed += share * len(there[bucket]) if rows_ or not narrowed else 0
        # Of the buckets around the cursor some rows are before it.
        if begin is None or not _around(period, begin):
            sure += len(part)
        if sure > question.limit:
            if at + 1 < len(ordered) and _zone(question) not in _STEADY:
                # Where clocks went back, a moment may be in the bucket after its own.
                rows_ |= kept & there[ordered[at + 1][0]]
            return Found(rows_, _beyond(question, period), passed)
    without = there.get(None, BitMap())
    return Found(rows_ | (kept & without), None, passed + len(without))


def _narrowed(question: Question) -> bool:
    facets = question.layout.entity.facets
    return any(
        getattr(facets[name], "column", None) == question.order.column for name in question.buckets
    )


def _calendar(question: Question) -> str | None:
    """The facet with the smallest buckets of dates that is made of the column of the order."""
    found = [
        (_UNITS.index(facet.bucket), name)
        for name, facet in question.layout.entity.facets.items()
        if isinstance(facet, DateFacet) and facet.column == question.order.column
    ]
    return min(found)[1] if found else None


def _ordered(question: Question, found: Mapping[str, Period]) -> Iterator[tuple[str, Period]]:
    yield from sorted(
        found.items(), key=lambda each: each[1].begins, reverse=question.order.falling
    )


def _before(period: Period, begin: date, *, falling: bool) -> bool:
    """Whether a whole period comes before the cursor."""
    return period.begins > begin + _DAY if falling else period.ends < begin - _DAY


def _around(period: Period, begin: date) -> bool:
    return period.begins <= begin + _DAY and begin - _DAY <= period.ends


def _day(text: str | None) -> date | None:
    try:
        return None if text is None else datetime.fromisoformat(text).date()
    except ValueError:
        return None


def _zone(question: Question) -> str | None:
    """The zone whose calendar the order's column is bucketed by; None where it has no zone."""
    layout = question.layout
    if not layout.type_of(question.order.column).endswith("with time zone"):
        return None
    facet = layout.entity.facets[_calendar(question) or ""]
    return getattr(facet, "time_zone", None) or layout.counted.catalog.time_zone


def _beyond(question: Question, last: Period) -> Condition:
    """What is not past the last period that was reached."""
    layout, order = question.layout, question.order
    bound = last.begins if order.falling else last.ends
    sign = ">=" if order.falling else "<"
    held, zone = f"%(page_last)s::{layout.type_of(order.column)}", _zone(question)
    if zone is not None:
        held = f"(%(page_last)s::timestamp AT TIME ZONE {sql.literal(zone)})"
    return Condition(f"{column(order.column)} {sign} {held}", {"page_last": bound.isoformat()})


__all__ = ["Choice", "Found", "choose", "condition"]
