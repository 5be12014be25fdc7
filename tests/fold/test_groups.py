"""Smallest and largest values under changes: only the groups that may have lost one are counted."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_ops.base import database, sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.fold import groups, recount, refresh
from crm_ops.fold.rows import Counted
from tests.fold import capturing, shop
from tests.fold.shop import Order

TABLE = 'shop."order lines"'
BY_DAY = {
    "entity": "order",
    "by": ["day", "person"],
    "currency": "currency",
    "measures": {"least": {"min": "size"}, "most": {"max": "size"}},
}
# Few values, so that many rows share an extreme; long states, whose buckets are not the value.
sizes = st.sampled_from([None, *map(Decimal, ("-1", "0", "0.0", "1", "1.00", "7", "NaN"))])
states = st.sampled_from([None, "", "new", "é" * 150, "x" * 153])
orders = st.builds(
    Order,
    id=st.integers(0, 11),
    company=st.sampled_from([1, 2, None]),
    state=states,
    size=sizes,
    person=st.sampled_from([None, 5]),
    deleted=st.sampled_from([False] * 3 + [True]),
    currency=st.sampled_from([None, "EUR"]),
)
histories = st.lists(st.lists(orders, min_size=1, max_size=12), min_size=2, max_size=4)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=histories, gone=st.integers(1, 4))
def test_folding_any_history_of_extremes_equals_counting_from_scratch(
    migrated: sa.Engine, history: list[list[Order]], gone: int
) -> None:
    """Ties, NULLs, the extreme deleted, and moved to another group or tenant."""
    _build_once(migrated)
    counted = shop.counted(_catalog())
    rows: dict[int, Order] = {}
    for turn, written in enumerate(history):
        with database.transaction(migrated) as connection:
            shop.put(connection, written)
            sql.run(connection, f"DELETE FROM {TABLE} WHERE id %% 5 = %(at)s", at=turn * gone % 5)
        rows |= {order.id: order for order in written}
        rows = {at: order for at, order in rows.items() if at % 5 != turn * gone % 5}
        folded = capturing.settle(migrated, counted)
        assert folded.unusable is None

        found = shop.stored_aggregate_figures(migrated)
        by_day = {key: found.pop(key) for key in list(found) if key[0] == "by_day"}
        expected = shop.aggregate_figures(rows.values())
        assert shop.printable(found) == shop.printable(expected)
        assert _extremes(by_day) == _expected_by_day(rows.values())


def _catalog() -> Catalog:
    """Without bitmaps, which are not what is asked here."""
    declared = capturing.changed({}, {"by_day": BY_DAY})
    limits = declared.limits.model_copy(update={"bitmaps_from_rows": 10**9})
    return declared.model_copy(update={"limits": limits})


def _build_once(engine: sa.Engine) -> None:
    with database.transaction(engine) as connection:
        there = sql.run(connection, "SELECT to_regclass('shop.company') IS NOT NULL").scalar_one()
    if not there:
        shop.build(engine)
        capturing.apply(engine, _catalog())
        capturing.settle(engine, shop.counted(_catalog()))
    else:
        # Redo from an empty table; what that changes is folded like anything else.
        capturing.run(engine, f"DELETE FROM {TABLE}")


def _extremes(found: Any) -> dict[Any, Any]:
    return {
        (tenant, dimensions): (str(Decimal(low).normalize()), str(Decimal(high).normalize()))
        for (_, tenant, dimensions, measured), (n, _, low, high) in found.items()
        if measured and n
    }


def _expected_by_day(rows: Any) -> dict[Any, Any]:
    sizes: dict[Any, list[Decimal]] = {}
    for order in rows:
        if not order.deleted and order.size is not None:
            tenant = shop.NOBODY if order.company is None else str(order.company)
            person = None if order.person is None else str(order.person)
            sizes.setdefault((tenant, (None, person, order.currency)), []).append(order.size)
    return {
        group: tuple(str(Decimal(each).normalize()) for each in (_least(found), _most(found)))
        for group, found in sizes.items()
    }


def _least(sizes: list[Decimal]) -> Decimal:
    return min((size for size in sizes if not size.is_nan()), default=Decimal("NaN"))


def _most(sizes: list[Decimal]) -> Decimal:
    return Decimal("NaN") if any(size.is_nan() for size in sizes) else max(sizes)


@pytest.fixture
def many(migrated: sa.Engine) -> Counted:
    """Twenty thousand orders of two companies in a hundred states, and no tenant for the others."""
    shop.build(migrated)
    catalog = shop.catalog()
    tenancy = catalog.tenancy.model_copy(update={"null_tenant": None})
    counted = replace(shop.counted(), catalog=catalog.model_copy(update={"tenancy": tenancy}))
    capturing.run(
        migrated,
        f'INSERT INTO {TABLE} (id, company_id, "state %%", size) SELECT id, 1 + id %% 2,'
        " 's' || id %% 100, id FROM generate_series(1, 20000) AS id",
    )
    return counted


def test_few_groups_are_found_by_an_index(migrated: sa.Engine, many: Counted) -> None:
    capturing.run(migrated, f'CREATE INDEX by_state ON {TABLE} (company_id, "state %%")')

    plan = _plan(migrated, many, [("by_state", "1", ["s2", None], "size")])

    found = dict(_scans(plan))
    assert found["by_state"] == 200
    assert set(found.values()) == {200}


def test_many_groups_without_an_index_are_found_by_one_scan(
    migrated: sa.Engine, many: Counted
) -> None:
    wanted = [("by_state", str(1 + at % 2), [f"s{at}", None], "size") for at in range(100)]

    plan = _plan(migrated, many, wanted)

    assert _scans(plan) == [("order lines", 20_000)]


def test_what_came_and_went_at_once_leaves_nothing(migrated: sa.Engine) -> None:
    """NaN less NaN is no zero."""
    shop.build(migrated)
    capturing.apply(migrated, shop.catalog())
    capturing.settle(migrated)
    shop.fill(migrated, [Order(1, 1, "a", Decimal("NaN"))])
    shop.fill(migrated, [])

    capturing.settle(migrated)

    assert shop.stored_aggregate_figures(migrated) == {}


def test_other_groups_are_left_alone(migrated: sa.Engine) -> None:
    """The figure of a group that lost no extreme is not made anew, even where it is wrong."""
    shop.build(migrated)
    rows = [Order(at, 1, state, Decimal(at)) for at, state in enumerate(["a", "a", "b", "b"])]
    shop.fill(migrated, rows)
    capturing.apply(migrated, shop.catalog())
    capturing.settle(migrated)
    capturing.run(migrated, "UPDATE crm_ops.aggregate SET high = 99 WHERE dimensions[1] = 'b'")
    capturing.run(migrated, f"DELETE FROM {TABLE} WHERE id = 1")

    folded = refresh.fold(migrated, shop.counted())

    figures = shop.stored_aggregate_figures(migrated)
    assert folded.drained.recounted == 1
    assert figures["by_state", "1", ("a", None), "size"][3] == 0
    assert figures["by_state", "1", ("b", None), "size"][3] == 99


def _plan(engine: sa.Engine, counted: Counted, wanted: list[groups.Group]) -> Any:
    with database.autocommit(engine) as connection:
        sql.run(connection, f"VACUUM (ANALYZE) {TABLE}")
    with database.transaction(engine, keep=False) as connection:
        recount.prepare(connection, counted)
        text, bound = groups.statement(counted, wanted)
        found = sql.run(connection, f"EXPLAIN (ANALYZE, FORMAT JSON) {text}", bound).scalar_one()
    return (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]


def _scans(plan: Any) -> list[tuple[str, int]]:
    """What is read of the orders: by which index or table, and how many rows."""
    found = [each for part in plan.get("Plans", []) for each in _scans(part)]
    if plan.get("Relation Name") == "order lines" or plan.get("Index Name") == "by_state":
        read = plan["Actual Rows"] + plan.get("Rows Removed by Filter", 0)
        name = plan.get("Index Name", plan.get("Relation Name"))
        found.append((name, round(read * plan["Actual Loops"])))
    return [each for each in found if each[1]]
