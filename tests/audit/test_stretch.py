from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from crm_ops.audit import stretch
from crm_ops.audit.stretch import Stretch

START = datetime(2024, 1, 1, tzinfo=UTC)


def days(lower: float, upper: float) -> Stretch:
    return Stretch(START + timedelta(days=lower), START + timedelta(days=upper))


any_stretch = st.tuples(st.integers(0, 99), st.integers(1, 30)).map(
    lambda given: days(given[0], given[0] + given[1])
)


def test_what_is_left_of_a_month_lies_around_what_is_taken() -> None:
    assert days(0, 30).without([days(5, 10), days(20, 40)]) == (days(0, 5), days(10, 20))


def test_neighbours_take_nothing() -> None:
    assert days(0, 30).without([days(-5, 0), days(30, 60)]) == (days(0, 30),)


def test_nothing_is_left_of_what_is_wholly_taken() -> None:
    assert days(0, 30).without([days(-5, 12), days(12, 31)]) == ()


@given(any_stretch, st.lists(any_stretch, max_size=8))
def test_every_moment_is_taken_or_left_and_never_both(
    wanted: Stretch, taken: list[Stretch]
) -> None:
    left = wanted.without(taken)

    for hour in range(130 * 2):
        moment = START + timedelta(hours=12 * hour)
        inside = wanted.lower <= moment < wanted.upper
        is_taken = any(each.lower <= moment < each.upper for each in taken)
        assert sum(each.lower <= moment < each.upper for each in left) == (inside and not is_taken)


def test_the_runway_ends_at_the_first_gap() -> None:
    covered = [days(31, 59), days(0, 31), days(60, 90)]

    assert stretch.unbroken_days(covered, START + timedelta(days=10, hours=1)) == 48


def test_there_is_no_runway_where_today_has_no_partition() -> None:
    assert stretch.unbroken_days([days(31, 59)], START) == 0
    assert stretch.unbroken_days([], START) == 0


def test_a_partition_without_end_is_a_runway_of_millennia() -> None:
    assert stretch.unbroken_days([Stretch(START, stretch.END)], START) > 2_000_000
