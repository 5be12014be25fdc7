"""What a person at the shop's desk would find by looking through the orders one by one.

Nothing here shares code with the library.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from crm_ops.base import store
from crm_ops.catalog.aggregates import Aggregate, Measure
from crm_ops.catalog.search import Search
from crm_ops.fold import rebuild
from crm_ops.publish import facets
from crm_ops.read.answers import Answer
from tests.fold import shop
from tests.fold.shop import Order

_DECLARED = shop.catalog()
_ORDER = _DECLARED.entities["order"].model_copy(
    update={
        "search": Search(
            columns=["state %", "size", "placed", "info"],
            sort=["placed", "size", "state %"],
            text=["state %", "currency"],
        )
    }
)
_COUNTED = Aggregate(
    entity="order", by=["state", "size"], measures={"orders": Measure(count="rows")}
)
CATALOG = _DECLARED.model_copy(
    update={
        "entities": {"order": _ORDER},
        "aggregates": {**_DECLARED.aggregates, "by_state_and_size": _COUNTED},
    }
)
FACETS = tuple(_ORDER.facets)
KEY = b"k" * 32
EVERYBODY = [*shop.TENANTS, shop.NOBODY]

Filters = Mapping[str, Sequence[str | None]]


def count(engine: sa.Engine) -> None:
    """Precompute all counts."""
    rebuild.facet_counts(engine, shop.counted(CATALOG), EVERYBODY)


def publish(engine: sa.Engine, client: store.Client) -> None:
    """Put them into Redis, sealed."""
    facets.publish(
        engine,
        client,
        "order",
        CATALOG.entities["order"],
        EVERYBODY,
        now=datetime.now(UTC),
        signing_key=KEY,
    )


def tenant_of(order: Order) -> str:
    return shop.NOBODY if order.company is None else str(order.company)


def buckets(order: Order) -> dict[str, set[str | None]]:
    """The buckets that an order is in, by facet."""
    found: dict[str, set[str | None]] = {name: set() for name in FACETS}
    for _, facet, bucket in shop.facet_counts([order]):
        if facet:
            found[facet].add(bucket)
    return found


def matches(order: Order, filters: Filters, *, but: str | None = None) -> bool:
    held = buckets(order)
    return all(
        not wanted
        or bool(set(wanted) & held[facet])
        or (facet == "tag" and None in wanted and not held["tag"])
        for facet, wanted in filters.items()
        if facet != but
    )


def found(orders: Iterable[Order], tenant: str, filters: Filters) -> list[Order]:
    """The tenant's orders that the filters keep."""
    return [
        order
        for order in orders
        if not order.deleted and tenant_of(order) == tenant and matches(order, filters)
    ]


def counts(orders: Sequence[Order], tenant: str, filters: Filters) -> dict[str, dict[Any, int]]:
    """The count of every bucket, each facet's own filter left out of its own counts."""
    own = [order for order in orders if not order.deleted and tenant_of(order) == tenant]
    return {
        facet: dict(
            Counter(
                bucket
                for order in own
                if matches(order, filters, but=facet)
                for bucket in buckets(order)[facet]
            )
        )
        for facet in FACETS
    }


def shown(answer: Answer) -> dict[str, dict[Any, int]]:
    """An answer's counts in the same form."""
    return {
        name: {bucket.value: bucket.count for bucket in facet.buckets}
        for name, facet in answer.facets.items()
    }
