"""What was published under another catalog is not served, though Redis alone is asked."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from crm_ops.base import store
from crm_ops.catalog.catalog import Catalog
from crm_ops.read.reader import Reader
from tests.fold import shop
from tests.fold.shop import Order
from tests.read import desk


def changed(**parts: Any) -> Catalog:
    """The shop's catalog with some parts of its order, or its time zone, declared otherwise."""
    order = desk.CATALOG.entities["order"]
    zone = parts.pop("time_zone", desk.CATALOG.time_zone)
    return desk.CATALOG.model_copy(
        update={"entities": {"order": order.model_copy(update=parts)}, "time_zone": zone}
    )


@pytest.mark.parametrize(
    ("parts", "total"),
    [
        ({"where": {}}, 2),
        ({"where": {"deleted_at": None, "currency": "EUR"}}, 0),
        ({"time_zone": "UTC"}, 1),
    ],
    ids=["filter gone", "filter added", "another calendar"],
)
def test_counts_of_another_catalog_in_redis_are_a_miss(
    engine: sa.Engine, quick: store.Client, parts: dict[str, Any], total: int
) -> None:
    shop.fill(engine, [Order(1), Order(2, deleted=True)])
    desk.count(engine)
    desk.publish(engine, quick)
    before = Reader(desk.CATALOG, engine, quick).search("order", tenant=1, limit=0)
    assert (before.total, before.source) == (1, "redis")

    after = Reader(changed(**parts), engine, quick).search("order", tenant=1, limit=0)

    assert (after.total, after.source) == (total, "sql")
