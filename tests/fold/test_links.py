"""Rebuilds of an entity with link facets: each tenant's beside the others', and as exact."""

from __future__ import annotations

from contextlib import AbstractContextManager

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_ops.base import database, errors
from crm_ops.catalog.catalog import Catalog
from crm_ops.fold import rebuild, refresh
from crm_ops.fold.rows import Counted
from tests.fold import capturing, orders, shop
from tests.fold.shop import Order

written = st.lists(
    st.builds(
        Order,
        id=st.integers(0, 5),
        company=st.sampled_from([1, 2, 3]),
        deleted=st.sampled_from([False, False, True]),
        tags=orders.tags,
    ),
    max_size=5,
)
bouts = st.lists(
    st.tuples(written, st.integers(2, 5), st.lists(st.sampled_from("123"), unique=True)),
    min_size=1,
    max_size=5,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=bouts)
def test_rebuilds_of_some_tenants_between_any_changes_leave_an_exact_fold(
    migrated: sa.Engine, history: list[tuple[list[Order], int, list[str]]]
) -> None:
    """Rows move between tenants, are hidden and deleted; links come, go and are there twice."""
    counted = _shop(migrated)
    rows: dict[int, Order] = {}
    for put, share, tenants in history:
        gone = {at for at in rows if at % share == 1}
        with database.transaction(migrated) as connection:
            shop.put(connection, put)
        rows |= {order.id: order for order in put}
        capturing.run(
            migrated, "DELETE FROM shop.order_tag WHERE order_id = ANY(%(at)s)", at=[*gone]
        )
        capturing.run(migrated, 'DELETE FROM shop."order lines" WHERE id = ANY(%(at)s)', at=[*gone])
        rows = {at: order for at, order in rows.items() if at not in gone}
        if tenants:
            rebuild.facet_counts(migrated, counted, tenants)
            stored, expected = shop.stored_facet_counts(migrated), shop.facet_counts(rows.values())
            for tenant in tenants:
                assert _of(stored, tenant) == _of(expected, tenant)

    refresh.fold(migrated, counted)

    assert shop.stored_facet_counts(migrated) == shop.facet_counts(rows.values())


def test_a_rebuild_does_not_wait_for_another_tenants(migrated: sa.Engine) -> None:
    counted = _shop(migrated)
    with database.transaction(migrated) as connection:
        shop.put(connection, [Order(1, 1, tags=("hot",)), Order(2, 2, tags=("hot", "old"))])

    with _another_rebuild(migrated):
        done = rebuild.facet_counts(migrated, counted, ["1"])

    assert done.tenants == ("1",)
    assert shop.stored_facet_counts(migrated)["1", "tag", "hot"] == 1
    refresh.fold(migrated, counted)
    assert shop.stored_facet_counts(migrated)["2", "tag", "old"] == 1
    assert shop.stored_facet_counts(migrated)["1", "tag", "hot"] == 1


def test_a_row_that_moved_with_a_changed_link_is_counted_alone(migrated: sa.Engine) -> None:
    counted = _shop(migrated)
    for company in (1, 2):
        with database.transaction(migrated) as connection:
            shop.put(connection, [Order(1, company, tags=("hot",))])

    with _another_rebuild(migrated), pytest.raises(errors.DatabaseBusy):
        rebuild.facet_counts(migrated, shop.counted(_catalog(patience_s=1)), ["1"])

    rebuild.facet_counts(migrated, counted, ["1"])
    assert shop.stored_facet_counts(migrated) == shop.facet_counts([Order(1, 2, tags=("hot",))])


def _shop(engine: sa.Engine) -> Counted:
    """The shop, made once and emptied, its changes captured and folded."""
    with database.transaction(engine) as connection:
        there = sa.inspect(connection).has_schema("shop")
    counted = shop.counted(_catalog())
    if there:
        capturing.run(engine, "DELETE FROM shop.order_tag")
        capturing.run(engine, 'DELETE FROM shop."order lines"')
    else:
        shop.build(engine)
        capturing.apply(engine, _catalog())
    capturing.settle(engine, counted)
    return counted


def _catalog(patience_s: int = 60) -> Catalog:
    whole = shop.catalog()
    changed = {"bitmaps_from_rows": 10**9, "statement_timeout_seconds": patience_s}
    return whole.model_copy(update={"limits": whole.limits.model_copy(update=changed)})


def _another_rebuild(engine: sa.Engine) -> AbstractContextManager[sa.Connection]:
    """What a rebuild of another tenant holds while it runs."""
    lock = refresh.entity_lock(shop.counted(), shared=True)
    return database.snapshot(engine, lock, wait_s=1)


def _of(counts: dict[shop.Count, int], tenant: str) -> dict[shop.Count, int]:
    return {key: n for key, n in counts.items() if key[0] == tenant}
