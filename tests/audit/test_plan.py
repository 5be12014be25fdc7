from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_ops.audit import months, plan
from crm_ops.audit.layout import Default, Layout, Parent, Stored
from crm_ops.audit.months import Month
from crm_ops.audit.plan import Plan
from crm_ops.audit.stretch import BEGINNING, END, Stretch
from crm_ops.base.sql import Relation
from tests.audit.logs import LOG, NOW, at, month, policy

PARENT = Parent(LOG, "crm", "created_at", "timestamp with time zone", row_security=False)


def stored(name: str, stretch: Stretch, *, pending: bool = False, foreign: bool = False) -> Stored:
    return Stored(Relation("crm", name), stretch, 10, 8192, foreign=foreign, pending=pending)


def waiting(*days: tuple[str, int]) -> Default:
    held = tuple((date.fromisoformat(day), rows) for day, rows in days)
    return Default(Relation("crm", "audit_log_default"), 0, sum(rows for _, rows in held), held)


def laid_out(*partitions: Stored, default: Default | None = None) -> Layout:
    return Layout(
        parent=PARENT,
        partitions=partitions,
        default=default,
        detached=(),
        names=frozenset(each.table.name for each in partitions),
        read_at=NOW,
    )


def after(layout: Layout, made: Plan) -> Layout:
    """The layout that a plan leads to."""
    gone = {each.table for each in (*made.expiries, *made.drops, *made.finalizations)}
    new = [Stored(each.table, each.stretch, each.rows, 0) for each in made.creations]
    standing = [each for each in layout.partitions if each.table not in gone]
    default = layout.default
    if default is not None:
        left = tuple(
            (day, rows)
            for day, rows in default.days
            if not any(each.stretch.lower.date() <= day < each.stretch.upper.date() for each in new)
        )
        default = replace(default, days=left)
    return replace(
        layout,
        partitions=tuple(sorted([*standing, *new], key=lambda each: each.stretch)),
        default=default,
        names=layout.names | {each.table.name for each in new},
    )


def test_an_empty_log_gets_the_current_month_and_three_more() -> None:
    made = plan.make(laid_out(), policy(), NOW)

    assert [(each.table.name, each.stretch) for each in made.creations] == [
        ("audit_log_p202403", month("2024-03")),
        ("audit_log_p202404", month("2024-04")),
        ("audit_log_p202405", month("2024-05")),
        ("audit_log_p202406", month("2024-06")),
    ]
    assert made.runway_days == 107


def test_a_month_is_created_around_what_is_there_of_it() -> None:
    odd = Stretch(at("2024-03-20 13:00"), at("2024-04-19 13:00"))

    made = plan.make(laid_out(stored("old_1", odd)), policy(months_ahead=1), NOW)

    assert [(each.table.name, each.stretch) for each in made.creations] == [
        ("audit_log_p202403", Stretch(at("2024-03-01"), odd.lower)),
        ("audit_log_p202404", Stretch(odd.upper, at("2024-05-01"))),
    ]


def test_a_name_decides_nothing() -> None:
    misnamed = stored("audit_log_p202404", month("2023-12"))

    made = plan.make(laid_out(misnamed), policy(months_ahead=1), NOW)

    assert [(each.table.name, each.stretch) for each in made.creations] == [
        ("audit_log_p202403", month("2024-03")),
        ("audit_log_p202404_2", month("2024-04")),
    ]


def test_past_months_within_the_retention_are_created_for_the_rows_that_wait() -> None:
    default = waiting(("2024-01-31", 7), ("2024-04-02", 5), ("2022-01-01", 3), ("2031-01-01", 1))

    made = plan.make(laid_out(default=default), policy(months_ahead=1), NOW)

    assert [(each.stretch, each.rows) for each in made.creations] == [
        (month("2024-03"), 0),
        (month("2024-04"), 5),
        (month("2024-01"), 7),
    ]
    assert "3 of its rows have expired" in made.kept[0].why


