"""Rows reach a partitioned table through the whole or by a partition's name: none is missed."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa

from crm_ops.base import database, errors, sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.changes import install, state
from crm_ops.fold import rebuild, refresh, verify
from crm_ops.fold.rows import Counted
from tests.fold import shop
from tests.fold.capturing import apply, run

TYPES = {"id": "bigint", "company_id": "bigint", "stage": "text", "amount": "numeric"}
# The columns of one partition stand in another order, and one is cut again.
DDL = """
CREATE TABLE shop.deal (id bigint, company_id bigint, stage text, amount numeric, closed date)
    PARTITION BY RANGE (closed);
CREATE TABLE shop.deal_2025 (amount numeric, gone text, closed date, stage text, id bigint,
    company_id bigint);
ALTER TABLE shop.deal_2025 DROP COLUMN gone;
ALTER TABLE shop.deal ATTACH PARTITION shop.deal_2025
    FOR VALUES FROM ('2025-01-01') TO ('2026-01-01');
CREATE TABLE shop.deal_2026 PARTITION OF shop.deal
    FOR VALUES FROM ('2026-01-01') TO ('2027-01-01') PARTITION BY LIST (company_id);
CREATE TABLE shop.deal_2026_1 PARTITION OF shop.deal_2026 FOR VALUES IN (1);
CREATE TABLE shop.deal_2026_others PARTITION OF shop.deal_2026 DEFAULT;
INSERT INTO shop.deal SELECT i, 1 + i % 3, 's' || i % 4, i, '2025-07-01'::date + i
    FROM generate_series(1, 400) AS i
