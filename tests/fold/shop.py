"""A small CRM of every kind of facet, filled with any rows, its figures counted in plain Python.

Nothing here shares code with the library: what the library serves is compared with this.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal
from hashlib import md5
from itertools import islice
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from pyroaring import BitMap

from crm_ops.base import database, sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.fold.rows import Counted

ZONE = "Asia/Kolkata"
BOUNDS = [0, 25, Decimal("62.5"), 100]
LABELS = ["..0", "0..25", "25..62.5", "62.5..100", "100.."]
TENANTS = ["1", "2", "3"]
NOBODY = "nobody"

_DDL = """
CREATE SCHEMA shop;
CREATE TABLE shop.company (id bigint PRIMARY KEY, closed boolean NOT NULL DEFAULT false);
CREATE TABLE shop.person (id bigint PRIMARY KEY, name text);
CREATE TABLE shop."order lines" (
    id bigint PRIMARY KEY, company_id bigint, "state %%" text, size numeric, person_id bigint,
    placed timestamptz, due date, info jsonb, deleted_at timestamptz, currency text);
CREATE TABLE shop.order_tag (order_id bigint NOT NULL, tag text NOT NULL);
INSERT INTO shop.company (id) VALUES (1), (2), (3);
"""


@dataclass(frozen=True)
class Order:
    """One row of the counted table, and its tags."""

    id: int
    company: int | None = 1
    state: str | None = None
    size: Decimal | None = None
    person: int | None = None
    placed: datetime | None = None
    color: str | None = None
    deleted: bool = False
    currency: str | None = None
    tags: tuple[str, ...] = ()


def catalog(**changed: object) -> Catalog:
    """The catalog of the shop; `changed` replaces top-level parts."""
    timing = {
        "schedule": "0 2 * * *",
        "deadline_minutes": 1,
        "timeout_minutes": 1,
        "pool": "workflow_cpu",
    }
    names = ("precompute_facets", "precompute_aggregates", "audit_maintenance", "warm_caches")
    return Catalog.model_validate(
        {
            "version": 1,
            "time_zone": ZONE,
            "tenancy": {"mode": "column", "table": "shop.company", "null_tenant": NOBODY},
            "entities": {
                "order": {
                    "table": 'shop."order lines"',
                    "tenant": "company_id",
                    "where": {"deleted_at": None},
                    "facets": {
                        "state": {"column": "state %"},
                        "size": {"kind": "ranges", "column": "size", "bounds": BOUNDS},
                        "exact_size": {"column": "size"},
                        "person": {
                            "kind": "lookup",
                            "column": "person_id",
                            "table": "shop.person",
                            "label": "name",
                        },
                        "month": {"kind": "date", "column": "placed", "bucket": "month"},
                        "color": {"kind": "json", "column": "info", "path": ["paint", "color"]},
                        "tag": {
                            "kind": "link",
                            "table": "shop.order_tag",
                            "parent": "order_id",
                            "column": "tag",
                        },
                    },
                    "dimensions": {"day": {"kind": "date", "column": "placed", "bucket": "day"}},
                }
            },
            "aggregates": {
                "by_state": {
                    "entity": "order",
                    "by": ["state"],
                    "currency": "currency",
                    "measures": {
                        "orders": {"count": "rows"},
                        "volume": {"sum": "size"},
                        "smallest": {"min": "size"},
                        "largest": {"max": "size"},
                    },
                },
                "by_day_and_state": {
                    "entity": "order",
                    "by": ["day", "state"],
                    "measures": {"average": {"avg": "size"}},
                },
                "all_orders": {"entity": "order", "measures": {"orders": {"count": "rows"}}},
            },
            "limits": {"bitmaps_from_rows": 1},
            "jobs": dict.fromkeys(names, timing),
            **changed,
        }
    )


TYPES = {
    "id": "bigint",
    "company_id": "bigint",
    "state %": "text",
    "size": "numeric",
    "person_id": "bigint",
    "placed": "timestamp with time zone",
    "due": "date",
    "info": "jsonb",
    "deleted_at": "timestamp with time zone",
    "currency": "text",
}


def counted(of: Catalog | None = None) -> Counted:
    """The shop's entity as the fold takes it."""
    return Counted(of or catalog(), "order", TYPES)