def test_more_rows_than_may_be_moved_at_once_are_moved_in_parts_cut_at_midnight() -> None:
    default = waiting(("2024-03-01", 60), ("2024-03-02", 40), ("2024-03-05", 1), ("2024-03-09", 99))

    made = plan.make(laid_out(default=default), policy(months_ahead=1), NOW, most_moved=100)

    assert [(each.table.name, each.stretch, each.rows) for each in made.creations[:-1]] == [
        ("audit_log_p202403", Stretch(at("2024-03-01"), at("2024-03-05")), 100),
        ("audit_log_p202403_2", Stretch(at("2024-03-05"), at("2024-04-01")), 100),
    ]


def test_a_month_expires_when_its_last_moment_is_past_the_retention() -> None:
    layout = laid_out(
        stored("a", month("2023-02")), stored("b", month("2023-03")), stored("c", month("2024-03"))
    )

    made = plan.make(layout, policy(retention_months=12), NOW)

    assert [each.table.name for each in made.expiries] == ["a"]
    assert made.drops == made.expiries
    assert [(each.table.name, each.why) for each in made.kept] == [
        ("b", "may hold rows from 2023-03-01 on"),
        ("c", "may hold rows from 2023-03-01 on"),
    ]


@pytest.mark.parametrize(
    ("on_expiry", "detached", "archived"), [("archive", 1, 1), ("drop", 1, 0), ("keep", 0, 0)]
)
def test_what_happens_to_an_expired_month_is_the_catalogs_choice(
    on_expiry: Literal["archive", "drop", "keep"], detached: int, archived: int
) -> None:
    layout = laid_out(stored("a", month("2023-02")), stored("b", month("2024-03")))

    made = plan.make(layout, policy(on_expiry=on_expiry), NOW)
    patient = plan.make(layout, policy(on_expiry=on_expiry, grace_days=1), NOW)

    assert (len(made.expiries), len(made.archives)) == (detached, archived)
    assert len(made.drops) == detached
    assert patient.drops == (), "its grace begins when it is detached"


def test_the_newest_partition_stays_although_it_has_expired() -> None:
    layout = laid_out(stored("a", month("2020-01")), stored("b", month("2020-02")))

    made = plan.make(layout, policy(), NOW)

    assert [each.table.name for each in made.expiries] == ["a"]
    assert made.kept[0].why == "expired; it is the newest partition"


def test_a_foreign_table_is_not_ours_to_retire() -> None:
    cold = stored("a", month("2020-01"), foreign=True)

    made = plan.make(laid_out(cold, stored("b", month("2024-03"))), policy(), NOW)

    assert made.expiries == ()


def test_a_partition_without_a_beginning_expires_and_one_without_an_end_never() -> None:
    layout = laid_out(
        stored("a", Stretch(BEGINNING, at("2020-01-01"))), stored("b", Stretch(NOW, END))
    )

    made = plan.make(layout, policy(), NOW)

    assert [each.table.name for each in made.expiries] == ["a"]
    assert [each.stretch for each in made.creations] == [Stretch(at("2024-03-01"), NOW)]


def test_a_clock_that_runs_ahead_creates_but_retires_nothing() -> None:
    layout = laid_out(*(stored(f"m{n}", Month(2023, 6).plus(n).stretch) for n in range(12)))

    made = plan.make(layout, policy(), NOW + timedelta(days=2000))

    assert made.expiries == ()
    assert len(made.creations) == 4


def test_a_detached_month_that_the_retention_covers_again_is_not_dropped() -> None:
    layout = replace(laid_out(), detached=(stored("a", month("2023-02")),))

    assert len(plan.make(layout, policy(retention_months=12), NOW).drops) == 1
    longer = plan.make(layout, policy(retention_months=13), NOW)
    assert longer.drops == ()
    assert "attach it by hand" in longer.kept[0].why


def test_a_pending_detach_is_finalized_and_its_month_created_anew() -> None:
    half = stored("audit_log_p202403", month("2024-03"), pending=True)

    made = plan.make(laid_out(half), policy(months_ahead=1), NOW)

    assert [each.table.name for each in made.finalizations] == ["audit_log_p202403"]
    assert made.creations[0].table.name == "audit_log_p202403_2"
    assert made.creations[0].stretch == month("2024-03")


