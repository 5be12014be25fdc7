"""Whatever keeps our triggers from logging a change, the CRM's write is made, and counted later."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm_ops.base import database, sql
from crm_ops.changes import state
from crm_ops.fold import rebuild, refresh, verify
from tests.fold import shop
from tests.fold.capturing import EVERYBODY, apply, assert_exact, run, settle
from tests.fold.shop import Order

BREAKS = {
    "a full disk, a full log": "ALTER TABLE crm_ops.log_order ADD CONSTRAINT never CHECK (false)",
    "a log that is gone": "DROP TABLE crm_ops.log_order",
    "a column that is gone": 'ALTER TABLE crm_ops.log_order DROP COLUMN "state %%"',
    "another type": 'ALTER TABLE crm_ops.log_order ALTER "state %%" TYPE int USING 0',
    "a revoked right": "REVOKE INSERT ON crm_ops.log_order FROM CURRENT_USER",
    "a revoked schema": "REVOKE ALL ON SCHEMA crm_ops FROM CURRENT_USER",
}
MENDED = ("a log that is gone", "a column that is gone", "another type")
ROWS = [Order(1, state="new"), Order(2, 2, state="won")]


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    shop.build(migrated)
    apply(migrated, shop.catalog())
    settle(migrated)
    return migrated


@pytest.mark.parametrize("broken", list(BREAKS))
def test_a_write_is_made_whatever_is_broken_and_applying_again_mends_it(
    engine: sa.Engine, broken: str
) -> None:
    """A function runs with the rights of its owner, who is no superuser here."""
    _own_by_a_plain_role(engine)
    run(engine, BREAKS[broken].replace("CURRENT_USER", "crm_ops_test_plain"))

    with database.transaction(engine) as connection:
        shop.put(connection, [Order(1, state="old"), *ROWS])
        sql.run(connection, 'DELETE FROM shop."order lines" WHERE id = 2')

    with database.transaction(engine) as connection:
        found = sql.run(connection, 'SELECT "state %%" FROM shop."order lines"').scalars().all()
        standing = state.read(connection, shop.catalog(), "order")
    assert found == ["new"]
    if broken in MENDED:
        assert "is gone, or not as it was made; run `crm-ops catalog apply`" in str(
            standing.unusable
        )
    elif broken != "a revoked schema":
        assert "was not logged" in str(standing.spoiled)
    _give_back(engine)
    assert bool(apply(engine, shop.catalog())) == (broken in MENDED)
    done = settle(engine)
    assert broken == "a revoked schema" or done.set_aside
    if broken == "a revoked schema":
        # Not so much as a mark could be left: what the proof is for.
        assert verify.compare(engine, shop.counted(), EVERYBODY).differences
        return
    assert_exact(engine, ROWS[:1])
    with database.transaction(engine) as connection:
        shop.put(connection, ROWS)
    settle(engine)
    assert_exact(engine, ROWS)


def _own_by_a_plain_role(engine: sa.Engine) -> None:
    run(engine, "DROP ROLE IF EXISTS crm_ops_test_plain")
    run(engine, "CREATE ROLE crm_ops_test_plain")
    run(engine, "GRANT USAGE ON SCHEMA crm_ops TO crm_ops_test_plain")
    for relation in ("log_order", "rebuild_marker"):
        run(engine, f"ALTER TABLE crm_ops.{relation} OWNER TO crm_ops_test_plain")
    run(engine, "ALTER FUNCTION crm_ops.log_order() OWNER TO crm_ops_test_plain")


def _give_back(engine: sa.Engine) -> None:
    """What an operator does who reads why: a right, a constraint."""
    run(engine, "ALTER TABLE IF EXISTS crm_ops.log_order DROP CONSTRAINT IF EXISTS never")
    run(engine, "REASSIGN OWNED BY crm_ops_test_plain TO CURRENT_USER")
    run(engine, "DROP OWNED BY crm_ops_test_plain CASCADE")
    run(engine, "DROP ROLE crm_ops_test_plain")


def test_a_writer_who_does_not_wait_for_our_log_leaves_a_mark_instead(engine: sa.Engine) -> None:
    with engine.connect() as holder:
        holder.exec_driver_sql("LOCK TABLE crm_ops.log_order IN ACCESS EXCLUSIVE MODE")
        with database.transaction(engine) as connection:
            sql.run(connection, "SET LOCAL lock_timeout = '50ms'")
            shop.put(connection, ROWS)
        holder.rollback()

    done = settle(engine)

    assert "was not logged: canceling statement due to lock timeout" in str(done.set_aside)
    assert_exact(engine, ROWS)


def test_one_statement_that_was_not_logged_spoils_the_others_with_it(engine: sa.Engine) -> None:
    """Of two changes only one is in the log: folding it would be drift."""
    run(engine, "ALTER TABLE crm_ops.log_order ADD CONSTRAINT odd CHECK (company_id <> 2)")
    with database.transaction(engine) as connection:
        shop.put(connection, ROWS)

    done = refresh.fold(engine, shop.counted())
    rebuild.facet_counts(engine, shop.counted(), EVERYBODY)

    assert done.set_aside is not None
    assert_exact(engine, ROWS)
