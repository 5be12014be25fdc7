from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_ops.base import database, errors, sql
from crm_ops.fold import rebuild, refresh, verify
from tests.fold import orders, shop
from tests.fold.capturing import EVERYBODY, apply, assert_exact, changed, run, settle
from tests.fold.shop import Order


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    shop.build(migrated)
    apply(migrated, shop.catalog())
    return migrated


def test_a_fold_applies_each_change_once(engine: sa.Engine) -> None:
    settle(engine)
    with database.transaction(engine) as connection:
        shop.put(connection, [Order(1, state="new"), Order(2, state="new"), Order(3, 2)])

    first, second = settle(engine), settle(engine)

    assert (first.drained.changes, first.drained.tenants) == (3, ("1", "2"))
    assert (second.drained.changes, second.drained.tenants) == (0, ())
    assert_exact(engine, [Order(1, state="new"), Order(2, state="new"), Order(3, 2)])


steps = st.one_of(
    st.tuples(st.just("put"), st.lists(st.tuples(st.integers(0, 30), orders.orders), max_size=8)),
    st.tuples(st.just("undo"), st.lists(st.tuples(st.integers(0, 30), orders.orders), max_size=4)),
    st.tuples(st.just("delete"), st.integers(2, 5)),
    st.tuples(st.just("move"), st.integers(2, 5), orders.companies),
    st.tuples(st.just("soft delete"), st.integers(2, 5)),
    st.tuples(st.just("resize"), st.integers(2, 5), orders.sizes),
    st.tuples(st.just("tag"), st.integers(0, 30), orders.tags),
    st.tuples(st.just("fold")),
    st.tuples(st.just("settle")),
    st.tuples(st.just("rebuild"), st.lists(st.sampled_from(EVERYBODY), max_size=3, unique=True)),
    st.tuples(st.just("truncate")),
)


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(history=st.lists(steps, max_size=12))
def test_folding_any_history_equals_counting_from_scratch(
    engine: sa.Engine, history: list[tuple[Any, ...]]
) -> None:
    shop.fill(engine, [])
    rows: dict[int, Order] = {}
    settle(engine)
    for step in history:
        _take(engine, rows, step)
    settle(engine)

    assert_exact(engine, list(rows.values()))


def _take(engine: sa.Engine, rows: dict[int, Order], step: tuple[Any, ...]) -> None:
    """Do one step to the shop, and to the rows as they should be after it."""
    what, *given_ = step
    _STEPS[what](engine, rows, *given_)


def _put(engine: sa.Engine, rows: dict[int, Order], given_: list[tuple[int, Order]]) -> None:
    changed = {id_: replace(order, id=id_) for id_, order in given_}
    with database.transaction(engine) as connection:
        shop.put(connection, changed.values())
    rows |= changed


def _undo(engine: sa.Engine, rows: dict[int, Order], given_: list[tuple[int, Order]]) -> None:
    with database.transaction(engine, keep=False) as connection:
        shop.put(connection, [replace(order, id=id_) for id_, order in given_])


def _delete(engine: sa.Engine, rows: dict[int, Order], each: int) -> None:
    run(engine, 'DELETE FROM shop."order lines" WHERE id %% %(each)s = 0', each=each)
    run(engine, "DELETE FROM shop.order_tag WHERE order_id %% %(each)s = 0", each=each)
    for id_ in [id_ for id_ in rows if id_ % each == 0]:
        del rows[id_]


def _move(engine: sa.Engine, rows: dict[int, Order], each: int, company: int | None) -> None:
    _set(engine, "company_id", each, company)
    _change(rows, each, company=company)


def _soft_delete(engine: sa.Engine, rows: dict[int, Order], each: int) -> None:
    _set(engine, "deleted_at", each, "2026-01-01")
    _change(rows, each, deleted=True)


def _resize(engine: sa.Engine, rows: dict[int, Order], each: int, size: Decimal | None) -> None:
    _set(engine, "size", each, size)
    _change(rows, each, size=size)


def _tag(engine: sa.Engine, rows: dict[int, Order], id_: int, tags: tuple[str, ...]) -> None:
    run(engine, "DELETE FROM shop.order_tag WHERE order_id = %(id)s", id=id_)
    for tag in tags if id_ in rows else ():
        run(engine, "INSERT INTO shop.order_tag VALUES (%(id)s, %(t)s)", id=id_, t=tag)
    if id_ in rows:
        rows[id_] = replace(rows[id_], tags=tags)


def _truncate(engine: sa.Engine, rows: dict[int, Order]) -> None:
    run(engine, 'TRUNCATE shop."order lines"')
    run(engine, "TRUNCATE shop.order_tag")
    rows.clear()


