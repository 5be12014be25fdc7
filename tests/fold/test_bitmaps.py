"""Bitmaps say what the counts say, and `verify` sees where they do not."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
import sqlalchemy as sa
from pyroaring import BitMap

from crm_ops.base import database, errors, sql
from crm_ops.fold import bit_changes, placed, rebuild, refresh, repair, verify
from tests.fold import shop
from tests.fold.capturing import EVERYBODY, apply, assert_exact, changed, run, settle
from tests.fold.shop import Order

FEW = 4


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    shop.build(migrated)
    apply(migrated, shop.catalog())
    return migrated


def tenants(engine: sa.Engine) -> list[str]:
    """Those that have bitmaps."""
    with database.transaction(engine) as connection:
        found = sql.run(connection, "SELECT tenant FROM crm_ops.bitmap_set ORDER BY tenant")
        return list(found.scalars())


def put(engine: sa.Engine, *orders: Order) -> list[Order]:
    with database.transaction(engine) as connection:
        shop.put(connection, orders)
    return list(orders)


def test_only_large_tenants_have_bitmaps(engine: sa.Engine) -> None:
    counted = shop.counted(shop.catalog(limits={"bitmaps_from_rows": FEW}))
    put(engine, *(Order(at) for at in range(FEW - 1)), Order(50, 2))
    settle(engine, counted)
    assert tenants(engine) == []

    put(engine, Order(60))
    refresh.fold(engine, counted)
    assert tenants(engine) == ["1"]

    # Not every row that comes and goes makes them and drops them again.
    run(engine, 'DELETE FROM shop."order lines" WHERE id IN (1, 60)')
    refresh.fold(engine, counted)
    assert tenants(engine) == ["1"]
    run(engine, 'DELETE FROM shop."order lines"')
    refresh.fold(engine, counted)
    assert tenants(engine) == []


def test_a_row_keeps_its_position_when_it_is_counted_anew(engine: sa.Engine) -> None:
    put(engine, *(Order(at) for at in range(5)))
    settle(engine)
    before = positions(engine)
    put(engine, Order(2, state="new"), Order(9))
    run(engine, 'DELETE FROM shop."order lines" WHERE id = 3')
    rebuild.facet_counts(engine, shop.counted(), EVERYBODY)

    after = positions(engine)
    assert {key: at for key, at in after.items() if key != "9"} == {
        key: at for key, at in before.items() if key != "3"
    }
    assert after["9"] not in before.values()
    assert_exact(engine, [Order(0), Order(1), Order(2, state="new"), Order(4), Order(9)])


def positions(engine: sa.Engine) -> dict[str, int]:
    with database.transaction(engine) as connection:
        found = sql.run(connection, "SELECT key, position FROM crm_ops.bitmap_position")
        return {row.key: row.position for row in found}


def test_what_is_gathered_otherwise_than_counted_has_the_set_made_anew(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = put(engine, *(Order(at, state="new") for at in range(5)))
    settle(engine)
    changed = [Order(1, state="won"), Order(2, state="lost"), *rows[3:]]
    put(engine, *changed[:2])
    gather = bit_changes.gather(shop.counted())
    missed = gather.replace(
        "FROM placed WHERE w", "FROM (SELECT * FROM placed LIMIT 1) AS placed WHERE w"
    )
    assert missed != gather
    monkeypatch.setattr(bit_changes, "gather", lambda _: missed)

    refresh.fold(engine, shop.counted())

    assert_exact(engine, [rows[0], *changed])


def test_a_tenant_whose_counts_are_not_its_rows_gets_no_bitmaps_until_they_are(
    engine: sa.Engine,
) -> None:
    rows = put(engine, *(Order(at, state="new") for at in range(5)))
    settle(engine)
    run(engine, "UPDATE crm_ops.facet_count SET n = n + 1 WHERE facet = 'state'")
    run(engine, "UPDATE crm_ops.facet_count SET n = n + 1 WHERE facet = ''")
    run(engine, "TRUNCATE crm_ops.bitmap_set, crm_ops.bitmap_position, crm_ops.bitmap")
    refresh.fold(engine, shop.counted())
    with database.transaction(engine) as connection:
        why = sql.run(connection, "SELECT unusable FROM crm_ops.bitmap_set").scalar_one()
    assert "verify --repair" in why

    found = verify.compare(engine, shop.counted(), EVERYBODY).differences
    assert repair.figures(engine, shop.counted(), found)

    assert tenants(engine) == ["1"]
    assert_exact(engine, rows)


@pytest.mark.parametrize("same_number", [True, False])
def test_verify_finds_a_bitmap_that_holds_other_rows(engine: sa.Engine, same_number: bool) -> None:
    rows = put(engine, Order(1, state="new"), Order(2, state="new"), Order(3, size=Decimal(1)))
    settle(engine)
    harm(engine, BitMap([0, 2] if same_number else [0]))

    differences = verify.compare(engine, shop.counted(), EVERYBODY).differences
    (found,) = differences

    assert (found.place, found.tenant, found.name, found.bucket) == ("bitmaps", "1", "state", "new")
    assert repair.figures(engine, shop.counted(), differences)
    assert_exact(engine, rows)
    assert verify.compare(engine, shop.counted(), EVERYBODY).differences == ()


def harm(engine: sa.Engine, bits: BitMap) -> None:
    new = "WHERE facet = 'state' AND bucket = 'new'"
    run(engine, f"UPDATE crm_ops.bitmap SET bits = %(bits)s {new}", bits=bits.serialize())


def test_a_tenant_whose_keys_are_not_its_rows_own_has_no_bitmaps(engine: sa.Engine) -> None:
    run(engine, 'ALTER TABLE shop."order lines" DROP CONSTRAINT "order lines_pkey"')
    settle(engine)
    for _ in range(2):
        run(engine, 'INSERT INTO shop."order lines" (id, company_id) VALUES (1, 1)')
    refresh.fold(engine, shop.counted())
    refresh.fold(engine, shop.counted())

    with database.transaction(engine) as connection:
        why = sql.run(connection, "SELECT unusable FROM crm_ops.bitmap_set").scalar_one()
        assert sql.run(connection, "SELECT count(*) FROM crm_ops.bitmap").scalar_one() == 0
    assert "is not one row's alone" in why
    assert shop.stored_facet_counts(engine)["1", "", None] == 2


def test_a_row_without_a_key_keeps_its_tenant_from_bitmaps_and_no_other(engine: sa.Engine) -> None:
    put(engine, Order(1), Order(2, 2))
    run(engine, 'ALTER TABLE shop."order lines" DROP CONSTRAINT "order lines_pkey"')
    run(engine, 'ALTER TABLE shop."order lines" ALTER COLUMN id DROP NOT NULL')
    run(engine, 'INSERT INTO shop."order lines" (id, company_id) VALUES (NULL, 1)')
    settle(engine)

    with database.transaction(engine) as connection:
        query = "SELECT tenant FROM crm_ops.bitmap_set WHERE unusable IS NOT NULL"
        assert sql.run(connection, query).scalars().all() == ["1"]
        query = "SELECT DISTINCT tenant FROM crm_ops.bitmap JOIN crm_ops.bitmap_set ON set_id = id"
        assert sql.run(connection, query).scalars().all() == ["2"]
    assert shop.stored_facet_counts(engine)["1", "", None] == 2


def test_bitmaps_are_put_together_from_parts_of_the_rows(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placed, "_PART_BYTES", 8192)
    rows = put(engine, *(Order(at, at % 2 + 1, state=f"{at % 5}") for at in range(400)))

    settle(engine)

    assert_exact(engine, rows)
    assert verify.compare(engine, shop.counted(), EVERYBODY).differences == ()


def test_many_positions_of_rows_that_went_are_given_up(engine: sa.Engine) -> None:
    rows = put(engine, *(Order(at) for at in range(3)))
    settle(engine)
    run(engine, "UPDATE crm_ops.bitmap_set SET positions = 70000")
    rows += put(engine, Order(9))

    refresh.fold(engine, shop.counted())

    assert max(positions(engine).values()) == 3
    assert_exact(engine, [replace(row) for row in rows])


def test_changes_are_gathered_by_the_one_connection_that_there_is(engine: sa.Engine) -> None:
    rows = put(engine, Order(1), Order(2), Order(3))
    settle(engine)
    rows[1:] = [*put(engine, Order(2, state="won"), Order(9))]
    run(engine, 'DELETE FROM shop."order lines" WHERE id = 3')
    alone = sa.create_engine(engine.url, pool_size=1, max_overflow=0, pool_timeout=0.05)

    refresh.fold(database.bounded(alone, database.Limits()), shop.counted())

    alone.dispose()
    assert_exact(engine, rows)
    assert verify.compare(engine, shop.counted(), EVERYBODY).differences == ()


def test_nothing_is_folded_where_changes_cannot_be_gathered(engine: sa.Engine) -> None:
    rows = put(engine, Order(1))
    settle(engine)
    rows += put(engine, Order(2))
    run(engine, "ALTER TABLE crm_ops.bitmap_position RENAME TO elsewhere")
    with pytest.raises(errors.SettingsError, match="bitmap_position"):
        refresh.fold(engine, shop.counted())
    run(engine, "ALTER TABLE crm_ops.elsewhere RENAME TO bitmap_position")
    assert_exact(engine, rows[:1])

    refresh.fold(engine, shop.counted())

    assert_exact(engine, rows)
    assert verify.compare(engine, shop.counted(), EVERYBODY).differences == ()


def test_bitmaps_of_a_catalog_that_comes_back_are_not_those_of_before(engine: sa.Engine) -> None:
    """A tenant that was too small for new bitmaps while another catalog held."""
    first = shop.catalog()
    put(engine, Order(1), Order(2), Order(3, 2))
    settle(engine)
    other = changed({"size": {"kind": "ranges", "column": "size", "bounds": [0.0, 50.0]}})
    apply(engine, other)
    run(engine, 'DELETE FROM shop."order lines" WHERE company_id = 2')
    refresh.fold(engine, shop.counted(other))
    apply(engine, first)

    refresh.fold(engine, shop.counted())

    assert_exact(engine, [Order(1), Order(2)])
