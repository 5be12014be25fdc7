from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_ops.base import database, sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.changes import install
from crm_ops.fold import rebuild, refresh
from crm_ops.fold.refresh import Refreshed
from crm_ops.fold.rows import Counted
from tests.fold import orders, shop
from tests.fold.shop import Order

EVERYBODY = [*shop.TENANTS, shop.NOBODY]


@pytest.fixture
def engine(migrated: sa.Engine) -> sa.Engine:
    shop.build(migrated)
    apply(migrated, shop.catalog())
    return migrated


def apply(engine: sa.Engine, catalog: Catalog) -> list[install.Step]:
    with database.transaction(engine) as connection:
        steps = install.plan(connection, catalog)
    install.apply(engine, steps)
    return steps


def settle(engine: sa.Engine, counted: Counted | None = None) -> Refreshed:
    """What a run does: fold, then rebuild whoever cannot be folded."""
    of = counted or shop.counted()
    done = refresh.fold(engine, of)
    rebuild.facet_counts(engine, of, refresh.uncaptured(engine, of, EVERYBODY))
    return done


def assert_exact(engine: sa.Engine, rows: list[Order]) -> None:
    assert shop.stored_facet_counts(engine) == shop.facet_counts(rows)
    assert shop.printable(shop.stored_aggregate_figures(engine)) == shop.printable(
        shop.aggregate_figures(rows)
    )


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
    engine: sa.Engine, history: list[tuple[object, ...]]
) -> None:
    shop.fill(engine, [])
    rows: dict[int, Order] = {}
    settle(engine)
    for step in history:
        _take(engine, rows, step)
    settle(engine)

    assert_exact(engine, list(rows.values()))


def _take(engine: sa.Engine, rows: dict[int, Order], step: tuple[object, ...]) -> None:
    match step:
        case ("put", list(given)):
            changed = {id_: replace(order, id=id_) for id_, order in given}
            with database.transaction(engine) as connection:
                shop.put(connection, changed.values())
            rows |= changed
        case ("undo", list(given)):
            with database.transaction(engine, keep=False) as connection:
                shop.put(connection, [replace(order, id=id_) for id_, order in given])
        case ("delete", int(each)):
            _run(engine, 'DELETE FROM shop."order lines" WHERE id %% %(each)s = 0', each=each)
            _run(engine, "DELETE FROM shop.order_tag WHERE order_id %% %(each)s = 0", each=each)
            for id_ in [id_ for id_ in rows if id_ % each == 0]:
                del rows[id_]
        case ("move", int(each), company):
            _set(engine, "company_id", each, company)
            _change(rows, each, company=company)
        case ("soft delete", int(each)):
            _set(engine, "deleted_at", each, "2026-01-01")
            _change(rows, each, deleted=True)
        case ("resize", int(each), size):
            _set(engine, "size", each, size)
            _change(rows, each, size=size)
        case ("tag", int(id_), tuple(tags)):
            _run(engine, "DELETE FROM shop.order_tag WHERE order_id = %(id)s", id=id_)
            for tag in tags:
                _run(engine, "INSERT INTO shop.order_tag VALUES (%(id)s, %(t)s)", id=id_, t=tag)
            if id_ in rows:
                rows[id_] = replace(rows[id_], tags=tags)
            else:
                _run(engine, "DELETE FROM shop.order_tag WHERE order_id = %(id)s", id=id_)
        case ("truncate",):
            _run(engine, 'TRUNCATE shop."order lines"')
            _run(engine, "TRUNCATE shop.order_tag")
            rows.clear()
        case ("fold",):
            refresh.fold(engine, shop.counted())
        case ("settle",):
            settle(engine)
        case ("rebuild", list(tenants)):
            rebuild.facet_counts(engine, shop.counted(), [str(each) for each in tenants])
        case _:
            raise AssertionError(step)


def _run(engine: sa.Engine, text: str, **values: object) -> None:
    with database.transaction(engine) as connection:
        sql.run(connection, text, values)


def _set(engine: sa.Engine, column: str, each: int, value: object) -> None:
    _run(
        engine,
        f'UPDATE shop."order lines" SET {column} = %(value)s WHERE id %% %(each)s = 0',
        value=value,
        each=each,
    )


def _change(rows: dict[int, Order], each: int, **changes: object) -> None:
    for id_ in [id_ for id_ in rows if id_ % each == 0]:
        rows[id_] = shop.moved(rows[id_], **changes)


def changed(entity: Mapping[str, object], **aggregates: object) -> Catalog:
    """The shop's catalog with other facets."""
    whole = shop.catalog().model_dump(mode="json", by_alias=True)
    whole["entities"]["order"]["facets"] |= entity
    whole["entities"]["order"]["facets"] = {
        name: facet for name, facet in whole["entities"]["order"]["facets"].items() if facet
    }
    whole["aggregates"] |= aggregates
    whole["aggregates"] = {name: each for name, each in whole["aggregates"].items() if each}
    return Catalog.model_validate(whole)
