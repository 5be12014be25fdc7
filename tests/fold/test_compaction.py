"""Appended changes and the bitmaps that they are put into are, at every fold, what the rows say."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from crm_ops.base import database, sql
from crm_ops.fold import bit_changes, compaction, refresh, verify
from tests.fold import shop
from tests.fold.capturing import EVERYBODY, apply, assert_exact, changed, run, settle
from tests.fold.orders import orders as any_order
from tests.fold.shop import Order

BATCHES = st.lists(
    st.tuples(st.lists(st.tuples(st.integers(0, 9), any_order), max_size=6), st.booleans()),
    max_size=5,
)


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    shop.build(migrated)
    apply(migrated, shop.catalog())
    return migrated


def put(engine: sa.Engine, rows: Sequence[Order]) -> None:
    with database.transaction(engine) as connection:
        shop.put(connection, rows)


def due(engine: sa.Engine) -> None:
    """Have the next fold compact every set."""
    run(engine, "UPDATE crm_ops.bitmap_set SET pending = 1000000")


def stored(engine: sa.Engine) -> tuple[int, int]:
    """How many bitmaps were written, and how many changes are kept."""
    with database.transaction(engine) as connection:
        tables = ("bitmap", "bitmap_change")
        counts = [
            sql.run(connection, f"SELECT count(*) FROM crm_ops.{each}").scalar_one()
            for each in tables
        ]
        return counts[0], counts[1]


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(batches=BATCHES)
@pytest.mark.parametrize("at_once", [1, 1_000_000])
def test_bitmaps_and_their_changes_are_a_recount_whenever_they_are_compacted(
    engine: sa.Engine,
    monkeypatch: pytest.MonkeyPatch,
    batches: list[tuple[list[tuple[int, Order]], bool]],
    at_once: int,
) -> None:
    monkeypatch.setattr(bit_changes, "_AT_ONCE", at_once)
    shop.fill(engine, [Order(99), Order(98, 2)])
    settle(engine)
    there = {99: Order(99), 98: Order(98, 2)}
    for given_, compacts in batches:
        written = {at: shop.moved(order, id=at) for at, order in given_}
        put(engine, list(written.values()))
        there |= written
        if compacts:
            due(engine)
        refresh.fold(engine, shop.counted())
        assert_exact(engine, list(there.values()))
    assert verify.compare(engine, shop.counted(), EVERYBODY).differences == ()


def test_changes_stay_for_readers_until_the_next_compaction(engine: sa.Engine) -> None:
    put(engine, [Order(at, state="new") for at in range(5)])
    settle(engine)
    whole = stored(engine)[0]

    put(engine, [Order(1, state="won")])
    refresh.fold(engine, shop.counted())
    assert stored(engine) == (whole, 1)

    for at in (2, 3):
        put(engine, [Order(at, state="won")])
        due(engine)
        refresh.fold(engine, shop.counted())
        # Beside its own those that it compacted, but not those of the compaction before.
        assert stored(engine) == (whole + 1, 2)


@pytest.mark.parametrize(("rows", "pending"), [(5, 4096), (5000, 5000)])
def test_a_set_is_due_once_its_changes_weigh_more_than_its_rows(
    engine: sa.Engine, rows: int, pending: int
) -> None:
    put(engine, [Order(1)])
    settle(engine)
    run(engine, f"UPDATE crm_ops.refresh SET counted = {rows}")

    for weight, expected in ((pending, 0), (pending + 1, 1)):
        run(engine, f"UPDATE crm_ops.bitmap_set SET pending = {weight} WHERE tenant = '1'")
        with database.transaction(engine) as connection:
            found = compaction.due(connection, shop.counted())
        assert len(found) == expected


def test_bitmaps_of_another_catalog_are_made_anew_not_compacted(
    engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [Order(at, state="new") for at in range(5)]
    put(engine, rows)
    settle(engine)
    put(engine, [Order(1, state="new", color="red")])
    refresh.fold(engine, shop.counted())
    due(engine)
    now = changed({"color": None})
    apply(engine, now)

    refresh.fold(engine, shop.counted(now))

    assert [each for each in caplog.records if each.levelno > logging.INFO] == []
    with database.transaction(engine) as connection:
        sound = sql.run(
            connection, "SELECT pending = 0 AND unusable IS NULL FROM crm_ops.bitmap_set"
        )
        assert sound.scalars().all() == [True]


def test_bitmaps_are_stored_as_they_are(engine: sa.Engine) -> None:
    put(engine, [Order(at) for at in range(5)])
    settle(engine)
    with database.transaction(engine) as connection:
        storage = sql.run(
            connection,
            "SELECT attstorage FROM pg_attribute"
            " WHERE attrelid = 'crm_ops.bitmap'::regclass AND attname = 'bits'",
        ).scalar_one()
    assert storage == "e"


def test_a_fold_that_dies_while_it_compacts_has_changed_nothing(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Order(at, state="new", tags=("hot",)) for at in range(5)]
    put(engine, rows)
    settle(engine)
    before = [Order(1, state="won"), *(row for row in rows if row.id != 1)]
    put(engine, before[:1])
    refresh.fold(engine, shop.counted())
    after = [Order(1, state="lost"), *before[1:]]
    put(engine, after[:1])
    due(engine)
    with monkeypatch.context() as dying:
        dying.setattr(compaction, "write", _die)
        with pytest.raises(_Killed):
            refresh.fold(engine, shop.counted())
    assert shop.stored_facet_rows(engine) == shop.facet_rows(before)

    refresh.fold(engine, shop.counted())

    assert_exact(engine, after)


class _Killed(Exception):
    pass


def _die(*_: object) -> None:
    raise _Killed


def test_a_bitmap_that_came_out_wrong_is_made_anew(engine: sa.Engine) -> None:
    rows = [Order(at, state="new") for at in range(5)]
    put(engine, rows)
    settle(engine)
    # As many rows as there should be say the counts, but not the bitmap.
    run(
        engine,
        "UPDATE crm_ops.bitmap SET bits = %(bits)s WHERE facet = 'state'",
        bits=BitMap([1, 2]).serialize(),
    )
    put(engine, [Order(1, state="won")])
    refresh.fold(engine, shop.counted())
    due(engine)

    refresh.fold(engine, shop.counted())

    assert_exact(engine, [Order(1, state="won"), *(row for row in rows if row.id != 1)])


def test_a_row_that_came_and_went_between_two_folds_leaves_nothing(
    engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [Order(at, state="new") for at in range(5)]
    put(engine, rows)
    settle(engine)
    before = stored(engine)
    put(engine, [Order(7, state="won")])
    run(engine, 'DELETE FROM shop."order lines" WHERE id = 7')
    put(engine, [Order(2, state="won")])
    put(engine, rows[2:3])

    refresh.fold(engine, shop.counted())

    assert stored(engine) == before
    assert caplog.records == []
    assert_exact(engine, rows)


def test_a_row_that_comes_though_it_was_there_has_its_set_made_anew(engine: sa.Engine) -> None:
    rows = [Order(at, state="new") for at in range(5)]
    put(engine, rows)
    settle(engine)
    run(
        engine, "INSERT INTO crm_ops.bitmap_position SELECT id, '7', 3 + 50 FROM crm_ops.bitmap_set"
    )
    put(engine, [Order(7)])

    refresh.fold(engine, shop.counted())

    assert made_anew(engine)
    assert_exact(engine, [*rows, Order(7)])


def test_a_row_that_goes_though_it_was_not_there_has_its_set_made_anew(engine: sa.Engine) -> None:
    rows = [Order(at, state="new") for at in range(5)]
    put(engine, rows)
    settle(engine)
    run(engine, "DELETE FROM crm_ops.bitmap_position WHERE key = '2'")
    run(engine, 'DELETE FROM shop."order lines" WHERE id = 2')

    refresh.fold(engine, shop.counted())

    assert made_anew(engine)
    assert_exact(engine, [row for row in rows if row.id != 2])


def made_anew(engine: sa.Engine) -> bool:
    with database.transaction(engine) as connection:
        found = sql.run(connection, "SELECT compacted = version FROM crm_ops.bitmap_set")
        return bool(found.scalar_one()) and stored(engine)[1] == 0