_STEPS: dict[str, Callable[..., object]] = {
    "put": _put,
    "undo": _undo,
    "delete": _delete,
    "move": _move,
    "soft delete": _soft_delete,
    "resize": _resize,
    "tag": _tag,
    "truncate": _truncate,
    "fold": lambda engine, _rows: refresh.fold(engine, shop.counted()),
    "settle": lambda engine, _rows: settle(engine),
    "rebuild": lambda engine, _rows, tenants: rebuild.facet_counts(engine, shop.counted(), tenants),
}


def _set(engine: sa.Engine, column: str, each: int, value: object) -> None:
    run(
        engine,
        f'UPDATE shop."order lines" SET {column} = %(value)s WHERE id %% %(each)s = 0',
        value=value,
        each=each,
    )


def _change(rows: dict[int, Order], each: int, **changes: object) -> None:
    for id_ in [id_ for id_ in rows if id_ % each == 0]:
        rows[id_] = shop.moved(rows[id_], **changes)


def test_a_row_that_moves_to_another_tenant_leaves_the_first(engine: sa.Engine) -> None:
    shop.fill(engine, [Order(1, 1, state="new", size=Decimal(5), tags=("hot",))])
    settle(engine)
    run(engine, 'UPDATE shop."order lines" SET company_id = 2')

    done = settle(engine)

    assert done.drained.tenants == ("1", "2")
    assert_exact(engine, [Order(1, 2, state="new", size=Decimal(5), tags=("hot",))])


def test_an_extreme_that_goes_is_counted_anew(engine: sa.Engine) -> None:
    sizes = [Decimal(5), Decimal(7), Decimal("NaN"), None]
    rows = [Order(at, size=size) for at, size in enumerate(sizes)]
    shop.fill(engine, rows)
    settle(engine)
    run(engine, 'DELETE FROM shop."order lines" WHERE id IN (0, 2)')

    done = settle(engine)

    assert done.drained.recounted == 1
    assert_exact(engine, [rows[1], rows[3]])


def test_a_truncated_table_is_counted_anew_not_folded(engine: sa.Engine) -> None:
    shop.fill(engine, [Order(1)])
    settle(engine)
    run(engine, 'TRUNCATE shop."order lines"')

    done = settle(engine)

    assert done.set_aside is not None
    assert "was truncated" in done.set_aside
    assert_exact(engine, [])


@pytest.mark.parametrize("again", ["ENABLE TRIGGER ALL", "SET (fillfactor = 90)"])
def test_triggers_that_were_switched_off_for_a_while_are_noticed(
    engine: sa.Engine, again: str
) -> None:
    settle(engine)
    run(engine, 'ALTER TABLE shop."order lines" DISABLE TRIGGER ALL')
    with database.transaction(engine) as connection:
        shop.put(connection, [Order(1)])
    run(engine, f'ALTER TABLE shop."order lines" {again}')

    done = settle(engine)

    assert done.set_aside or done.unusable
    rebuild.facet_counts(engine, shop.counted(), EVERYBODY)
    assert shop.stored_facet_counts(engine) == shop.facet_counts([Order(1)])


def test_a_rewritten_table_is_counted_anew(engine: sa.Engine) -> None:
    shop.fill(engine, [Order(1, size=Decimal(10))])
    settle(engine)
    run(engine, 'ALTER TABLE shop."order lines" ALTER COLUMN size TYPE numeric USING size * 2')

    settle(engine)

    assert_exact(engine, [Order(1, size=Decimal(20))])


def test_figures_that_contradict_themselves_are_repaired_and_told(
    engine: sa.Engine, caplog: pytest.LogCaptureFixture
) -> None:
    shop.fill(engine, [Order(1), Order(2)])
    settle(engine)
    run(engine, "UPDATE crm_ops.facet_count SET n = 7 WHERE facet = 'state'")
    with database.transaction(engine) as connection:
        shop.put(connection, [Order(3)])

    done = settle(engine)

    assert done.drained.repairs == ("1",)
    assert "state has 8 of 3 rows" in caplog.text
    assert_exact(engine, [Order(1), Order(2), Order(3)])


