"""The SQL of one page of rows, which begins where the last one ended and reads no row before it.

Rows without a value to be sorted by come last. They are a second part, which is read only where
the first does not fill the page, so that a plain index serves both directions.
"""

from __future__ import annotations

from crm_ops.read.condition import Condition, all_of
from crm_ops.read.cursor import Position
from crm_ops.read.layout import Layout, column
from crm_ops.read.order import Order
from crm_ops.read.question import Question


def columns(layout: Layout) -> list[str]:
    """The columns that a row shows: its key, then what is declared."""
    return list(dict.fromkeys((layout.entity.key, *layout.entity.search.columns)))


def statement(question: Question, *kept: Condition, table: str | None = None) -> Condition:
    """A SELECT of (cells, at_value, at_key): one row more than the limit, if there is one.

    `cells` is a JSON array of texts; `at_value` and `at_key` are the row's place in the order. The
    rows are those that are `kept`, of the entity's table or of the `table` that has the same
    columns. Without a limit no row is read.
    """
    if question.limit == 0:
        return Condition("NULL::json")
    layout, order, after, limit = question.layout, question.order, question.after, question.limit
    rows, table = all_of(kept), table or layout.table
    if order.column == layout.entity.key:
        return _by_key(layout, order, rows, after, limit, table)
    value = column(order.column)
    nullable = order.column not in layout.not_null
    by_value = ""
    if after is None or after.value is not None:
        beyond = "" if after is None else _beyond(layout, order)
        present = f" AND {value} IS NOT NULL" if nullable else ""
        by_value = _part(
            layout, order, f"{rows.text}{present}{beyond}", value, "%(page_limit)s::bigint", table
        )
    bound = {
        **rows.values,
        "page_limit": limit + 1,
        **({} if after is None else {"after_value": after.value, "after_key": after.key}),
    }
    if not nullable:
        return Condition(_shown(f"part_0 AS MATERIALIZED ({by_value})", "part_0", order), bound)
    beyond = _beyond_key(layout, order) if after is not None and after.value is None else ""
    room = f"%(page_limit)s::bigint{' - (SELECT count(*) FROM part_0)' if by_value else ''}"
    without = _part(layout, order, f"{rows.text} AND {value} IS NULL{beyond}", value, room, table)
    parts = [("part_0", by_value)] if by_value else []
    parts.append(("part_1", without))
    union = " UNION ALL ".join(
        f"SELECT {at} AS part, * FROM {name}" for at, (name, _) in enumerate(parts)
    )
    texts = ", ".join(f"{name} AS MATERIALIZED ({text})" for name, text in parts)
    return Condition(_shown(texts, f"({union}) AS parts", order, first="part, "), bound)


def _by_key(
    layout: Layout, order: Order, rows: Condition, after: Position | None, limit: int, table: str
) -> Condition:
    beyond = "" if after is None else _beyond_key(layout, order)
    part = _part(
        layout, order, rows.text + beyond, layout.key, "%(page_limit)s::bigint", table, key=True
    )
    bound = {**rows.values, "page_limit": limit + 1}
    if after is not None:
        bound["after_key"] = after.key
    return Condition(_shown(f"part_0 AS MATERIALIZED ({part})", "part_0", order), bound)


def _part(
    layout: Layout,
    order: Order,
    rows: str,
    value: str,
    limit: str,
    table: str,
    *,
    key: bool = False,
) -> str:
    cells = ", ".join(f"{column(name)}::text" for name in columns(layout))
    by = [value] if key else [value, layout.key]
    ordered = ", ".join(f"{each} {order.direction}" for each in by)
    return (
        f"SELECT json_build_array({cells}) AS cells, {value}::text AS at_value,"
        f" {layout.key}::text AS at_key, {value} AS by_value, {layout.key} AS by_key"
        f" FROM {table} AS r WHERE {rows} ORDER BY {ordered} LIMIT {limit}"
    )


def _shown(parts: str, source: str, order: Order, first: str = "") -> str:
    ordered = f"{first}by_value {order.direction}, by_key {order.direction}"
    row = "json_build_array(cells, at_value, at_key)"
    return f"WITH {parts} SELECT json_agg({row} ORDER BY {ordered}) FROM {source}"


def _beyond(layout: Layout, order: Order) -> str:
    value_type, key_type = layout.type_of(order.column), layout.type_of(layout.entity.key)
    return (
        f" AND ({column(order.column)}, {layout.key}) {order.beyond}"
        f" (%(after_value)s::{value_type}, %(after_key)s::{key_type})"
    )


def _beyond_key(layout: Layout, order: Order) -> str:
    key_type = layout.type_of(layout.entity.key)
    return f" AND {layout.key} {order.beyond} %(after_key)s::{key_type}"


__all__ = ["columns", "statement"]
