"""Row-level security that shows one tenant at a time hides no change from us."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import sqlalchemy as sa

from crm_ops.base import database, sql
from crm_ops.fold import rebuild, refresh, verify
from crm_ops.fold.rows import Counted
from tests.fold import shop
from tests.fold.capturing import apply, assert_exact, changed, run
from tests.fold.shop import Order

TENANTS = ["1", "2", "3"]
ROLE = "crm_ops_test_secured"


def counted() -> Counted:
    """The shop without its link facet, under policies that read a setting."""
    whole = changed({"tag": None})
    tenancy = whole.tenancy.model_copy(update={"setting": "app.tenant", "null_tenant": None})
    return shop.counted(whole.model_copy(update={"tenancy": tenancy}))


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    shop.build(migrated)
    for text in (
        'ALTER TABLE shop."order lines" ENABLE ROW LEVEL SECURITY',
        'ALTER TABLE shop."order lines" FORCE ROW LEVEL SECURITY',
        'CREATE POLICY own ON shop."order lines"'
        " USING (company_id = nullif(current_setting('app.tenant', true), '')::bigint)",
    ):
        run(migrated, text)
    return migrated


@pytest.fixture
def plain(engine: sa.Engine) -> Iterator[sa.Engine]:
    """A role that policies bind: it writes as the CRM does, and counts as we do."""
    run(engine, f"DROP ROLE IF EXISTS {ROLE}")
    run(engine, f"CREATE ROLE {ROLE} LOGIN PASSWORD 'x'")
    for text in (
        f"GRANT USAGE ON SCHEMA shop TO {ROLE}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA shop TO {ROLE}",
        f"ALTER SCHEMA crm_ops OWNER TO {ROLE}",
        "DO $$ DECLARE t text; BEGIN FOR t IN SELECT relname FROM pg_class WHERE relkind = 'r'"
        " AND relnamespace = 'crm_ops'::regnamespace LOOP"
        f" EXECUTE format('ALTER TABLE crm_ops.%%I OWNER TO {ROLE}', t); END LOOP; END $$",
    ):
        run(engine, text)
    made = database.engine(
        engine.url.set(username=ROLE, password="x").render_as_string(hide_password=False)
    )
    yield made
    made.dispose()
    run(engine, f"REASSIGN OWNED BY {ROLE} TO CURRENT_USER")
    run(engine, f"DROP OWNED BY {ROLE} CASCADE")
    run(engine, f"DROP ROLE {ROLE}")


def as_tenant(engine: sa.Engine, tenant: str, text: str) -> None:
    with database.transaction(engine) as connection:
        sql.run(connection, "SELECT set_config('app.tenant', %(tenant)s, true)", tenant=tenant)
        sql.run(connection, text)


def settle(engine: sa.Engine) -> refresh.Refreshed:
    done = refresh.fold(engine, counted())
    rebuild.facet_counts(engine, counted(), refresh.uncaptured(engine, counted(), TENANTS))
    return done


def test_each_tenant_s_changes_are_folded_though_none_is_seen_at_once(
    engine: sa.Engine, plain: sa.Engine
) -> None:
    rows = [Order(at, 1 + at % 3, state=f"s{at % 2}", size=shop.Decimal(at)) for at in range(1, 13)]
    with database.transaction(engine) as connection:
        shop.put(connection, rows)
    apply(plain, counted().catalog)
    settle(plain)

    as_tenant(plain, "1", """UPDATE shop."order lines" SET "state %%" = 'won' WHERE id > 6""")
    # The largest goes: what is left is counted from the rows, under the tenant's setting.
    as_tenant(plain, "2", 'DELETE FROM shop."order lines" WHERE id >= 10')
    as_tenant(plain, "3", 'UPDATE shop."order lines" SET deleted_at = now() WHERE id = 2')
    done = settle(plain)

    assert (done.unusable, done.set_aside) == (None, None)
    assert done.drained.changes == 6
    assert done.drained.recounted > 0
    left = [
        replace(row, state="won" if row.company == 1 and row.id > 6 else row.state, tags=())
        for row in rows
        if row.id != 2 and not (row.company == 2 and row.id >= 10)
    ]
    assert_exact(engine, left)
    found = verify.compare(plain, counted(), TENANTS)
    assert (found.unproved, found.differences, len(found.tenants)) == (None, (), 3)


def test_with_link_facets_the_entity_is_counted_anew_each_time(
    engine: sa.Engine, plain: sa.Engine
) -> None:
    linked = counted().catalog.model_copy(update={"entities": shop.catalog().entities})
    apply(plain, linked)

    assert "has link facets" in str(refresh.fold(plain, shop.counted(linked)).unusable)
