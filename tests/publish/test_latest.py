"""Redis is given what changed, and nothing that did not."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
import sqlalchemy as sa

from crm_ops.base import names
from crm_ops.base import store as stores
from crm_ops.fold import rebuild
from crm_ops.publish import codec, latest, verify
from crm_ops.publish.writer import Written
from tests.fold import capturing, shop
from tests.fold.shop import Order

ORDERS = [Order(1, 1, "new", Decimal(3)), Order(2, 2, "new"), Order(3, 3, "won", Decimal(5))]


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    """The shop, captured, counted and folded: a fold says as of when all is exact."""
    shop.build(migrated)
    shop.fill(migrated, ORDERS)
    capturing.apply(migrated, shop.catalog())
    for _ in range(2):
        capturing.settle(migrated)
    return migrated


def publish(engine: sa.Engine, store: stores.Client) -> Written:
    """Publish the aggregates; whatever Redis has then is what the tables have."""
    written = latest.publish(
        engine, store, shop.counted(), "aggregates", capturing.EVERYBODY, now=datetime.now(UTC)
    )
    latest.publish(
        engine, store, shop.counted(), "facets", capturing.EVERYBODY, now=datetime.now(UTC)
    )
    compared = verify.compare(engine, store, shop.counted(), capturing.EVERYBODY)
    assert (compared.behind, compared.differences) == (0, ())
    return written


def served(store: stores.Client, name: str) -> codec.AggregateFigures:
    found = codec.aggregate_figures(store.get(names.aggregates_key(name, "1")), name, "1")
    assert found is not None
    return found


def test_only_the_aggregates_that_changed_and_only_of_their_tenants(
    engine: sa.Engine, store: stores.Client
) -> None:
    assert publish(engine, store).values == len(capturing.EVERYBODY) * 3
    assert publish(engine, store).values == 0
    before = served(store, "all_orders")

    # The number of orders stays, the sum by state does not.
    capturing.run(engine, 'UPDATE shop."order lines" SET size = 4 WHERE id = 1')
    capturing.settle(engine)

    assert publish(engine, store).values == 2
    assert served(store, "all_orders") == before
    assert served(store, "by_state").version > before.version


def test_a_change_that_was_not_published_is_with_the_next(
    engine: sa.Engine, store: stores.Client
) -> None:
    publish(engine, store)
    capturing.run(engine, 'UPDATE shop."order lines" SET size = 4 WHERE id = 1')
    capturing.settle(engine)
    capturing.run(engine, 'UPDATE shop."order lines" SET deleted_at = now() WHERE id = 1')
    capturing.settle(engine)

    assert publish(engine, store).values == 3


def test_everything_is_given_after_a_rebuild_and_to_a_redis_that_lost_it(
    engine: sa.Engine, store: stores.Client
) -> None:
    publish(engine, store)
    rebuild.aggregate_figures(engine, shop.counted(), ["1"])
    assert publish(engine, store).values == 3

    store.flushdb()
    assert publish(engine, store).values == len(capturing.EVERYBODY) * 3
