"""What a rule says of a bucket holds for every row in it, whatever its value."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_ops.catalog.facets import ColumnFacet, DateFacet, RangesFacet
from crm_ops.read import verdicts
from crm_ops.sharing import compiled
from crm_ops.sharing.kinds import Kind
from crm_ops.sharing.predicate import Condition, Operator

COMPARED: list[Operator] = ["eq", "ne", "lt", "le", "gt", "ge", "in"]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
numbers = st.decimals(-30, 130, places=1) | st.sampled_from(
    [Decimal(each) for each in ("0", "25", "100", "NaN", "Infinity", "-Infinity")]
)
moments = st.datetimes(datetime(2025, 12, 1), datetime(2026, 5, 1), timezones=st.just(UTC))


def condition(operator: Operator, kind: Kind, *values: str) -> Condition:
    return Condition(operator, "held", kind, values)


def said(facet: Any, asked: Condition, bucket: str | None) -> Any:
    judge = verdicts.judge(facet, asked, "UTC")
    assert judge is not None
    return judge(bucket)


@given(
    value=numbers,
    wanted=st.decimals(-30, 130, places=1),
    operator=st.sampled_from(COMPARED),
)
def test_of_numbers_in_a_range(value: Decimal, wanted: Decimal, operator: Operator) -> None:
    facet = RangesFacet(
        kind="ranges", column="held", bounds=[Decimal(0), Decimal(25), Decimal(100)]
    )
    at = sum(value.is_nan() or value >= bound for bound in facet.bounds)
    asked = condition(operator, "number", f"{wanted:f}")

    found = said(facet, asked, facet.labels()[at])

    assert compiled.test(asked, {"held": 0})([value]) in found
    assert None not in found


@given(
    value=moments,
    wanted=moments,
    operator=st.sampled_from(COMPARED),
    zone=st.sampled_from(["UTC", "Pacific/Kiritimati", "America/Los_Angeles"]),
)
def test_of_moments_in_a_month_of_any_calendar(
    value: datetime, wanted: datetime, operator: Operator, zone: str
) -> None:
    facet = DateFacet(kind="date", column="held", bucket="month", time_zone=zone)
    asked = condition(operator, "timestamp", wanted.isoformat())
    cell = Decimal((value - EPOCH).total_seconds())

    found = said(facet, asked, f"{value.astimezone(ZoneInfo(zone)):%Y-%m}")

    assert compiled.test(asked, {"held": 0})([cell]) in found


@pytest.mark.parametrize(
    ("operator", "wanted", "bucket", "expected"),
    [
        ("ge", "25", "25..100", {True}),
        ("ge", "25", "0..25", {False}),
        ("lt", "25", "0..25", {True}),
        ("le", "25", "25..100", {True, False}),
        ("gt", "30", "25..100", {True, False}),
        ("eq", "30", "0..25", {False}),
        ("ge", "25", None, {None}),
    ],
)
def test_a_line_between_buckets_leaves_none_open(
    operator: Operator, wanted: str, bucket: str | None, expected: set[bool | None]
) -> None:
    facet = RangesFacet(
        kind="ranges", column="held", bounds=[Decimal(0), Decimal(25), Decimal(100)]
    )
    assert said(facet, condition(operator, "number", wanted), bucket) == expected


def test_dates_end_with_their_month() -> None:
    facet = DateFacet(kind="date", column="held", bucket="month")
    asked = condition("lt", "date", date(2026, 3, 1).isoformat())
    assert said(facet, asked, "2026-02") == {True}
    assert said(facet, asked, "2026-03") == {False}
    assert said(facet, asked, "infinity") == {True, False}


def test_a_name_that_was_cut_short_tells_no_value() -> None:
    facet = ColumnFacet(column="held")
    cut = f"{'x' * 120}…{'0' * 32}"
    asked = condition("eq", "text", "x")
    assert said(facet, asked, cut) == {True, False}
    assert said(facet, asked, "x") == {True}
    assert said(facet, condition("is_null", "text"), cut) == {False}
    assert said(facet, condition("is_null", "text"), None) == {True}


def test_a_facet_of_another_kind_tells_nothing() -> None:
    facet = ColumnFacet(column="held")
    assert verdicts.judge(facet, condition("lt", "date", "2026-03-01"), "UTC") is None
