"""Redis serves the figures of reports as the tables hold them, to the last digit."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa

from crm_ops.base import names
from crm_ops.base import store as stores
from crm_ops.fold import rebuild
from crm_ops.publish import aggregates, codec
from crm_ops.publish.codec import Figure
from tests.fold import shop
from tests.fold.shop import Order

EVERYBODY = [*shop.TENANTS, shop.NOBODY]


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    shop.build(migrated)
    return migrated


def publish(engine: sa.Engine, store: stores.Client) -> int:
    parts = [(name, tenant) for name in shop.catalog().aggregates for tenant in EVERYBODY]
    return aggregates.publish(engine, store, "order", parts, now=datetime.now(UTC)).values


def served(store: stores.Client, name: str, tenant: str) -> codec.AggregateFigures | None:
    return codec.aggregate_figures(store.get(names.aggregates_key(name, tenant)), name, tenant)


def test_sums_and_extremes_by_state_and_currency(engine: sa.Engine, store: stores.Client) -> None:
    shop.fill(
        engine,
        [
            Order(1, state="won", size=Decimal("0.10"), currency="EUR"),
            Order(2, state="won", size=Decimal("0.20"), currency="EUR"),
            Order(3, state="won", size=Decimal("0.30"), currency="USD"),
            Order(4, state="won", currency="EUR"),
        ],
    )
    rebuild.aggregate_figures(engine, shop.counted(), EVERYBODY)
    publish(engine, store)

    found = served(store, "by_state", "1")
    assert found is not None
    low, high = Decimal("0.10"), Decimal("0.20")
    assert sorted(found.figures, key=repr) == [
        Figure(["won", "EUR"], "", 3),
        Figure(["won", "EUR"], "size", 2, Decimal("0.30"), low, high),
        Figure(["won", "USD"], "", 1),
        Figure(["won", "USD"], "size", 1, Decimal("0.30"), Decimal("0.30"), Decimal("0.30")),
    ]


def test_every_value_equals_the_tables(engine: sa.Engine, store: stores.Client) -> None:
    orders = [
        Order(1, 1, "new", Decimal("1.10"), placed=datetime(2026, 1, 31, 20, tzinfo=UTC)),
        Order(2, 1, None, Decimal("NaN")),
        Order(3, None, "new", None),
        Order(4, 2, "lost", Decimal("12345678901234567890.12")),
    ]
    shop.fill(engine, orders)
    rebuild.aggregate_figures(engine, shop.counted(), EVERYBODY)

    assert publish(engine, store) == len(EVERYBODY) * len(shop.catalog().aggregates)

    figures = {}
    for name in shop.catalog().aggregates:
        for tenant in EVERYBODY:
            found = served(store, name, tenant)
            assert found is not None
            figures |= {
                (name, tenant, tuple(each.dimensions), each.measured): (
                    each.n,
                    each.total,
                    each.low,
                    each.high,
                )
                for each in found.figures
            }
    assert shop.printable(figures) == shop.printable(shop.stored_aggregate_figures(engine))
    assert shop.printable(figures) == shop.printable(shop.aggregate_figures(orders))


def test_a_tenant_that_was_never_counted_is_left_out(
    engine: sa.Engine, store: stores.Client
) -> None:
    rebuild.aggregate_figures(engine, shop.counted(), ["1"])

    assert publish(engine, store) == len(shop.catalog().aggregates)
    assert served(store, "by_state", "1") is not None
    assert served(store, "by_state", "2") is None


def test_facets_that_were_counted_do_not_make_aggregates_seem_counted(
    engine: sa.Engine, store: stores.Client
) -> None:
    rebuild.facet_counts(engine, shop.counted(), EVERYBODY)
    assert publish(engine, store) == 0
