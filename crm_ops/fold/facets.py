"""The SQL of facet counts: a count of the rows from scratch, and what a batch of changes changes.

A pure function of the catalog and the column types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from crm_ops.base import sql
from crm_ops.catalog.facets import LinkFacet, SingleValued
from crm_ops.fold import links, planning, rows, splits

# GROUPING() takes at most 31 arguments; of changes all facets are counted in one pass.
_MOST = 30
# Of rows so many are, that PostgreSQL may share the passes out among parallel workers, which it
# cannot do with one pass.
_AT_ONCE = 4


def recount(counted: rows.Counted) -> str:
    """One SELECT: (tenant, facet, bucket, n) of the tenants bound as `tenants`, from scratch.

    The facet '' has the total in its bucket NULL.
    """
    linked = [links.recount(counted, name, facet) for name, facet in links.of_entity(counted)]
    return "\nUNION ALL\n".join([*_scans(counted, rows.stored(counted), _AT_ONCE), *linked])


def changes(counted: rows.Counted, dimensions: Mapping[str, SingleValued]) -> str:
    """One SELECT: (tenant, facet, bucket, n) by which the changes in the logs change the counts.

    Rows are counted by `dimensions` in the same pass, as if they were facets.
    """
    linked = [links.changes(counted, name, facet) for name, facet in links.of_entity(counted)]
    scans = _scans(counted, rows.changes(counted), _MOST, dimensions)
    return "\nUNION ALL\n".join([*scans, *linked])


def _scans(
    counted: rows.Counted,
    source: rows.Source,
    most: int,
    dimensions: Mapping[str, SingleValued] = MappingProxyType({}),
) -> list[str]:
    single = [
        splits.make(name, facet, counted.types, counted.catalog.time_zone)
        for name, facet in {**counted.entity.facets, **dimensions}.items()
        if not isinstance(facet, LinkFacet)
    ]
    chunks = [single[at : at + most] for at in range(0, len(single), most)] or [[]]
    return [_scan(counted, source, chunk, total=at == 0) for at, chunk in enumerate(chunks)]


def _scan(
    counted: rows.Counted, source: rows.Source, chunk: Sequence[splits.Split], *, total: bool
) -> str:
    """One pass over the rows for up to 30 facets, each a grouping set of its own."""
    keys = [f"f{number}" for number in range(len(chunk))]
    columns = ", ".join(
        [f"{rows.tenant_key(counted)} AS tenant"]
        + [f"{split.key} AS {key}" for split, key in zip(chunk, keys, strict=True)]
        + list(source.column())
    )
    sets = ", ".join((["(tenant)"] if total else []) + [f"(tenant, {key})" for key in keys])
    everything = (1 << len(keys)) - 1
    # GROUPING()'s bits: the first key's is the highest, and 0 where a row is grouped by the key.
    masks = [everything ^ (1 << (len(keys) - 1 - at)) for at in range(len(keys))]
    grouping = f"GROUPING({', '.join(keys)})" if keys else "0"
    names = {str(mask): sql.literal(split.name) for mask, split in zip(masks, chunk, strict=True)}
    texts = {
        str(mask): split.text(key) for mask, split, key in zip(masks, chunk, keys, strict=True)
    }
    return f"""
  SELECT tenant::text AS tenant, {sql.choose("g", names, "''")} AS facet,
         {sql.choose("g", texts, "NULL")} AS bucket, n
  FROM (
    SELECT {", ".join(["tenant", *keys])}, {grouping} AS g, {source.count()} AS n
    FROM (
      {planning.APART}
      SELECT {columns} FROM {source.relation} AS r WHERE {source.condition}
    ) AS source
    GROUP BY GROUPING SETS ({sets}){source.having()}
  ) AS grouped
"""


__all__ = ["changes", "recount"]
