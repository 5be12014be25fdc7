"""Fifty companies whose sizes fall as Zipf says, in a database of their own.

Their leads have ten facets, and are counted under two names: `lead` with the demo's limits, and
`plain_lead` without bitmaps. Both are captured, so that both have the same changes to fold.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal

import sqlalchemy as sa

from bench.report import say
from bench.setup import AS_OF, ROOT, Setup, ensure
from crm_ops.base import database, settings, sql
from crm_ops.catalog import load
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.facets import DateFacet, RangesFacet
from crm_ops.demo import build, sizes
from crm_ops.schema import migrate
from crm_ops.sources import tenants

PLAIN = "plain_lead"
"""The leads without bitmaps."""

# Of these every thirteenth is inactive.
_COMPANIES = 54
_NEVER = 10**12
_BOUNDS = [Decimal(bound) for bound in (0, 10_000, 50_000, 100_000)]

# A sum of money that depends on nothing but the lead, small more often than large, in eighths none.
_AMOUNT = """
ALTER TABLE crm.lead ADD COLUMN IF NOT EXISTS amount numeric(18, 2) GENERATED ALWAYS AS (
    CASE WHEN mod(hashint8extended(id, 1), 8) <> 0 THEN
        (hashint8extended(id, 2) & 65535)::numeric * (hashint8extended(id, 3) & 65535) / 20000
    END) STORED
"""


@contextmanager
def up(setup: Setup, size: str | None = None) -> Iterator[Setup]:
    """The setup narrowed to the fifty companies' database, which is made at its first use.

    `size` is the setup's own, or another.
    """
    wanted = _size(sizes.SIZES[size or setup.size])
    ensure(setup.engine, wanted.name)
    address = sa.make_url(setup.database_url).set(database=wanted.name)
    url = address.render_as_string(hide_password=False)
    engine = database.engine(url)
    try:
        migrate.upgrade(engine)
        made = build.create(
            engine,
            size=wanted,
            as_of=AS_OF,
            progress=lambda what, done, of: say(f"{wanted.name}: {what} {done:,} of {of:,}"),
        )
        with database.autocommit(engine) as connection:
            sql.run(connection, _AMOUNT)
            sql.run(connection, "VACUUM (ANALYZE) crm.lead")
        declared = catalog()
        with database.transaction(engine) as connection:
            active = tenants.active(connection, declared)
        yield replace(
            setup,
            engine=engine,
            database_url=url,
            catalog=declared,
            tenants=active,
            rows={name: made.rows[name] for name in ("lead", "deal")},
        )
    finally:
        engine.dispose()


def catalog() -> Catalog:
    """The demo's leads and deals, and the leads once more without bitmaps."""
    whole = load.load(ROOT / settings.DEFAULT_CATALOG).catalog
    lead = whole.entities["lead"]
    more = {
        "amount": RangesFacet(kind="ranges", column="amount", bounds=_BOUNDS),
        "updated_month": DateFacet(kind="date", column="updated_at", bucket="month"),
    }
    lead = lead.model_copy(update={"facets": {**lead.facets, **more}})
    aggregates = {
        name: each for name, each in whole.aggregates.items() if each.entity in ("lead", "deal")
    }
    plain = {
        f"plain_{name}": each.model_copy(update={"entity": PLAIN})
        for name, each in aggregates.items()
        if each.entity == "lead"
    }
    return whole.model_copy(
        update={
            "entities": {"lead": lead, PLAIN: lead, "deal": whole.entities["deal"]},
            "aggregates": {**aggregates, **plain},
            "audit": None,
            "sharing": None,
        }
    )


def without_bitmaps(whole: Catalog) -> Catalog:
    """The catalog where no tenant is large enough for bitmaps."""
    limits = whole.limits.model_copy(update={"bitmaps_from_rows": _NEVER})
    return whole.model_copy(update={"limits": limits})


def _size(of: sizes.Size) -> sizes.Size:
    """As many records as the demo has, of fewer companies."""
    return replace(of, name=f"fifty_{of.name}", companies=_COMPANIES, audit_rows=1_000)


__all__ = ["PLAIN", "catalog", "up", "without_bitmaps"]
