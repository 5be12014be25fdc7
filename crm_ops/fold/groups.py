"""Counts groups of aggregates anew in a snapshot, where their changes do not tell the figures.

All groups at once: by an index on the tenant's and a dimension's columns where the CRM has one and
the groups are few, else by one scan of the rows, whichever PostgreSQL holds to be cheaper.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from crm_ops.base import sql
from crm_ops.base.names import AGGREGATE
from crm_ops.catalog.entities import ColumnTenancy
from crm_ops.fold import aggregates, recount, rows, splits

Group = tuple[str, str, Sequence[str | None], str]
"""Aggregate, tenant, dimensions, measured column."""

# Of these types two values are equal where their texts are, and text can be made one of them.
_PLAIN = ("text", "character", "bigint", "integer", "smallint", "uuid", "date", "boolean")


@dataclass(frozen=True)
class _Lead:
    """The dimension number `at`, the column whose value it is, and the column's type."""

    at: int
    column: str
    type_name: str


@dataclass(frozen=True)
class _Part:
    """Groups of one aggregate and measured column that are found in the same way, `near`."""

    aggregate: str
    measured: str
    near: str


def recounted(connection: sa.Connection, counted: rows.Counted, groups: Sequence[Group]) -> None:
    """Make sums and extremes of `groups` equal those of the rows; how many there are is known."""
    for tenants in recount.visible(connection, counted, sorted({group[1] for group in groups})):
        sql.run(connection, *statement(counted, [each for each in groups if each[1] in tenants]))


def statement(counted: rows.Counted, groups: Sequence[Group]) -> tuple[str, Mapping[str, object]]:
    """One UPDATE for all of `groups`, and what it binds."""
    leads = {name: _lead(counted, name) for name in {group[0] for group in groups}}
    parts: dict[_Part, list[Group]] = defaultdict(list)
    for group in groups:
        parts[_part(group, leads[group[0]])].append(group)
    bound: dict[str, object] = {"tenants": sorted({group[1] for group in groups})}
    for at, found in enumerate(parts.values()):
        bound |= _bound(at, found)
    fresh = "\nUNION ALL\n".join(_fresh(counted, part, at) for at, part in enumerate(parts))
    text = f"""
UPDATE {AGGREGATE.quoted} AS stored
SET total = fresh.total, low = fresh.low, high = fresh.high
FROM ({fresh}) AS fresh
WHERE stored.aggregate = fresh.aggregate AND stored.tenant = fresh.tenant
  AND stored.dimensions = fresh.dimensions AND stored.measured = fresh.measured
"""
    return text, bound


def _lead(counted: rows.Counted, aggregate: str) -> _Lead | None:
    """The first dimension that is one value of a column, by which an index may find a group."""
    for at, split in enumerate(_splits(counted, aggregate)):
        type_name = "" if split.value_of is None else counted.types[split.value_of]
        if split.value_of is not None and type_name.startswith(_PLAIN):
            return _Lead(at, f"r.{sql.identifier(split.value_of)}", type_name)
    return None


def _part(group: Group, lead: _Lead | None) -> _Part:
    aggregate, _, dimensions, measured = group
    near = ""
    if lead is not None:
        bucket = dimensions[lead.at]
        if bucket is None:
            near = f" AND {lead.column} IS NULL"
        elif splits.is_whole(bucket):
            near = f" AND {lead.column} = d.k{lead.at}::{lead.type_name}"
    return _Part(aggregate, measured, near)


def _bound(at: int, groups: Sequence[Group]) -> Mapping[str, list[str | None]]:
    """The tenants of the part number `at`, and the buckets of each of its dimensions."""
    columns = zip(*(dimensions for _, _, dimensions, _ in groups), strict=True)
    return {
        f"tenants{at}": [tenant for _, tenant, _, _ in groups],
        **{f"k{at}_{number}": list(column) for number, column in enumerate(columns)},
    }


def _fresh(counted: rows.Counted, part: _Part, at: int) -> str:
    """The figures of the groups of one part, from the rows."""
    found = _splits(counted, part.aggregate)
    keys = [f"k{number}" for number in range(len(found))]
    arrays = [f"%(k{at}_{number})s::text[]" for number in range(len(found))]
    given = ", ".join([f"%(tenants{at})s::text[]{_array(counted)}", *arrays])
    same = " AND ".join(
        _same(split.text(split.key), f"d.{key}") for key, split in zip(keys, found, strict=True)
    )
    value = f"r.{sql.identifier(part.measured)}::numeric"
    edges = f"min({value}) AS low, max({value}) AS high"
    if not aggregates.has_extremes(counted.catalog.aggregates[part.aggregate], part.measured):
        edges = "NULL::numeric AS low, NULL::numeric AS high"
    kept = rows.wanted(counted) if _array(counted) else rows.condition(counted)
    group = ", ".join(["tenant", *keys])
    return f"""
  SELECT {sql.literal(part.aggregate)} AS aggregate, d.tenant::text AS tenant,
         ARRAY[{", ".join(f"d.{key}" for key in keys)}]::text[] AS dimensions,
         {sql.literal(part.measured)} AS measured, sum({value}) AS total, {edges}
  FROM unnest({given}) AS d ({group})
  JOIN {counted.table.quoted} AS r
    ON {rows.tenant_key(counted)} = d.tenant{part.near} AND {same or "true"}
  WHERE {kept}
  GROUP BY {", ".join(f"d.{each}" for each in ("tenant", *keys))}
"""


def _same(bucket: str, wanted: str) -> str:
    """NULL is a bucket; apart from it, equality alone is what a join can be hashed by."""
    return (
        f"coalesce({bucket}, '') = coalesce({wanted}, '')"
        f" AND ({bucket} IS NULL) = ({wanted} IS NULL)"
    )


def _splits(counted: rows.Counted, aggregate: str) -> list[splits.Split]:
    declared = {aggregate: counted.catalog.aggregates[aggregate]}
    return list(aggregates.dimensions(counted, declared).values())


def _array(counted: rows.Counted) -> str:
    """The cast of tenants' names to the type that rows are grouped by, '' for text."""
    tenancy, column = counted.catalog.tenancy, counted.entity.tenant
    if isinstance(tenancy, ColumnTenancy) and column is not None and tenancy.null_tenant is None:
        return f"::{counted.types[column]}[]"
    return ""


__all__ = ["Group", "recounted", "statement"]
