"""Searches of tenants whose rows are kept in bitmaps: exact, as of a moment, in one trip."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyroaring import BitMap

from crm_ops.base import database, sql
from crm_ops.changes import install
from crm_ops.fold import refresh
from crm_ops.read import kept
from crm_ops.read.reader import Reader
from tests.fold import shop
from tests.fold.capturing import apply, settle
from tests.fold.orders import orders as any_order
from tests.fold.shop import Order
from tests.read import desk
from tests.read.test_search import fill, filters, ids

property_test = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
numbered = st.lists(any_order, max_size=25).map(
    lambda found: [shop.moved(order, id=at) for at, order in enumerate(found)]
)


@pytest.fixture
def engine(engine: sa.Engine, migrated: sa.Engine) -> sa.Engine:
    apply(migrated, desk.CATALOG)
    return engine


def count(engine: sa.Engine) -> None:
    settle(engine, shop.counted(desk.CATALOG))


def fold(engine: sa.Engine) -> None:
    refresh.fold(engine, shop.counted(desk.CATALOG))


def put(engine: sa.Engine, *orders: Order) -> None:
    with database.transaction(engine) as connection:
        shop.put(connection, orders)


def trips(answer: Any) -> int:
    return [step.where for step in answer.steps].count("postgres")


@pytest.mark.usefixtures("counting")
@property_test
@given(history=numbered, wanted=filters, tenant=st.sampled_from(desk.EVERYBODY))
def test_bitmaps_answer_what_looking_through_the_rows_does(
    reader: Reader,
    engine: sa.Engine,
    history: list[Order],
    wanted: dict[str, list[str | None]],
    tenant: str,
) -> None:
    rows = fill(engine, *history)
    count(engine)
    expected = desk.found(rows, tenant, wanted)

    answer = reader.search("order", tenant=tenant, filters=wanted, sort="id", limit=100)

    assert ids(answer) == [order.id for order in expected]
    assert answer.total == len(expected)
    assert desk.shown(answer) == desk.counts(rows, tenant, wanted)
    if wanted and any(desk.tenant_of(row) == tenant and not row.deleted for row in rows):
        assert answer.source == "bitmaps"


@property_test
@given(
    before=numbered,
    after=numbered,
    wanted=st.lists(filters.filter(bool), min_size=1, max_size=4),
    again=st.lists(st.integers(0, 3), min_size=3, max_size=8),
)
def test_filters_asked_again_have_the_counts_of_the_newest_refresh(
    reader: Reader,
    engine: sa.Engine,
    before: list[Order],
    after: list[Order],
    wanted: list[dict[str, list[str | None]]],
    again: list[int],
) -> None:
    rows = fill(engine, Order(99, state="new"), *before)
    count(engine)
    for refreshed in (False, True):
        if refreshed:
            put(engine, *after)
            rows = list({order.id: order for order in [*rows, *after]}.values())
            fold(engine)
        for at in again:
            asked = wanted[at % len(wanted)]
            answer = reader.search("order", tenant=1, filters=asked, limit=at)
            assert answer.total == len(desk.found(rows, "1", asked))
            assert desk.shown(answer) == desk.counts(rows, "1", asked)


@pytest.mark.usefixtures("counting")
@property_test
@given(
    before=numbered,
    after=numbered,
    wanted=filters.filter(bool),
    sort=st.sampled_from(["placed", "-placed", "size", "-state %", "id"]),
    limit=st.integers(1, 5),
)
def test_counts_are_as_of_the_fold_and_pages_as_of_now(
    reader: Reader,
    engine: sa.Engine,
    before: list[Order],
    after: list[Order],
    wanted: dict[str, list[str | None]],
    sort: str,
    limit: int,
) -> None:
    before = fill(engine, Order(99, state="new"), *before)
    count(engine)
    put(engine, *after)
    now = {order.id: order for order in [*before, *after]}.values()

    seen: list[int] = []
    cursor = None
    while True:
        answer = reader.search(
            "order", tenant=1, filters=wanted, sort=sort, limit=limit, after=cursor
        )
        assert answer.source == "bitmaps"
        assert answer.total == len(desk.found(before, "1", wanted))
        assert desk.shown(answer) == desk.counts(before, "1", wanted)
        seen += ids(answer)
        cursor = answer.next
        if cursor is None:
            break

    exactly = reader.search(
        "order", tenant=1, filters=wanted, sort=sort, limit=100, not_older_than=datetime.now(UTC)
    )
    assert exactly.source == "sql"
    assert seen == ids(exactly)
    assert sorted(seen) == sorted(order.id for order in desk.found(now, "1", wanted))


def test_a_reader_that_has_the_bitmaps_takes_one_trip(reader: Reader, engine: sa.Engine) -> None:
    fill(engine, Order(1, state="new", person=1), Order(2, state="won"))
    count(engine)
    first = reader.search("order", tenant=1, filters={"state": "new"})
    second = reader.search("order", tenant=1, filters={"state": "won"})

    assert (trips(first), trips(second)) == (2, 1)
    assert (ids(first), ids(second)) == ([1], [2])
    assert first.facets["person"].buckets[0].label == "Ann"


def test_after_a_fold_what_changed_comes_with_the_page(reader: Reader, engine: sa.Engine) -> None:
    fill(engine, *(Order(at, state="new", person=at % 3) for at in range(9)))
    count(engine)
    reader.search("order", tenant=1, filters={"state": "new"})
    put(engine, Order(4, state="won", person=1))
    fold(engine)

    answer = reader.search("order", tenant=1, filters={"state": "new"})

    assert (answer.total, len(answer.rows), trips(answer)) == (8, 8, 1)
    assert any("bitmaps: 0 read, 2 changes" in step.what for step in answer.steps)
    assert trips(reader.search("order", tenant=1, filters={"state": "won"})) == 1


def test_a_bucket_that_is_new_is_shown_with_its_label(reader: Reader, engine: sa.Engine) -> None:
    fill(engine, *(Order(at, state="new", person=1) for at in range(3)))
    count(engine)
    reader.search("order", tenant=1, filters={"state": "new"})
    put(engine, Order(1, state="new", person=2))
    fold(engine)

    answer = reader.search("order", tenant=1, filters={"state": "new"})

    assert {each.label for each in answer.facets["person"].buckets} == {"Ann", "Bo"}


def test_two_rows_that_change_places_are_seen_though_no_count_changes(
    reader: Reader, engine: sa.Engine
) -> None:
    fill(engine, Order(1, state="new", size=Decimal(1)), Order(2, state="won"))
    count(engine)
    reader.search("order", tenant=1, filters={"state": "new"})
    put(engine, Order(1, state="won", size=Decimal(1)), Order(2, state="new"))
    fold(engine)

    answer = reader.search("order", tenant=1, filters={"state": "new"})

    assert ids(answer) == [2]
    assert desk.shown(answer)["size"] == {None: 1}


def test_few_rows_of_many_are_looked_up_as_far_as_the_page_reaches(
    reader: Reader, engine: sa.Engine
) -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    fill(
        engine,
        *(
            Order(at, state="rare" if at % 40 == 0 else "common", placed=begin + timedelta(days=at))
            for at in range(400)
        ),
    )
    count(engine)
    reader.search("order", tenant=1, filters={"state": "rare"})

    answer = reader.search("order", tenant=1, filters={"state": "rare"}, sort="-placed", limit=3)
    assert ids(answer) == [360, 320, 280]
    looked_up = [step for step in answer.steps if step.where == "postgres"][-1]
    assert "by its rows' keys" in looked_up.what
    assert looked_up.values is not None
    assert len(looked_up.values["page_rows"]) < 8  # type: ignore[arg-type]

    # What is changed after the fold is on the page, or off it, at once.
    put(engine, Order(360, state="common"), Order(1, state="rare", placed=begin + timedelta(999)))
    assert ids(
        reader.search("order", tenant=1, filters={"state": "rare"}, sort="-placed", limit=3)
    ) == [1, 320, 280]


def test_a_filter_that_is_no_union_of_buckets_is_counted_by_sql(
    reader: Reader, engine: sa.Engine
) -> None:
    fill(engine, Order(1, size=Decimal(30)), Order(2, size=Decimal(45)))
    count(engine)
    for _ in range(2):
        answer = reader.search("order", tenant=1, filters={"size": "25..40"})
        assert (ids(answer), answer.total, answer.source) == ([1], 1, "sql")
    assert any("within a bucket" in step.what for step in answer.steps)


@pytest.mark.parametrize("state", ["new", "nothing"])
@pytest.mark.parametrize("what", ["set aside", "capture removed", "bitmaps gone"])
def test_where_bitmaps_cannot_be_trusted_the_rows_are_counted(
    reader: Reader, engine: sa.Engine, migrated: sa.Engine, what: str, state: str
) -> None:
    fill(engine, Order(1, state="new"), Order(2, state="new"))
    count(engine)
    reader.search("order", tenant=1, filters={"state": "new"})
    with database.transaction(migrated) as connection:
        steps = install.removal(connection)
        if what == "set aside":
            sql.run(connection, "UPDATE crm_ops.refresh SET captured = false")
        if what == "bitmaps gone":
            sql.run(connection, "DELETE FROM crm_ops.bitmap_set")
    if what == "capture removed":
        install.apply(migrated, steps)
    with database.transaction(migrated) as connection:
        sql.run(connection, 'DELETE FROM shop."order lines" WHERE id = 2')

    answer = reader.search("order", tenant=1, filters={"state": state})

    expected = [1] if state == "new" else []
    assert (ids(answer), answer.total, answer.source) == (expected, len(expected), "sql")


def test_sets_are_held_up_to_some_bytes_and_never_an_older_one() -> None:
    def held(version: int) -> kept.Held:
        bits = BitMap(range(0, 3000, 3)).serialize()
        found = kept.whole(7, version, [("", None, bits.hex())], [], [("", None, 1000)], [])
        assert found is not None
        return found

    few = kept.Kept(most_bytes=2 * held(1).all_bytes)
    for tenant in ("1", "2"):
        few.put("order", tenant, held(2))
    few.put("order", "1", held(1))
    assert few.get("order", "1") == held(2)
    few.put("order", "3", held(2))
    assert few.get("order", "2") is None
    assert few.get("order", "1") is not None
    few.forget("order", "1")
    assert few.get("order", "1") is None