def test_a_new_facet_is_built_alone_beside_pending_changes(engine: sa.Engine) -> None:
    shop.fill(engine, [Order(1, state="new"), Order(2, state="new")])
    settle(engine)
    with database.transaction(engine) as connection:
        shop.put(connection, [Order(3, state="won")])
    more = changed(
        {"due": {"kind": "date", "column": "due", "bucket": "year"}, "color": None},
        {"all_orders": None},
    )
    apply(engine, more)
    run(engine, """UPDATE shop."order lines" SET due = '2026-05-01' WHERE id = 1""")

    done = settle(engine, shop.counted(more))

    assert done.set_aside is None
    assert refresh.uncaptured(engine, shop.counted(more), EVERYBODY) == []
    found = shop.stored_facet_counts(engine)
    assert {b: n for (_, facet, b), n in found.items() if facet == "due"} == {"2026": 1, None: 2}
    assert {b: n for (_, facet, b), n in found.items() if facet == "state"} == {"new": 2, "won": 1}
    assert not [1 for _, facet, _ in found if facet == "color"]
    assert not [1 for name, *_ in shop.stored_aggregate_figures(engine) if name == "all_orders"]


def test_a_changed_filter_builds_every_facet_anew(engine: sa.Engine) -> None:
    shop.fill(engine, [Order(1), Order(2, deleted=True)])
    settle(engine)
    catalog = changed({})
    entity = catalog.entities["order"].model_copy(update={"where": {}})
    catalog = catalog.model_copy(update={"entities": {"order": entity}})
    apply(engine, catalog)

    settle(engine, shop.counted(catalog))

    assert_exact(engine, [Order(1), Order(2)])


def test_a_facet_with_too_many_values_fails_its_tenant_by_name(engine: sa.Engine) -> None:
    limited = shop.counted(shop.catalog(limits={"distinct_values_per_facet": 3}))
    settle(engine, limited)
    with database.transaction(engine) as connection:
        shop.put(connection, [Order(at, 1, state=f"s{at}") for at in range(4)] + [Order(9, 2)])

    done = refresh.fold(engine, limited)
    failed = rebuild.facet_counts(engine, limited, refresh.uncaptured(engine, limited, ["1", "2"]))

    assert done.drained.distrusted == ("1",)
    assert "order.state has 4 distinct values" in failed.failures["1"]


def test_a_fold_beside_writers_and_other_folds_is_exact_in_the_end(engine: sa.Engine) -> None:
    settle(engine)
    stop = threading.Event()
    failures: list[Exception] = []

    def write(worker: int) -> None:
        at = worker
        with database.transaction(engine) as connection:
            pass
        while not stop.is_set():
            at += 10
            with database.transaction(engine, keep=at % 3 != 0) as connection:
                shop.put(connection, [Order(at, 1 + at % 3, state=f"s{at % 4}", tags=("hot",))])
                sql.run(
                    connection,
                    'UPDATE shop."order lines" SET company_id = 1 + (id + 1) %% 3, size = id'
                    " WHERE id = %(id)s",
                    id=at - 10 * (at % 4),
                )

    def count(what: Callable[[], object]) -> None:
        try:
            for _ in range(8):
                what()
        except errors.CrmOpsError as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(each,)) for each in range(3)]
    counters = [
        threading.Thread(target=count, args=(what,))
        for what in (
            lambda: refresh.fold(engine, shop.counted()),
            lambda: settle(engine),
            lambda: rebuild.aggregate_figures(engine, shop.counted(), ["1", "3"]),
        )
    ]
    for thread in (*writers, *counters):
        thread.start()
    for thread in counters:
        thread.join()
    stop.set()
    for thread in writers:
        thread.join()

    assert failures == []
    settle(engine)
    assert verify.compare(engine, shop.counted(), EVERYBODY).differences == ()
    assert verify.compare(engine, shop.counted(), EVERYBODY).figures > 20


@pytest.mark.parametrize(
    "where",
    [
        "facet_count SET n = n + 1 WHERE facet = 'tag'",
        "aggregate SET total = total + 1 WHERE measured = 'size'",
    ],
)
def test_verify_lists_the_cells_that_differ(engine: sa.Engine, where: str) -> None:
    shop.fill(engine, [Order(1, size=Decimal(4), tags=("hot",)), Order(2, 2)])
    settle(engine)
    assert verify.compare(engine, shop.counted(), EVERYBODY).differences == ()
    run(engine, f"UPDATE crm_ops.{where} AND tenant = '1'")

    found = verify.compare(engine, shop.counted(), EVERYBODY)

    assert found.differences
    assert {(each.tenant, each.place) for each in found.differences} == {("1", "table")}
    assert all(each.served != each.counted for each in found.differences)


def test_a_value_of_zero_that_was_none_is_a_value(engine: sa.Engine) -> None:
    plain = changed({}, {"by_state": None})
    apply(engine, plain)
    shop.fill(engine, [Order(1), Order(2, size=Decimal(4))])
    settle(engine, shop.counted(plain))
    run(engine, 'UPDATE shop."order lines" SET size = 0 WHERE id = 1')

    settle(engine, shop.counted(plain))

    assert verify.compare(engine, shop.counted(plain), EVERYBODY).differences == ()
