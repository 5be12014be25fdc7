from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_ops.audit import months
from crm_ops.audit.months import Month

zones = st.builds(lambda minutes: timezone(timedelta(minutes=minutes)), st.integers(-840, 840))
moments = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=zones)
calendar_months = st.builds(Month, st.integers(1000, 3000), st.integers(1, 12))


def test_a_month_holds_its_first_instant_and_not_that_of_the_next() -> None:
    march = Month(2024, 3)

    assert march.stretch.lower == datetime(2024, 3, 1, tzinfo=UTC)
    assert march.stretch.upper == datetime(2024, 4, 1, tzinfo=UTC)
    assert Month.of(march.stretch.lower) == march
    assert Month.of(march.stretch.upper) == Month(2024, 4)


def test_months_are_those_of_utc_whatever_the_zone_of_the_clock() -> None:
    berlin = timezone(timedelta(hours=2))

    assert Month.of(datetime(2024, 4, 1, 1, 59, tzinfo=berlin)) == Month(2024, 3)


def test_a_clock_without_a_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        Month.of(datetime(2024, 3, 1))


@pytest.mark.parametrize(("year", "days"), [(2023, 28), (2024, 29), (2100, 28), (2000, 29)])
def test_february_has_its_days(year: int, days: int) -> None:
    february = Month(year, 2).stretch

    assert february.upper - february.lower == timedelta(days=days)


def test_a_year_of_retention_keeps_twelve_whole_months_beside_the_current_one() -> None:
    assert months.cutoff(datetime(2024, 3, 31, 23, tzinfo=UTC), 12) == datetime(
        2023, 3, 1, tzinfo=UTC
    )


def test_every_one_of_730_days_wants_the_current_month_and_three_more() -> None:
    for day in range(730):
        now = datetime(2023, 1, 1, 14, tzinfo=UTC) + timedelta(days=day)
        wanted = months.upcoming(now, 3)

        assert len(set(wanted)) == 4
        assert wanted[0].stretch.lower <= now < wanted[0].stretch.upper


@given(moments, st.integers(1, 120))
def test_upcoming_months_follow_each_other_without_gap_or_overlap(
    now: datetime, ahead: int
) -> None:
    wanted = months.upcoming(now, ahead)

    assert len(wanted) == ahead + 1
    assert wanted[0].stretch.lower <= now < wanted[0].stretch.upper
    assert all(one.stretch.upper == other.stretch.lower for one, other in pairwise(wanted))


@given(calendar_months, st.integers(-5000, 5000))
def test_going_there_and_back_leads_home(month: Month, distance: int) -> None:
    assert month.plus(distance).plus(-distance) == month
    assert (month.plus(distance) > month) == (distance > 0)


@given(moments, st.integers(1, 600))
def test_retention_is_never_shorter_than_promised(now: datetime, retention_months: int) -> None:
    cutoff = months.cutoff(now, retention_months)

    assert Month.of(cutoff).plus(retention_months) == Month.of(now)
    assert cutoff == Month.of(cutoff).stretch.lower