def build(engine: sa.Engine) -> None:
    """Create the empty shop."""
    with database.transaction(engine) as connection:
        for statement in _DDL.split(";"):
            if statement.strip():
                sql.run(connection, statement)


def fill(engine: sa.Engine, orders: Iterable[Order]) -> None:
    """Replace the shop's orders."""
    with database.transaction(engine) as connection:
        sql.run(connection, 'DELETE FROM shop."order lines"')
        sql.run(connection, "DELETE FROM shop.order_tag")
        put(connection, orders)


def put(connection: sa.Connection, orders: Iterable[Order]) -> None:
    """Insert orders, or replace those that are there; and their tags."""
    for order in orders:
        sql.run(
            connection,
            'INSERT INTO shop."order lines" VALUES (%(id)s, %(company)s, %(state)s, %(size)s,'
            " %(person)s, %(placed)s, NULL, %(info)s::jsonb, %(deleted)s, %(currency)s)"
            " ON CONFLICT (id) DO UPDATE SET company_id = excluded.company_id,"
            ' "state %%" = excluded."state %%", size = excluded.size,'
            " person_id = excluded.person_id, placed = excluded.placed, info = excluded.info,"
            " deleted_at = excluded.deleted_at, currency = excluded.currency",
            id=order.id,
            company=order.company,
            state=order.state,
            size=order.size,
            person=order.person,
            placed=order.placed,
            info=json.dumps({"paint": {"color": order.color}}),
            deleted=datetime(2026, 1, 1, tzinfo=UTC) if order.deleted else None,
            currency=order.currency,
        )
        sql.run(connection, "DELETE FROM shop.order_tag WHERE order_id = %(id)s", id=order.id)
        for tag in order.tags:
            sql.run(
                connection,
                "INSERT INTO shop.order_tag VALUES (%(id)s, %(tag)s)",
                id=order.id,
                tag=tag,
            )


Count = tuple[str, str, str | None]


def facet_counts(orders: Iterable[Order]) -> dict[Count, int]:
    """(tenant, facet, bucket) -> rows, in plain Python."""
    return {bucket: len(ids) for bucket, ids in facet_rows(orders).items()}


def facet_rows(orders: Iterable[Order]) -> dict[Count, set[int]]:
    """(tenant, facet, bucket) -> the ids of its rows, in plain Python."""
    found: dict[Count, set[int]] = defaultdict(set)
    for order in orders:
        if order.deleted:
            continue
        tenant = NOBODY if order.company is None else str(order.company)
        month = None if order.placed is None else _local(order.placed).strftime("%Y-%m")
        for facet, bucket in (
            ("", None),
            ("state", _clipped(order.state)),
            ("size", _range(order.size)),
            ("exact_size", _plain(order.size)),
            ("person", None if order.person is None else str(order.person)),
            ("month", month),
            ("color", _clipped(order.color)),
            *(("tag", _clipped(tag)) for tag in set(order.tags)),
        ):
            found[tenant, facet, bucket].add(order.id)
    return dict(found)


Group = tuple[str, str, tuple[str | None, ...], str]
Figures = tuple[int, Decimal | None, Decimal | None, Decimal | None]


def aggregate_figures(orders: Iterable[Order]) -> dict[Group, Figures]:
    """(aggregate, tenant, dimensions, measured) -> (n, total, low, high), in plain Python."""
    groups: dict[tuple[str, str, tuple[str | None, ...]], list[Order]] = defaultdict(list)
    for order in orders:
        if order.deleted:
            continue
        tenant = NOBODY if order.company is None else str(order.company)
        state = _clipped(order.state)
        day = None if order.placed is None else _local(order.placed).strftime("%Y-%m-%d")
        groups["by_state", tenant, (state, _clipped(order.currency))].append(order)
        groups["by_day_and_state", tenant, (day, state)].append(order)
        groups["all_orders", tenant, ()].append(order)
    found: dict[Group, Figures] = {}
    for (aggregate, tenant, dimensions), members in groups.items():
        found[aggregate, tenant, dimensions, ""] = (len(members), None, None, None)
        if aggregate == "all_orders":
            continue
        sizes = [order.size for order in members if order.size is not None]
        extremes = aggregate == "by_state"
        found[aggregate, tenant, dimensions, "size"] = (
            len(sizes),
            _sum(sizes),
            _least(sizes) if extremes else None,
            _greatest(sizes) if extremes else None,
        )
    return found


