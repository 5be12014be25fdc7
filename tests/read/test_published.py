"""Redis alone is asked, and yet no lie of it is served: another catalog's, or a forged one."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from crm_ops.base import names, store
from crm_ops.catalog.catalog import Catalog
from crm_ops.publish import codec
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


def forged(held: codec.FacetCounts, n: int) -> codec.FacetCounts:
    """Counts that add up as well as the right ones, to another total."""
    facets = {
        name: msgspec.structs.replace(
            facet, buckets=[codec.Bucket(each.value, n, each.label) for each in facet.buckets]
        )
        for name, facet in held.facets.items()
    }
    return msgspec.structs.replace(held, total=n, facets=facets)


@pytest.mark.parametrize("seal", [b"", b"\n" + b"0" * 64, "the right value's", "another tenant's"])
def test_a_lie_that_adds_up_is_not_believed_where_there_is_a_key(
    reader: Reader, engine: sa.Engine, quick: store.Client, seal: bytes | str
) -> None:
    shop.fill(engine, [Order(1, state="new"), Order(2, state="new"), Order(3, company=2)])
    desk.count(engine)
    desk.publish(engine, quick)
    assert reader.search("order", tenant=1, limit=0).source == "redis"
    key, other = names.facets_key("order", "1"), names.facets_key("order", "2")
    held, others = quick.get(key), quick.get(other)
    assert isinstance(held, bytes)
    assert isinstance(others, bytes)
    found = codec.facet_counts(held, "order", "1")
    assert found is not None
    if isinstance(seal, str):
        seal = b"\n" + (held if seal.startswith("the") else others).rpartition(b"\n")[2]
    quick.set(key, codec.encode(forged(found, 9)) + seal)

    for limit in (0, 10):
        answer = reader.search("order", tenant=1, limit=limit)
        assert (answer.total, answer.source) == (2, "table")
    # Without a key nobody could tell: the lie is a good one.
    assert Reader(desk.CATALOG, engine, quick).search("order", tenant=1, limit=0).total == 9


def test_a_forged_moment_makes_no_count_newer_than_it_is(
    reader: Reader, engine: sa.Engine, quick: store.Client
) -> None:
    shop.fill(engine, [Order(1)])
    desk.count(engine)
    desk.publish(engine, quick)
    own = reader.search("order", tenant=1, limit=0).as_of
    later = own + timedelta(hours=1)
    moment = codec.Moment(kind="facets", entity="order", version=1, as_of=later)
    quick.set(names.moment_key("facets", "order"), codec.encode(moment))

    assert reader.search("order", tenant=1, limit=0).as_of == own
    assert Reader(desk.CATALOG, engine, quick).search("order", tenant=1, limit=0).as_of == later
