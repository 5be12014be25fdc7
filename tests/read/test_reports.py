from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_ops.base import errors
from crm_ops.fold import rebuild
from crm_ops.read.answers import Report
from crm_ops.read.reader import Reader
from tests.fold import shop
from tests.fold.orders import orders as any_order
from tests.fold.shop import Order
from tests.read import desk


def count(engine: sa.Engine, *rows: Order) -> None:
    shop.fill(engine, rows)
    rebuild.aggregate_figures(engine, shop.counted(desk.CATALOG), desk.EVERYBODY)


def lines(report: Report) -> dict[tuple[str | None, ...], Mapping[str, Any]]:
    return {tuple(group.dimensions.values()): group.figures for group in report.groups}


def placed(month: int, day: int = 10, year: int = 2026) -> datetime:
    return datetime(year, month, day, tzinfo=UTC)


def test_a_report_has_the_declared_figures_by_the_declared_dimensions(
    reader: Reader, engine: sa.Engine
) -> None:
    count(
        engine,
        Order(1, state="won", size=Decimal("10.10"), currency="EUR"),
        Order(2, state="won", size=Decimal("5.05"), currency="EUR"),
        Order(3, state="won", size=Decimal("7.00"), currency="USD"),
        Order(4, state=None, currency="EUR"),
        Order(5, company=2, state="won", size=Decimal(99), currency="EUR"),
    )

    report = reader.report("by_state", tenant=1)

    assert report.by == ("state", "currency")
    assert report.source == "table"
    assert lines(report) == {
        ("won", "EUR"): {
            "orders": 2,
            "volume": Decimal("15.15"),
            "smallest": Decimal("5.05"),
            "largest": Decimal("10.10"),
        },
        ("won", "USD"): {
            "orders": 1,
            "volume": Decimal("7.00"),
            "smallest": Decimal("7.00"),
            "largest": Decimal("7.00"),
        },
        (None, "EUR"): {"orders": 1, "volume": None, "smallest": None, "largest": None},
    }
    assert report.groups[-1].labels["state"] == "(none)"


def test_lines_are_in_the_order_of_names_ranges_from_low_to_high_and_nothing_last(
    reader: Reader, engine: sa.Engine
) -> None:
    sizes = [None, Decimal(150), Decimal(-1), Decimal(30), Decimal(30), Decimal(70)]
    rows = [Order(at, state="b", size=size) for at, size in enumerate(sizes)]
    count(engine, *rows, Order(7), Order(8, state="Ä"), Order(9, state="a", size=Decimal(30)))

    report = reader.report("by_state_and_size", tenant=1)

    low, middle, high, highest = shop.LABELS[0], shop.LABELS[2], shop.LABELS[3], shop.LABELS[4]
    assert [(*group.dimensions.values(), group.figures["orders"]) for group in report.groups] == [
        ("a", middle, 1),
        ("b", low, 1),
        ("b", middle, 2),
        ("b", high, 1),
        ("b", highest, 1),
        ("b", None, 1),
        ("Ä", None, 1),
        (None, None, 1),
    ]
    by_size = reader.report("by_state_and_size", tenant=1, by=["size"])
    assert [group.figures["orders"] for group in by_size.groups] == [1, 3, 1, 1, 3]
    only = reader.report("by_state_and_size", tenant=1, filters={"state": ["a", None]})
    assert [group.figures["orders"] for group in only.groups] == [1, 1]
    assert reader.report("by_state_and_size", tenant=3).groups == ()


def test_money_of_different_currencies_is_never_added_up(reader: Reader, engine: sa.Engine) -> None:
    count(
        engine,
        Order(1, state="a", size=Decimal("1.50"), currency="EUR"),
        Order(2, state="b", size=Decimal("2.25"), currency="EUR"),
        Order(3, state="b", size=Decimal(4), currency="USD"),
    )
    found = lines(reader.report("by_state", tenant=1, by=()))
    assert {key: figures["volume"] for key, figures in found.items()} == {
        ("EUR",): Decimal("3.75"),
        ("USD",): Decimal(4),
    }
    assert set(lines(reader.report("by_state", tenant=1, by=(), filters={"currency": "USD"}))) == {
        ("USD",)
    }


