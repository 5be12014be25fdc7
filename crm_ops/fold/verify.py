"""Proves stored figures: compares them with a count of the rows in the same snapshot."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from crm_ops.base import database, sql, statements
from crm_ops.base.names import AGGREGATE, FACET_COUNT
from crm_ops.changes import state as changes
from crm_ops.fold import aggregates, bitmap_proof, drain, facets, recount, refresh, rows
from crm_ops.fold.definition import KINDS, Kind


@dataclass(frozen=True)
class Difference:
    """A figure that differs: `served` is what `place` has, None for nothing.

    `place` is "table", "redis" or "bitmaps".

    `bucket` is a facet's, or the dimensions of an aggregate's group and what is measured.
    """

    entity: str
    tenant: str
    place: str
    kind: Kind
    name: str
    bucket: str | None
    served: str | None
    counted: str | None


@dataclass(frozen=True)
class Compared:
    """How many figures of how many tenants were compared, and which differ.

    `unproved` says why nothing could be compared: without captured changes, figures are older than
    the rows by right.
    """

    tenants: tuple[str, ...] = ()
    figures: int = 0
    differences: tuple[Difference, ...] = ()
    unproved: str | None = None


def compare(engine: sa.Engine, counted: rows.Counted, tenants: Sequence[str]) -> Compared:
    """Fold what is pending, then compare; tenants without a difference are noted as proved."""
    wait_s = counted.catalog.limits.statement_timeout_seconds
    locked = refresh.entity_lock(counted)
    still = rows.tables(counted)
    with database.snapshot(engine, locked, wait_s=wait_s, still=still) as connection:
        as_of = recount.prepare(connection, counted)
        state = changes.read(connection, counted.catalog, counted.name)
        if not state.foldable:
            return Compared(unproved=state.unusable or state.spoiled)
        drain.within(connection, counted, state, as_of=as_of)
        known = refresh.captured(connection, counted)
        chosen = [tenant for tenant in tenants if tenant in known]
        figures = 0
        found: list[Difference] = []
        for kind in KINDS:
            for group in recount.visible(connection, counted, chosen):
                rows_ = _compare(connection, counted, kind, group)
                figures += rows_[0].figures if rows_ else 0
                found += _differences(counted.name, kind, rows_)
        for each in bitmap_proof.compare(connection, counted, chosen):
            figures += each.bitmaps
            found += [
                Difference(counted.name, each.tenant, "bitmaps", "facets", *cell)
                for cell in each.cells
            ]
        wrong = {each.tenant for each in found}
        proved = [tenant for tenant in chosen if tenant not in wrong]
        statement = statements.load("crm_ops.fold")["proved"]
        sql.run(connection, statement, entity=counted.name, tenants=proved, as_of=as_of)
    return Compared(tuple(chosen), figures, tuple(found))


def distrust(engine: sa.Engine, counted: rows.Counted, tenants: Sequence[str]) -> None:
    """Say that tenants' figures must be counted anew before they are served again."""
    with database.transaction(engine) as connection:
        statement = statements.load("crm_ops.fold")["distrust"]
        sql.run(connection, statement, entity=counted.name, tenants=list(tenants))


def oldest(
    engine: sa.Engine, counted: rows.Counted, tenants: Sequence[str], count: int
) -> list[str]:
    """Those `count` of `tenants` whose proof is oldest, those never proved first."""
    with database.transaction(engine) as connection:
        statement = statements.load("crm_ops.fold")["oldest_proofs"]
        found = sql.run(
            connection, statement, entity=counted.name, tenants=list(tenants), count=count
        )
        return list(found.scalars())


def _compare(
    connection: sa.Connection, counted: rows.Counted, kind: Kind, tenants: list[str]
) -> list[Any]:
    """Rows of (counted, tenant, name, bucket, figure); the first is about the whole comparison."""
    if kind == "facets":
        fresh = facets.recount(counted)
        key = "tenant, facet AS name, bucket"
        figure, mine = "n::text", "entity = %(entity)s"
        table, others = FACET_COUNT, "true"
    else:
        fresh = aggregates.recount(counted)
        key = "tenant, aggregate AS name, array_to_json(dimensions || measured)::text AS bucket"
        figure = "concat_ws(' / ', n, trim_scale(total), trim_scale(low), trim_scale(high))"
        mine, others = "aggregate = ANY(%(aggregates)s::text[])", "aggregate <> ''"
        table = AGGREGATE
    return list(
        sql.run(
            connection,
            f"""
WITH fresh AS MATERIALIZED (
  SELECT {key}, {figure} AS figure FROM ({fresh}) AS counted WHERE {others}
), stored AS MATERIALIZED (
  SELECT {key}, {figure} AS figure FROM {table.quoted}
  WHERE {mine} AND tenant = ANY(%(tenants)s::text[])
), different AS (
  (SELECT true AS counted, * FROM (TABLE fresh EXCEPT TABLE stored) AS missing)
  UNION ALL
  (SELECT false, * FROM (TABLE stored EXCEPT TABLE fresh) AS unfounded)
)
SELECT totals.figures, different.*
FROM (SELECT count(*) AS figures FROM fresh) AS totals LEFT JOIN different ON true
""",
            entity=counted.name,
            tenants=tenants,
            aggregates=list(aggregates.of_entity(counted)),
        )
    )


def _differences(entity: str, kind: Kind, found: Sequence[Any]) -> list[Difference]:
    cells: dict[tuple[str, str, str | None], dict[bool, str]] = {}
    for row in found:
        if row.tenant is not None:
            cells.setdefault((row.tenant, row.name, row.bucket), {})[row.counted] = row.figure
    return [
        Difference(entity, tenant, "table", kind, name, bucket, sides.get(False), sides.get(True))
        for (tenant, name, bucket), sides in cells.items()
    ]


__all__ = ["Compared", "Difference", "compare", "distrust", "oldest"]
