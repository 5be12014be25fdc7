"""An aggregate that counts rows by one facet or dimension is folded with the facets' counts."""

from __future__ import annotations

from datetime import UTC, datetime
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


def test_by_a_dimension_it_follows_changes_and_no_facet_is_made_of_it(migrated: sa.Engine) -> None:
    shop.build(migrated)
    by_day = {"entity": "order", "by": ["day"], "measures": {"orders": {"count": "rows"}}}
    catalog = capturing.changed({}, {"by_day": by_day})
    counted = shop.counted(catalog)
    first, second = (datetime(2026, 5, day, tzinfo=UTC) for day in (1, 2))
    shop.fill(migrated, [Order(1, 1, placed=first), Order(2, 1, placed=first), Order(3, 1)])
    capturing.apply(migrated, catalog)
    capturing.settle(migrated, counted)

    after = [Order(1, 1, placed=second), Order(2, 1, placed=first), Order(4, 2, placed=second)]
    shop.fill(migrated, after)
    capturing.settle(migrated, counted)

    stored = shop.stored_aggregate_figures(migrated).items()
    found = {key[1:3]: figures[0] for key, figures in stored if key[0] == "by_day"}
    assert found == {
        ("1", ("2026-05-01",)): 1,
        ("1", ("2026-05-02",)): 1,
        ("2", ("2026-05-02",)): 1,
    }
    assert shop.stored_facet_counts(migrated) == shop.facet_counts(after)
