"""A reader that holds bitmaps of any older version answers as one that begins now."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from crm_ops.base import database
from crm_ops.fold import rebuild, refresh
from crm_ops.read.reader import Reader
from tests.fold import shop
from tests.fold.capturing import apply, run, settle
from tests.fold.orders import orders as any_order
from tests.fold.shop import Order
from tests.read import desk
from tests.read.test_search import fill, filters, ids

COUNTED = shop.counted(desk.CATALOG)
AFTER = ("fold", "compact", "rebuild", "nothing")
HISTORY = st.lists(
    st.tuples(
        st.lists(st.tuples(st.integers(0, 9), any_order), max_size=5), st.sampled_from(AFTER)
    ),
    min_size=1,
    max_size=5,
)


@pytest.fixture
def engine(engine: sa.Engine, migrated: sa.Engine) -> sa.Engine:
    apply(migrated, desk.CATALOG)
    return engine


def step(engine: sa.Engine, orders: dict[int, Order], after: str) -> None:
    with database.transaction(engine) as connection:
        shop.put(connection, list(orders.values()))
    if after == "compact":
        run(engine, "UPDATE crm_ops.bitmap_set SET pending = 1000000")
    if after == "rebuild":
        rebuild.facet_counts(engine, COUNTED, desk.EVERYBODY)
    elif after != "nothing":
        refresh.fold(engine, COUNTED)


@pytest.mark.usefixtures("counting")
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=HISTORY, wanted=filters.filter(bool), limit=st.integers(1, 4))
def test_a_reader_of_any_version_answers_as_one_that_begins_now(
    engine: sa.Engine,
    history: list[tuple[list[tuple[int, Order]], str]],
    wanted: dict[str, list[str | None]],
    limit: int,
) -> None:
    first = Order(99, state="new")
    fill(engine, first)
    settle(engine, COUNTED)
    now, folded = {99: first}, {99: first}
    readers = []
    for given_, after in history:
        readers.append(Reader(desk.CATALOG, engine))
        readers[-1].search("order", tenant=1, filters=wanted)
        orders = {at: shop.moved(order, id=at) for at, order in given_}
        step(engine, orders, after)
        now |= orders
        folded = folded if after == "nothing" else dict(now)

    counted = list(folded.values())
    for reader in [*readers, Reader(desk.CATALOG, engine)]:
        for sort in ("-placed", "size", "id"):
            answer = reader.search("order", tenant=1, filters=wanted, sort=sort, limit=100)
            assert answer.source == "bitmaps"
            assert answer.total == len(desk.found(counted, "1", wanted))
            assert desk.shown(answer) == desk.counts(counted, "1", wanted)
            assert sorted(ids(answer)) == sorted(
                order.id for order in desk.found(now.values(), "1", wanted)
            )
            few = reader.search("order", tenant=1, filters=wanted, sort=sort, limit=limit)
            assert ids(few) == ids(answer)[:limit]


def test_a_version_that_the_set_never_had_is_read_anew(engine: sa.Engine) -> None:
    fill(engine, Order(1, state="new"), Order(2, state="new"))
    settle(engine, COUNTED)
    reader = Reader(desk.CATALOG, engine)
    step(engine, {1: Order(1, state="won")}, "fold")
    for _ in range(2):
        reader.search("order", tenant=1, filters={"state": "new"})
    # So is a database that was restored to an earlier moment, and went on from there.
    run(engine, "UPDATE crm_ops.bitmap_change SET version = version + 5")
    run(engine, "UPDATE crm_ops.bitmap_set SET version = version + 5")

    answer = reader.search("order", tenant=1, filters={"state": "new"})

    assert (ids(answer), answer.total) == ([2], 1)
    assert [each.where for each in answer.steps].count("postgres") == 2


def test_bitmaps_that_have_not_as_many_rows_as_were_counted_are_not_used(
    engine: sa.Engine,
) -> None:
    fill(engine, Order(1, state="new"), Order(2, state="new"), Order(3, state="won"))
    settle(engine, COUNTED)
    run(
        engine,
        "UPDATE crm_ops.bitmap SET bits = %(bits)s WHERE facet = 'state' AND bucket = 'new'",
        bits=BitMap([1]).serialize(),
    )

    answer = Reader(desk.CATALOG, engine).search("order", tenant=1, filters={"state": "new"})

    assert (sorted(ids(answer)), answer.total, answer.source) == ([1, 2], 2, "sql")
    assert any("given up" in step.what for step in answer.steps)