def test_a_plan_is_plain_data() -> None:
    layout = laid_out(stored("a", month("2023-02")), stored("b", month("2024-03")))

    data = json.loads(json.dumps(plan.make(layout, policy(), NOW).to_dict()))

    assert data["detach"] == [
        {
            "table": "crm.a",
            "lower": "2023-02-01T00:00:00+00:00",
            "upper": "2023-03-01T00:00:00+00:00",
            "rows": 10,
            "bytes": 8192,
        }
    ]
    assert data["create"][0]["table"] == "crm.audit_log_p202404"


def test_730_daily_runs_keep_the_months_of_the_policy_and_no_more() -> None:
    layout, declared = laid_out(), policy(months_ahead=3, retention_months=12)
    for day in range(730):
        now = datetime(2023, 1, 1, 14, tzinfo=UTC) + timedelta(days=day)
        layout = replace(layout, read_at=now)
        made = plan.make(layout, declared, now)
        layout = after(layout, made)

        held = [each.stretch for each in layout.partitions]
        assert held[-4:] == [each.stretch for each in months.upcoming(now, 3)]
        assert len(held) == len(set(held)) <= 16
        assert made.runway_days >= 3 * 28
    assert len(layout.partitions) == 16


@st.composite
def layouts(draw: st.DrawFn) -> Layout:
    """Partitions of any length with any holes, from three years ago to a year ahead."""
    partitions, moment = [], NOW - timedelta(days=draw(st.integers(0, 1100)))
    for number in range(draw(st.integers(0, 25))):
        moment += timedelta(hours=draw(st.sampled_from([0, 0, 0, 1, 24, 720, 2000])))
        upper = moment + timedelta(hours=draw(st.sampled_from([1, 24, 720, 744, 5000])))
        name = draw(st.sampled_from(["audit_log_p2024", "events_", "audit_log_p202403_"]))
        pending = draw(st.integers(0, 9)) == 0
        partitions.append(stored(f"{name}{number}", Stretch(moment, upper), pending=pending))
        moment = upper
    free = [
        NOW.date() + timedelta(days=offset)
        for offset in draw(st.lists(st.integers(-1200, 400), max_size=20, unique=True))
    ]
    rows = draw(st.lists(st.integers(1, 150), min_size=len(free), max_size=len(free)))
    days = tuple(sorted(zip(free, rows, strict=True)))
    default = Default(Relation("crm", "audit_log_default"), 0, sum(rows), days)
    return laid_out(*partitions, default=draw(st.sampled_from([None, default])))


@given(layouts(), st.integers(1, 24))
def test_any_layout_ends_without_gap_or_overlap_and_the_second_run_changes_nothing(
    layout: Layout, ahead: int
) -> None:
    declared = policy(months_ahead=ahead, retention_months=24, on_expiry="keep")

    made = plan.make(layout, declared, NOW, most_moved=100)
    done = after(layout, made)

    held = [each.stretch for each in done.partitions]
    assert all(not month.stretch.without(held) for month in months.upcoming(NOW, ahead))
    assert not any(one.overlaps(other) for at, one in enumerate(held) for other in held[at + 1 :])
    again = plan.make(done, declared, NOW, most_moved=100)
    assert (again.creations, again.finalizations) == ((), ())
    assert again.runway_days == made.runway_days


@given(layouts(), st.integers(1, 40))
def test_whatever_the_retention_nothing_within_it_and_never_everything_is_retired(
    layout: Layout, retention_months: int
) -> None:
    made = plan.make(layout, policy(retention_months=retention_months, months_ahead=1), NOW)

    assert all(
        Month.of(each.stretch.upper - timedelta(microseconds=1)).plus(retention_months)
        < Month.of(NOW)
        for each in made.expiries
    )
    standing = {each.table for each in layout.partitions if not each.pending}
    assert not standing or standing - {each.table for each in made.expiries}
    leaving = {each.table for each in (*made.expiries, *made.drops) if each not in made.late}
    assert leaving.isdisjoint(each.table for each in made.kept)
    everything = {each.table for each in layout.partitions}
    if layout.default is not None:
        everything.add(layout.default.table)
    assert leaving | {each.table for each in made.kept} == everything


def test_the_same_layout_gives_the_same_plan() -> None:
    layout = laid_out(stored("a", month("2023-02")), default=waiting(("2024-02-01", 3)))

    assert plan.make(layout, policy(), NOW) == plan.make(layout, policy(), NOW)
