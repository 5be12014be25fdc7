"""What may come between two steps of ours, one by one: no change is counted twice or not at all."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal

import pytest
import sqlalchemy as sa

from crm_ops.base import database, errors, sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.changes import install, state
from crm_ops.fold import rebuild, refresh
from tests.fold import shop
from tests.fold.capturing import EVERYBODY, apply, assert_exact, changed, settle
from tests.fold.capturing import run as execute
from tests.fold.shop import Order, moved

TABLE = 'shop."order lines"'
FEWER = changed({"color": None, "tag": None}, {"all_orders": None})
ROWS = [
    Order(n, 1 + n % 3, f"s{n % 4}", Decimal(n), color="red", currency="EUR", tags=("hot",))
    for n in range(24)
]


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    shop.build(migrated)
    apply(migrated, shop.catalog())
    with database.transaction(migrated) as connection:
        shop.put(connection, ROWS)
    return migrated


def test_a_new_aggregate_is_counted_although_an_extreme_went(engine: sa.Engine) -> None:
    """Both are counted anew by one fold: what is done for the one must not pass for the other."""
    apply(engine, FEWER)
    settle(engine, shop.counted(FEWER))
    apply(engine, shop.catalog())
    execute(engine, f"DELETE FROM {TABLE} WHERE id >= 21")

    done = settle(engine)

    assert done.drained.repairs == ()
    assert_exact(engine, ROWS[:21])


def test_nor_where_no_row_came_or_went(engine: sa.Engine) -> None:
    apply(engine, FEWER)
    settle(engine, shop.counted(FEWER))
    apply(engine, shop.catalog())
    execute(engine, f"UPDATE {TABLE} SET size = 1 WHERE id >= 21")

    settle(engine)

    assert_exact(engine, ROWS[:21] + [moved(order, size=Decimal(1)) for order in ROWS[21:]])


@pytest.mark.parametrize("counted_before", [False, True])
@pytest.mark.parametrize("without", [FEWER, changed({"color": None})], ids=["links", "columns"])
@pytest.mark.parametrize("step", ["fold", "rebuild"])
def test_a_log_that_is_made_again_under_a_snapshot_is_not_read_as_the_old_one(
    engine: sa.Engine,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    without: Catalog,
    *,
    counted_before: bool,
) -> None:
    """Its rows would lack what they held when the snapshot was taken, and links that came since."""
    if counted_before:
        settle(engine)
        execute(engine, f"UPDATE {TABLE} SET info = '{{}}' WHERE id < 6")

    def meanwhile() -> None:
        _try_to_apply(engine, without)
        execute(engine, "UPDATE shop.order_tag SET tag = 'cold' WHERE order_id < 3")
        _try_to_apply(engine, shop.catalog())

    _after_the_snapshot(monkeypatch, meanwhile)
    # Where it cannot be done, the next one does it.
    with suppress(errors.DatabaseBusy):
        if step == "fold":
            refresh.fold(engine, shop.counted())
        else:
            rebuild.facet_counts(engine, shop.counted(), EVERYBODY)
    apply(engine, shop.catalog())
    done = settle(engine)

    assert done.drained.repairs == ()
    expected = [moved(order, tags=("cold",)) if order.id < 3 else order for order in ROWS]
    if counted_before:
        expected = [moved(o, color=None) if o.id < 6 else o for o in expected]
    assert_exact(engine, expected)


@pytest.mark.parametrize("without", [FEWER, changed({"color": None})], ids=["links", "columns"])
def test_a_log_is_not_made_again_under_an_open_transaction_that_has_written_to_it(
    engine: sa.Engine, without: Catalog
) -> None:
    settle(engine)
    with engine.connect() as writer, writer.begin():
        sql.run(writer, f"UPDATE {TABLE} SET info = NULL WHERE id < 3")
        sql.run(writer, "UPDATE shop.order_tag SET tag = 'cold' WHERE order_id < 3")
        with database.transaction(engine) as connection:
            planned = install.plan(connection, without)
        with pytest.raises(errors.DatabaseBusy, match="locked by others"):
            install.apply(engine, planned, budget_s=0.1)

    done = settle(engine)

    assert (done.drained.changes, done.drained.repairs) == (12, ())
    assert_exact(engine, [moved(o, color=None, tags=("cold",)) if o.id < 3 else o for o in ROWS])


def test_a_writer_with_old_plans_fires_the_new_triggers(engine: sa.Engine) -> None:
    settle(engine)
    text = f"UPDATE {TABLE} SET info = jsonb_set(info, '{{paint,color}}', $1) WHERE id = $2"
    with engine.connect() as writer:
        sql.run(writer, f"PREPARE paint (jsonb, bigint) AS {text}")
        writer.commit()
        catalogs = [shop.catalog(), changed({"color": None}), FEWER, shop.catalog()]
        for at, catalog in enumerate(catalogs):
            apply(engine, catalog)
            # From the sixth execution on a plan is kept.
            for _ in range(6):
                sql.run(writer, f"EXECUTE paint ('\"c{at}\"', {at})")
            writer.commit()

    done = settle(engine)

    assert done.drained.repairs == ()
    assert_exact(engine, [moved(o, color=f"c{o.id}") if o.id < 4 else o for o in ROWS])


def test_what_commits_after_an_entity_was_set_aside_is_counted_once(engine: sa.Engine) -> None:
    settle(engine)
    with engine.connect() as writer, writer.begin():
        sql.run(writer, f"DELETE FROM {TABLE} WHERE id < 3")
        sql.run(writer, "DELETE FROM shop.order_tag WHERE order_id < 6")
        assert refresh.fold(engine, shop.counted(), anew="a test").set_aside == "a test"
        rebuild.facet_counts(engine, shop.counted(), ["1"])

    done = settle(engine)

    assert done.drained.repairs == ()
    assert_exact(engine, [moved(o, tags=()) if o.id < 6 else o for o in ROWS[3:]])


def test_a_step_that_was_planned_for_another_state_is_not_done(engine: sa.Engine) -> None:
    """The other catalog logs deleted rows, too: what it left in the log would pass for counted."""
    settle(engine)
    with database.transaction(engine) as connection:
        planned = install.plan(connection, FEWER)
    entity = shop.catalog().entities["order"].model_copy(update={"where": {}})
    other = shop.catalog().model_copy(update={"entities": {"order": entity}})
    apply(engine, other)
    execute(engine, f"UPDATE {TABLE} SET deleted_at = now() WHERE id < 3")

    with pytest.raises(errors.DatabaseBusy, match="applied another catalog meanwhile"):
        install.apply(engine, planned)

    apply(engine, shop.catalog())
    done = settle(engine)
    assert done.drained.repairs == ()
    assert_exact(engine, ROWS[3:])


def test_a_plan_is_of_one_state_while_others_apply_and_take_away(engine: sa.Engine) -> None:
    """Seen while its log was just made, a table would be planned to be altered; then it is gone."""
    settle(engine)
    apply(engine, FEWER)

    def plan() -> list[install.Step]:
        with database.transaction(engine) as connection:
            return install.plan(connection, shop.catalog())

    theirs = [plan()]

    def meanwhile(_: object, __: object, statement: str, *___: object) -> None:
        if theirs and "FROM crm_ops.capture" in statement:
            with suppress(errors.DatabaseBusy):
                install.apply(engine, theirs.pop(), budget_s=0.1)

    sa.event.listen(engine, "after_cursor_execute", meanwhile)
    planned = plan()
    _try_to_apply(engine, FEWER)
    install.apply(engine, planned)

    execute(engine, "UPDATE shop.order_tag SET tag = 'cold' WHERE order_id < 3")
    done = settle(engine)
    assert done.drained.repairs == ()
    assert_exact(engine, [moved(o, tags=("cold",)) if o.id < 3 else o for o in ROWS])


def test_triggers_switched_off_and_on_just_before_ours_are_replaced_are_noticed(
    engine: sa.Engine,
) -> None:
    settle(engine)
    with database.transaction(engine) as connection:
        planned = install.plan(connection, changed({"color": None}))
    with engine.connect() as other:
        their = other.begin()
        sql.run(other, f"ALTER TABLE {TABLE} DISABLE TRIGGER USER")
        sql.run(other, f"DELETE FROM {TABLE} WHERE id < 3")
        sql.run(other, f"ALTER TABLE {TABLE} ENABLE TRIGGER USER")

        def end(_: object, __: object, statement: str, *___: object) -> None:
            if statement.startswith("CREATE OR REPLACE TRIGGER") and their.is_active:
                their.commit()

        sa.event.listen(engine, "before_cursor_execute", end)
        install.apply(engine, planned)
        sa.event.remove(engine, "before_cursor_execute", end)

    apply(engine, shop.catalog())
    done = settle(engine)

    assert "not captured for a while" in str(done.set_aside)
    assert_exact(engine, ROWS[3:])


def _after_the_snapshot(monkeypatch: pytest.MonkeyPatch, meanwhile: Callable[[], None]) -> None:
    """Let `meanwhile` happen once, after the first look at how the capture stands."""
    read, waiting = state.read, [meanwhile]

    def looked(connection: sa.Connection, catalog: Catalog, name: str) -> state.State:
        found = read(connection, catalog, name)
        if waiting:
            waiting.pop()()
        return found

    monkeypatch.setattr(state, "read", looked)


def _try_to_apply(engine: sa.Engine, catalog: Catalog) -> None:
    """Apply a catalog, unless somebody is at work on the log: then another time."""
    with database.transaction(engine) as connection:
        steps = install.plan(connection, catalog)
    with suppress(errors.DatabaseBusy):
        install.apply(engine, steps, budget_s=0.1)
