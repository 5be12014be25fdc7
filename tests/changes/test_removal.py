"""What is planned, applied and removed, each twice; in the end the CRM is as it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import sqlalchemy as sa

from crm_ops.base import database, sql
from crm_ops.changes import install
from tests.fold import shop
from tests.fold.capturing import apply, run, settle

# `relhastriggers` stays until the next VACUUM; what came after us has other numbers and pages.
EVERYTHING = """
    SELECT 'class', c.oid::text, to_jsonb(c) - '{relhastriggers,relpages,reltuples,relallvisible,
        relallfrozen,relfrozenxid,relminmxid}'::text[] FROM pg_class c WHERE relnamespace = %(shop)s
    UNION ALL SELECT 'column', attrelid || ' ' || attnum, to_jsonb(a) FROM pg_attribute a
        JOIN pg_class c ON c.oid = attrelid WHERE relnamespace = %(shop)s
    UNION ALL SELECT 'trigger', oid::text, to_jsonb(t) FROM pg_trigger t
    UNION ALL SELECT 'function', oid::text, to_jsonb(p) FROM pg_proc p
    UNION ALL SELECT 'constraint', oid::text, to_jsonb(c) FROM pg_constraint c
    UNION ALL SELECT 'schema', oid::text, to_jsonb(n) FROM pg_namespace n
        WHERE nspname NOT LIKE 'pg_toast_temp%%' AND nspname NOT LIKE 'pg_temp%%'
    UNION ALL SELECT 'ours', relname, NULL FROM pg_class WHERE relnamespace = %(ours)s
    ORDER BY 1, 2
"""


def everything(engine: sa.Engine) -> list[tuple[object, ...]]:
    with database.transaction(engine) as connection:
        found = "SELECT %(name)s::regnamespace::oid"
        of = {
            each: sql.run(connection, found, name=name).scalar_one()
            for each, name in (("shop", "shop"), ("ours", "crm_ops"))
        }
        return [tuple(row) for row in sql.run(connection, EVERYTHING, of)]


def test_after_removal_the_crm_is_as_it_was(migrated: sa.Engine) -> None:
    shop.build(migrated)
    before = everything(migrated)
    assert apply(migrated, shop.catalog())
    assert apply(migrated, shop.catalog()) == []
    run(migrated, 'INSERT INTO shop."order lines" (id, company_id) VALUES (1, 1)')
    settle(migrated)
    assert everything(migrated) != before

    for expected in (2, 0):
        with database.transaction(migrated) as connection:
            steps = install.removal(connection)
        assert len(steps) == expected
        install.apply(migrated, steps)

    assert everything(migrated) == before


def test_two_who_apply_or_remove_at_once_do_it_once(migrated: sa.Engine) -> None:
    """Both planned on what was there before either began."""
    shop.build(migrated)
    with database.transaction(migrated) as connection:
        plans = [install.plan(connection, shop.catalog()) for _ in range(3)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda steps: install.apply(migrated, steps), plans))
    assert apply(migrated, shop.catalog()) == []
    with database.transaction(migrated) as connection:
        plans = [install.removal(connection) for _ in range(3)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda steps: install.apply(migrated, steps), plans))
    with database.transaction(migrated) as connection:
        assert install.removal(connection) == []


def test_capture_again_after_removal_counts_what_nobody_saw(migrated: sa.Engine) -> None:
    shop.build(migrated)
    apply(migrated, shop.catalog())
    settle(migrated)
    with database.transaction(migrated) as connection:
        steps = install.removal(connection)
    install.apply(migrated, steps)
    run(migrated, 'INSERT INTO shop."order lines" (id, company_id) VALUES (1, 1)')
    apply(migrated, shop.catalog())

    done = settle(migrated)

    assert "was not captured for a while" in str(done.set_aside)
    assert shop.stored_facet_counts(migrated) == shop.facet_counts([shop.Order(1)])