def test_days_roll_up_and_an_average_is_made_of_the_sum_and_the_count(
    reader: Reader, engine: sa.Engine
) -> None:
    count(
        engine,
        Order(1, state="a", size=Decimal(1), placed=placed(1)),
        Order(2, state="a", size=Decimal(2), placed=placed(1, 11)),
        Order(3, state="a", size=Decimal(6), placed=placed(2)),
        Order(4, state="b", size=Decimal(3), placed=placed(4)),
        Order(5, state="b", placed=None),
    )

    def averages(by: str, **more: Any) -> dict[str | None, Decimal | None]:
        report = reader.report("by_day_and_state", tenant=1, by=[by] if by else [], **more)
        return {(key or (None,))[0]: each["average"] for key, each in lines(report).items()}

    assert averages("day:month") == {
        "2026-01": Decimal("1.5"),
        "2026-02": 6,
        "2026-04": 3,
        None: None,
    }
    assert averages("day:quarter") == {"2026-Q1": 3, "2026-Q2": 3, None: None}
    assert averages("day:year") == {"2026": 3, None: None}
    assert averages("day:week")["2026-W02"] == Decimal("1.5")
    assert averages("") == {None: 3}
    assert averages("state") == {"a": 3, "b": 3}
    assert averages("day:month", begin="2026-02", end="2026-04") == {"2026-02": 6, "2026-04": 3}
    assert averages("day:month", begin="2026-Q2") == {"2026-04": 3}
    assert averages("", end="2026-01-10") == {None: 1}
    assert averages("state", filters={"day": "2026-Q1"}) == {"a": 3}
    assert averages("state", filters={"day": ["2026-02", None]}) == {"a": 6, "b": None}


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    history=st.lists(any_order, max_size=25),
    tenant=st.sampled_from(desk.EVERYBODY),
    unit=st.sampled_from(["day", "day:month", "day:quarter", "day:year"]),
    states=st.none() | st.lists(st.sampled_from(["new", "won", "a%b", None]), min_size=1),
)
def test_any_roll_up_of_any_rows_equals_adding_them_up(
    reader: Reader,
    engine: sa.Engine,
    history: list[Order],
    tenant: str,
    unit: str,
    states: list[str | None] | None,
) -> None:
    rows = [shop.moved(order, id=at) for at, order in enumerate(history)]
    count(engine, *rows)
    expected: dict[Any, list[Decimal]] = defaultdict(list)
    for order in rows:
        if order.deleted or desk.tenant_of(order) != tenant:
            continue
        if states is not None and shop._clipped(order.state) not in states:
            continue
        expected[(_period(order, unit),)] += [] if order.size is None else [order.size]

    asked: dict[str, Any] = {"filters": {"state": states}} if states else {}
    report = reader.report("by_day_and_state", tenant=tenant, by=[unit], **asked)

    found = {key: figures["average"] for key, figures in lines(report).items()}
    assert set(found) == set(expected)
    for key, sizes in expected.items():
        average = found[key]
        if not sizes:
            assert average is None
        elif any(not size.is_finite() for size in sizes):
            assert average is not None
            assert not average.is_finite()
        else:
            assert average is not None
            assert abs(average - sum(sizes, Decimal(0)) / len(sizes)) < Decimal("1e-12")


def _period(order: Order, unit: str) -> str | None:
    if order.placed is None:
        return None
    day = shop._local(order.placed)
    return {
        "day": f"{day:%Y-%m-%d}",
        "day:month": f"{day:%Y-%m}",
        "day:quarter": f"{day:%Y}-Q{(day.month + 2) // 3}",
        "day:year": f"{day:%Y}",
    }[unit]


def test_what_was_never_counted_or_is_too_old_is_counted_from_the_rows(
    reader: Reader, engine: sa.Engine
) -> None:
    shop.fill(engine, [Order(1, state="new"), Order(2, company=2)])
    first = reader.report("all_orders", tenant=1)
    assert (lines(first), first.source) == ({(): {"orders": 1}}, "sql")

    count(engine, Order(1), Order(2))
    moment = datetime.now(UTC)
    shop.fill(engine, [Order(1)])

    assert lines(reader.report("all_orders", tenant=1)) == {(): {"orders": 2}}
    newer = reader.report("all_orders", tenant=1, not_older_than=moment)
    assert (lines(newer), newer.source) == ({(): {"orders": 1}}, "sql")
    with pytest.raises(errors.ParameterError, match="yet to come"):
        reader.report("all_orders", tenant=1, not_older_than=moment + timedelta(hours=1))


def test_a_tenant_without_rows_has_no_line_and_a_total_of_none(
    reader: Reader, engine: sa.Engine
) -> None:
    count(engine, Order(1, state="new"))
    assert reader.report("by_state", tenant=2).groups == ()
    assert lines(reader.report("all_orders", tenant=2)) == {(): {"orders": 0}}


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("by_stat", {}, "no report is called 'by_stat'.*by_state.*declared are"),
        ("by_state", {"by": ["person"]}, "no dimension 'person'; declared are state, currency"),
        ("by_state", {"by": ["state:month"]}, "no dimension 'state:month'"),
        ("by_day_and_state", {"by": ["day:hour"]}, "day:week, day:month, day:quarter, day:year"),
        ("by_day_and_state", {"filters": {"size": "x"}}, "no dimension 'size'"),
        ("by_state", {"begin": "2026-01"}, "no dimension of dates"),
        ("by_day_and_state", {"begin": "soon"}, "'soon' is no day or longer period"),
        ("by_day_and_state", {"filters": {"day": "a\0"}}, "no text in PostgreSQL"),
        ("by_state", {"tenant": "x"}, "no tenant's key"),
    ],
)
def test_what_was_not_declared_is_refused_naming_what_is(
    reader: Reader, name: str, asked: dict[str, Any], message: str
) -> None:
    with pytest.raises(errors.ParameterError, match=message):
        reader.report(name, **{"tenant": 1, **asked})


def test_no_tenant_sees_anothers_figures(reader: Reader, engine: sa.Engine) -> None:
    count(engine, Order(1, state="mine"), Order(2, company=2, state="theirs"))
    for asked in ({}, {"filters": {"state": ["theirs", "x' OR true --"]}}):
        found = reader.report("by_state", tenant=1, **asked)  # type: ignore[arg-type]
        assert {key[0] for key in lines(found)} <= {"mine"}
