"""An aggregate that counts rows by one facet is that facet's counts, folded once for both."""

from __future__ import annotations

from decimal import Decimal

import sqlalchemy as sa

from tests.fold import capturing, shop
from tests.fold.shop import Order

BY_PERSON = {"entity": "order", "by": ["person"], "measures": {"orders": {"count": "rows"}}}


def test_it_follows_changes_as_the_facet_does(migrated: sa.Engine) -> None:
    shop.build(migrated)
    catalog = capturing.changed({}, {"by_person": BY_PERSON})
    counted = shop.counted(catalog)
    before = [Order(1, 1, person=5), Order(2, 1, person=5), Order(3, 2, person=6), Order(4, None)]
    shop.fill(migrated, before)
    capturing.apply(migrated, catalog)
    capturing.settle(migrated, counted)

    # One moves to another person and tenant, one is gone, one only changes otherwise, two are new.
    after = [
        Order(1, 2, person=7),
        Order(2, 1, person=5, size=Decimal(3)),
        Order(4, None),
        Order(8, 1),
        Order(9, 3, person=5),
    ]
    shop.fill(migrated, after)
    capturing.settle(migrated, counted)

    found = {
        (tenant, bucket): figures[0]
        for (name, tenant, (bucket, *_), _), figures in (
            (key, each)
            for key, each in shop.stored_aggregate_figures(migrated).items()
            if key[0] == "by_person"
        )
    }
    assert found == {
        ("1", "5"): 1,
        ("1", None): 1,
        ("2", "7"): 1,
        ("3", "5"): 1,
        (shop.NOBODY, None): 1,
    }