def stored_facet_counts(engine: sa.Engine) -> dict[Count, int]:
    """What the library stored."""
    with database.transaction(engine) as connection:
        rows = sql.run(connection, "SELECT tenant, facet, bucket, n FROM crm_ops.facet_count")
        return {(row.tenant, row.facet, row.bucket): row.n for row in rows}


def stored_facet_rows(engine: sa.Engine) -> dict[Count, set[int]]:
    """The ids of the rows that the library's bitmaps hold."""
    found: dict[Count, set[int]] = {}
    with database.transaction(engine) as connection:
        keys = {
            (row.set_id, row.position): int(row.key)
            for row in sql.run(connection, "SELECT * FROM crm_ops.bitmap_position")
        }
        sets = sql.run(connection, "SELECT id, tenant FROM crm_ops.bitmap_set").all()
        changes = sql.run(
            connection,
            "SELECT change.* FROM crm_ops.bitmap_change AS change"
            " JOIN crm_ops.bitmap_set ON id = set_id AND change.version > compacted"
            " ORDER BY change.version",
        ).all()
        whole = sql.run(connection, "SELECT set_id, facet, bucket, bits FROM crm_ops.bitmap").all()
    for each in sets:
        places = {(row.facet, row.bucket): set(BitMap.deserialize(row.bits))
                  for row in whole if row.set_id == each.id}  # fmt: skip
        for change in (row for row in changes if row.set_id == each.id):
            went, came = iter(change.went), iter(change.came)
            for bucket, gone, come in zip(
                change.buckets, change.went_n, change.came_n, strict=True
            ):
                rows = places.setdefault((change.facet, bucket), set())
                out, into = set(islice(went, gone)), set(islice(came, come))
                assert (len(out), len(into)) == (gone, come)
                assert not out & into
                assert out <= rows
                assert not into & rows
                rows -= out
                rows |= into
            assert (*went, *came) == ()
        for (facet, bucket), rows in places.items():
            if rows:
                found[each.tenant, facet, bucket] = {keys[each.id, at] for at in rows}
    assert len(keys) == sum(len(ids) for (_, facet, _), ids in found.items() if not facet)
    return found


def stored_aggregate_figures(engine: sa.Engine) -> dict[Group, Figures]:
    """What the library stored; NaN stands as None would not: it is compared by `same`."""
    with database.transaction(engine) as connection:
        rows = sql.run(connection, "SELECT * FROM crm_ops.aggregate")
        return {
            (row.aggregate, row.tenant, tuple(row.dimensions), row.measured): (
                row.n,
                row.total,
                row.low,
                row.high,
            )
            for row in rows
        }


def printable(figures: dict[Group, Figures]) -> dict[Group, tuple[str, ...]]:
    """Figures as texts, so that NaN equals NaN and 1.0 equals 1."""
    return {
        group: tuple("-" if each is None else str(Decimal(each).normalize()) for each in values)
        for group, values in figures.items()
    }


def _local(moment: datetime) -> datetime:
    return moment.astimezone(ZoneInfo(ZONE))


def _range(size: Decimal | None) -> str | None:
    if size is None:
        return None
    return LABELS[-1] if size.is_nan() else LABELS[bisect_right(BOUNDS, size)]


def _plain(size: Decimal | None) -> str | None:
    if size is None or not size.is_finite():
        return None if size is None else {"NaN": "NaN", "Infinity": "Infinity"}[str(size)]
    text = f"{size:f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-0", "0", text == "-0")


def _clipped(text: str | None) -> str | None:
    if text is None or len(text.encode()) <= 200:
        return text
    return f"{text[:120]}…{md5(text.encode()).hexdigest()}"


def _sum(sizes: Sequence[Decimal]) -> Decimal | None:
    return sum(sizes, Decimal(0)) if sizes else None


# PostgreSQL orders NaN above everything.
def _least(sizes: Sequence[Decimal]) -> Decimal | None:
    numbers = [size for size in sizes if not size.is_nan()]
    return min(numbers) if numbers else (sizes[0] if sizes else None)


def _greatest(sizes: Sequence[Decimal]) -> Decimal | None:
    if any(size.is_nan() for size in sizes):
        return Decimal("NaN")
    return max(sizes) if sizes else None


def moved(order: Order, **changes: object) -> Order:
    """An order with some fields changed."""
    return replace(order, **changes)  # type: ignore[arg-type]
