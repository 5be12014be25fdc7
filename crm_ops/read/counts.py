"""The SQL of all facets' counts under filters, each facet's own filter left out of its own counts.

The rows that all filters keep are read once for the facets that are not filtered (one grouping set
each) and for the total. Each filtered facet is counted over the rows that the other filters keep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from crm_ops.base import sql
from crm_ops.base.names import FACET_COUNT
from crm_ops.catalog.facets import LinkFacet, SingleValued
from crm_ops.fold import splits
from crm_ops.read import labels
from crm_ops.read.condition import Condition, all_of
from crm_ops.read.layout import Layout

# GROUPING() takes at most 31 arguments.
_MOST = 30


def live(layout: Layout, rows: Condition, filters: Mapping[str, Condition]) -> Condition:
    """A SELECT of one JSON array of [facet, bucket, label, n]; the facet '' has the total.

    `rows` are the tenant's, with whatever else than a facet's filter keeps them.
    """
    everything = all_of([rows, *filters.values()])
    facets = layout.entity.facets
    free = [
        splits.make(name, facet, layout.counted.types, layout.counted.catalog.time_zone)
        for name, facet in facets.items()
        if name not in filters and not isinstance(facet, LinkFacet)
    ]
    chunks = [free[at : at + _MOST] for at in range(0, len(free), _MOST)] or [[]]
    parts = [_scan(layout, everything, chunk, total=at == 0) for at, chunk in enumerate(chunks)]
    for name, facet in facets.items():
        others = all_of([rows, *(test for other, test in filters.items() if other != name)])
        if isinstance(facet, LinkFacet):
            parts.append(_link(layout, name, facet, others))
        elif name in filters:
            parts.append(_sideways(layout, name, facet, others))
    return Condition(_listed(layout, "\nUNION ALL\n".join(parts)), everything.values)


def stored(layout: Layout) -> str:
    """The same of the counts in our table, for the texts `stored_entity` and `stored_tenant`."""
    return _listed(
        layout,
        f"SELECT facet, bucket, n FROM {FACET_COUNT.quoted}"
        " WHERE entity = %(stored_entity)s AND tenant = %(stored_tenant)s AND facet <> ''",
    )


def _listed(layout: Layout, counted: str) -> str:
    shown = labels.of_facets(layout, "counted.facet", "counted.bucket")
    return f"""
SELECT coalesce(json_agg(json_build_array(facet, bucket, {shown}, n)), '[]')
FROM (
{counted}
) AS counted
"""


def _scan(layout: Layout, rows: Condition, chunk: Sequence[splits.Split], *, total: bool) -> str:
    keys = [f"f{number}" for number in range(len(chunk))]
    columns = [f"{split.key} AS {key}" for split, key in zip(chunk, keys, strict=True)]
    sets = ", ".join((["()"] if total else []) + [f"({key})" for key in keys])
    everything = (1 << len(keys)) - 1
    # GROUPING()'s bits: the first key's is the highest, and 0 where a row is grouped by the key.
    masks = [everything ^ (1 << (len(keys) - 1 - at)) for at in range(len(keys))]
    grouping = f"GROUPING({', '.join(keys)})" if keys else "0"
    names = {str(mask): sql.literal(split.name) for mask, split in zip(masks, chunk, strict=True)}
    texts = {
        str(mask): split.text(key) for mask, split, key in zip(masks, chunk, keys, strict=True)
    }
    # OFFSET 0 hides from the planner what the keys are made of: it takes most of them for unique
    # and would sort, which takes twice as long as hashing.
    return f"""
  SELECT {sql.choose("g", names, "''")} AS facet, {sql.choose("g", texts, "NULL")} AS bucket, n
  FROM (
    SELECT {"".join(f"{key}, " for key in keys)}{grouping} AS g, count(*) AS n
    FROM (
      SELECT {", ".join(columns)} FROM {layout.table} AS r WHERE {rows.text} OFFSET 0
    ) AS source
    GROUP BY GROUPING SETS ({sets})
  ) AS grouped
"""


def _sideways(layout: Layout, name: str, facet: SingleValued, rows: Condition) -> str:
    split = splits.make(name, facet, layout.counted.types, layout.counted.catalog.time_zone)
    return f"""
  SELECT {sql.literal(name)} AS facet, {split.text("key")} AS bucket, n
  FROM (
    SELECT key, count(*) AS n
    FROM (SELECT {split.key} AS key FROM {layout.table} AS r WHERE {rows.text} OFFSET 0) AS source
    GROUP BY key
  ) AS grouped
"""


def _link(layout: Layout, name: str, facet: LinkFacet, rows: Condition) -> str:
    """A row counts once for each linked value."""
    table = sql.Relation.parse(facet.table).quoted
    value = f"link.{sql.identifier(facet.column)}"
    return f"""
  SELECT {sql.literal(name)} AS facet, {splits.clipped("value")} AS bucket, count(*) AS n
  FROM (
    SELECT DISTINCT {layout.key} AS key, {value}::text AS value
    FROM {layout.table} AS r
    JOIN {table} AS link ON link.{sql.identifier(facet.parent)} = {layout.key}
    WHERE {rows.text} AND {value} IS NOT NULL
  ) AS pairs
  GROUP BY value
"""


__all__ = ["live", "stored"]
