"""What a run does to the shop, for tests that are not about the jobs."""

from __future__ import annotations

import sqlalchemy as sa

from crm_ops.base import database, sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.changes import install
from crm_ops.fold import rebuild, refresh
from crm_ops.fold.refresh import Refreshed
from crm_ops.fold.rows import Counted
from tests.fold import shop
from tests.fold.shop import Order

EVERYBODY = [*shop.TENANTS, shop.NOBODY]


def apply(engine: sa.Engine, catalog: Catalog) -> list[install.Step]:
    """Capture the shop's changes; return what was done for that."""
    with database.transaction(engine) as connection:
        steps = install.plan(connection, catalog)
    install.apply(engine, steps)
    return steps


def settle(engine: sa.Engine, counted: Counted | None = None) -> Refreshed:
    """Fold, then rebuild whoever cannot be folded."""
    of = counted or shop.counted()
    done = refresh.fold(engine, of)
    rebuild.facet_counts(engine, of, refresh.uncaptured(engine, of, EVERYBODY))
    return done


def run(engine: sa.Engine, text: str, **values: object) -> None:
    """One statement in a transaction of its own."""
    with database.transaction(engine) as connection:
        sql.run(connection, text, values)


def assert_exact(engine: sa.Engine, rows: list[Order]) -> None:
    """The stored figures are those of `rows`."""
    assert shop.stored_facet_counts(engine) == shop.facet_counts(rows)
    assert shop.stored_facet_rows(engine) == shop.facet_rows(rows)
    assert shop.printable(shop.stored_aggregate_figures(engine)) == shop.printable(
        shop.aggregate_figures(rows)
    )


def changed(facets: dict[str, object], aggregates: dict[str, object] | None = None) -> Catalog:
    """The shop's catalog with other facets and aggregates; None takes one out."""
    whole = shop.catalog().model_dump(mode="json", by_alias=True)
    for part in ("facets", "dimensions"):
        for facet in whole["entities"]["order"][part].values():
            for bound in facet.get("bounds", []):
                assert isinstance(bound, str | int | float)
            if "bounds" in facet:
                facet["bounds"] = [float(bound) for bound in facet["bounds"]]
    declared = whole["entities"]["order"]["facets"] | facets
    whole["entities"]["order"]["facets"] = {n: each for n, each in declared.items() if each}
    known = whole["aggregates"] | (aggregates or {})
    whole["aggregates"] = {
        n: {
            **each,
            "measures": {
                m: {k: v for k, v in one.items() if v is not None}
                for m, one in each["measures"].items()
            },
        }
        for n, each in known.items()
        if each
    }
    return Catalog.model_validate(whole)