"""
LATER = (
    "CREATE TABLE shop.deal_2027 PARTITION OF shop.deal FOR VALUES FROM ('2027-01-01')"
    " TO ('2028-01-01')"
)


def catalog() -> Catalog:
    entity = {
        "table": "shop.deal",
        "tenant": "company_id",
        "facets": {"stage": {"column": "stage"}},
    }
    measures = {"deals": {"count": "rows"}, "volume": {"sum": "amount"}, "top": {"max": "amount"}}
    aggregate = {"entity": "deal", "by": ["stage"], "measures": measures}
    return shop.catalog(entities={"deal": entity}, aggregates={"by_stage": aggregate})


DEALS = Counted(catalog(), "deal", TYPES)


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    shop.build(migrated)
    for statement in DDL.split(";"):
        run(migrated, statement.replace("%", "%%"))
    apply(migrated, DEALS.catalog)
    settle(migrated)
    return migrated


def settle(engine: sa.Engine) -> refresh.Refreshed:
    done = refresh.fold(engine, DEALS)
    if done.unusable is None:
        rebuild.facet_counts(engine, DEALS, refresh.uncaptured(engine, DEALS, shop.TENANTS))
    return done


def assert_proved(engine: sa.Engine) -> None:
    found = verify.compare(engine, DEALS, shop.TENANTS)
    assert (found.unproved, found.differences) == (None, ())
    assert set(found.tenants) == set(shop.TENANTS)


def problem(engine: sa.Engine) -> str:
    with database.transaction(engine) as connection:
        found = state.read(connection, DEALS.catalog, "deal")
    return str(found.unusable or found.spoiled)


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("INSERT INTO shop.deal SELECT i, 2, 's', 1, '2026-03-01' FROM generate_series(1, 9) i", 9),
        ("INSERT INTO shop.deal_2025 (id, company_id, closed) VALUES (1, 3, '2025-02-02')", 1),
        ("INSERT INTO shop.deal_2026 VALUES (1, 1, 'new', 5, '2026-02-02')", 1),
        ("UPDATE shop.deal_2025 SET stage = 'won', amount = 1 WHERE company_id = 2", 122),
        ("DELETE FROM shop.deal_2026_others WHERE company_id = 3", None),
        ("UPDATE shop.deal SET closed = closed + 365 WHERE closed < '2026-01-01'", None),
        ("UPDATE shop.deal_2026 SET company_id = 2 WHERE company_id = 1", None),
        ("TRUNCATE shop.deal_2026_1", 0),
        ("TRUNCATE shop.deal", 0),
    ],
)  # fmt: skip
def test_however_rows_come_and_go_figures_follow(
    engine: sa.Engine, text: str, changes: int | None
) -> None:
    run(engine, text)

    done = settle(engine)

    assert (done.set_aside is not None) == ("TRUNCATE" in text)
    assert done.drained.changes > 0 or "TRUNCATE" in text
    if changes is not None:
        assert done.drained.changes == changes
    assert_proved(engine)


def test_copy_into_a_partition_is_captured(engine: sa.Engine) -> None:
    with database.transaction(engine) as connection:
        cursor = connection.connection.cursor()
        with cursor.copy("COPY shop.deal_2025 (id, company_id, closed) FROM STDIN") as copy:
            copy.write_row((7, 1, "2025-05-05"))

    assert settle(engine).drained.changes == 1
    assert_proved(engine)


def test_a_new_partition_is_counted_anew_until_it_is_captured_too(engine: sa.Engine) -> None:
    run(engine, LATER)
    run(engine, "INSERT INTO shop.deal_2027 VALUES (1, 1, 'unseen', 5, '2027-02-02')")

    before = settle(engine)
    rebuild.facet_counts(engine, DEALS, shop.TENANTS)
    counted = shop.stored_facet_counts(engine)["1", "stage", "unseen"]
    steps = apply(engine, DEALS.catalog)
    settle(engine)
    run(engine, "INSERT INTO shop.deal_2027 VALUES (2, 1, 'unseen', 5, '2027-02-02')")

    assert "on a partition of it, is missing or switched off; run `crm-ops catalog apply`" in str(
        before.unusable
    )
    assert counted == 1
    assert len(steps) == 1
    assert apply(engine, DEALS.catalog) == []
    assert settle(engine).drained.changes == 1
    assert_proved(engine)


def test_an_attached_table_brings_its_rows(engine: sa.Engine) -> None:
    run(engine, "CREATE TABLE shop.deal_2027 (LIKE shop.deal)")
    run(engine, "INSERT INTO shop.deal_2027 VALUES (1, 1, 'old', 5, '2027-02-02')")
    run(engine, LATER.replace("CREATE TABLE shop.deal_2027 PARTITION OF shop.deal",
                              "ALTER TABLE shop.deal ATTACH PARTITION shop.deal_2027"))  # fmt: skip

    apply(engine, DEALS.catalog)
    settle(engine)

    assert shop.stored_facet_counts(engine)["1", "stage", "old"] == 1
    assert_proved(engine)


@pytest.mark.parametrize(
    "leaving",
    [
        "ALTER TABLE shop.deal DETACH PARTITION shop.deal_2025",
        "ALTER TABLE shop.deal RENAME TO deal_old; CREATE TABLE shop.deal (LIKE shop.deal_old)",
    ],
)
def test_a_table_that_is_no_part_any_more_is_in_nobody_s_way(
    engine: sa.Engine, leaving: str
) -> None:
    for statement in leaving.split(";"):
        run(engine, statement)
    run(engine, "DELETE FROM shop.deal_2025 WHERE company_id = 1")

    assert "no part of shop.deal writes into its log" in problem(engine)
    assert settle(engine).unusable is not None
    apply(engine, DEALS.catalog)
    settle(engine)
    run(engine, "DELETE FROM shop.deal_2025 WHERE company_id = 2")

    assert settle(engine).drained.changes == 0
    assert_proved(engine)


def test_what_inherits_from_a_table_counts_and_is_captured(engine: sa.Engine) -> None:
    run(engine, "DROP TABLE shop.deal")
    columns = "id bigint, company_id bigint, stage text, amount numeric"
    run(engine, f"CREATE TABLE shop.deal ({columns})")
    run(engine, "CREATE TABLE shop.big_deal () INHERITS (shop.deal)")
    apply(engine, DEALS.catalog)
    settle(engine)
    run(engine, "INSERT INTO shop.big_deal VALUES (1, 1, 'new', 5)")
    run(engine, "UPDATE shop.deal SET company_id = 2")

    assert settle(engine).drained.changes == 3
    assert_proved(engine)


def test_removal_takes_the_partitions_triggers_too(engine: sa.Engine) -> None:
    with database.transaction(engine) as connection:
        steps = install.removal(connection)
    install.apply(engine, steps)

    with database.transaction(engine) as connection:
        left = sql.run(connection, "SELECT count(*) FROM pg_trigger WHERE tgname ~ 'crm_ops'")
        assert left.scalar_one() == 0


def test_a_foreign_partition_is_refused_by_name(engine: sa.Engine) -> None:
    run(engine, "CREATE FOREIGN DATA WRAPPER nowhere")
    run(engine, "CREATE SERVER nowhere FOREIGN DATA WRAPPER nowhere")
    run(engine, "CREATE FOREIGN TABLE shop.far PARTITION OF shop.deal DEFAULT SERVER nowhere")

    with pytest.raises(errors.CatalogError, match=r"shop\.far is no table.*`capture: none`"):
        apply(engine, DEALS.catalog)


@pytest.mark.parametrize("table", ["shop.deal", "shop.deal_2026_1"])
def test_a_table_that_replication_writes_into_is_not_folded(engine: sa.Engine, table: str) -> None:
    run(
        engine,
        "INSERT INTO pg_subscription_rel (srsubid, srrelid, srsubstate)"
        f" VALUES (1, '{table}'::regclass, 'r')",
    )

    assert "logical replication writes into shop.deal" in problem(engine)
    with pytest.raises(errors.CatalogError, match="declare `capture: none`"):
        apply(engine, DEALS.catalog)


def test_triggers_that_always_fire_capture_what_restores_write(engine: sa.Engine) -> None:
    """The table's owner may say so; ours is told apart from one that was switched off."""
    run(
        engine,
        "DO $$ DECLARE t record; BEGIN FOR t IN SELECT tgrelid::regclass AS of, tgname FROM"
        " pg_trigger WHERE tgname ~ '^crm_ops' LOOP"
        " EXECUTE format('ALTER TABLE %%s ENABLE ALWAYS TRIGGER %%I', t.of, t.tgname);"
        " END LOOP; END $$",
    )
    settle(engine)
    with database.transaction(engine) as connection:
        sql.run(connection, "SET LOCAL session_replication_role = replica")
        sql.run(connection, "UPDATE shop.deal_2025 SET stage = 'restored' WHERE company_id = 3")

    assert settle(engine).drained.changes > 0
    assert_proved(engine)


@pytest.mark.parametrize("applied", [apply, lambda *_: None], ids=["applied again", "left"])
def test_one_partition_s_trigger_switched_off_is_noticed(
    engine: sa.Engine, applied: Callable[..., object]
) -> None:
    run(engine, "ALTER TABLE shop.deal_2026_1 DISABLE TRIGGER ALL")
    run(engine, "INSERT INTO shop.deal_2026_1 VALUES (1, 1, 'unseen', 5, '2026-02-02')")
    applied(engine, DEALS.catalog)

    done = settle(engine)
    rebuild.facet_counts(engine, DEALS, shop.TENANTS)

    assert done.set_aside or done.unusable
    assert shop.stored_facet_counts(engine)["1", "stage", "unseen"] == 1
