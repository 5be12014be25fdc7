"""The SQL that makes facet counts equal to a count of the rows, in one statement, one snapshot.

A pure function of the catalog and the column types. The statement writes only what differs, so a
second run changes nothing; it writes nothing at all where a facet has more buckets than allowed.
"""

from __future__ import annotations

from collections.abc import Sequence

from crm_ops.base import sql
from crm_ops.base.names import FACET_COUNT, REFRESH
from crm_ops.catalog.facets import LinkFacet
from crm_ops.fold import rows, splits

# GROUPING() takes at most 31 arguments.
_MOST = 30


def recount(counted: rows.Counted) -> str:
    """One SELECT: (tenant, facet, bucket, n) of the tenants bound as `tenants`, from scratch.

    The facet '' has the total in its bucket NULL.
    """
    single = [
        splits.make(name, facet, counted.types, counted.catalog.time_zone)
        for name, facet in counted.entity.facets.items()
        if not isinstance(facet, LinkFacet)
    ]
    links = [
        _link(counted, name, facet)
        for name, facet in counted.entity.facets.items()
        if isinstance(facet, LinkFacet)
    ]
    chunks = [single[at : at + _MOST] for at in range(0, len(single), _MOST)] or [[]]
    scans = [_scan(counted, chunk, total=at == 0) for at, chunk in enumerate(chunks)]
    return "\nUNION ALL\n".join([*scans, *links])


def rebuild(counted: rows.Counted) -> str:
    """One statement that makes the stored counts equal the recount.

    Binds `entity`, `tenants` (text array) and `limit`; returns one row: `seen` rows, `written`
    counts, and `over`, the JSON list of [tenant, facet, buckets] past the limit (then nothing was
    written).
    """
    return f"""
WITH fresh AS MATERIALIZED (
{recount(counted)}
), over AS MATERIALIZED (
  SELECT tenant, facet, count(*) AS buckets FROM fresh GROUP BY tenant, facet
  HAVING count(*) > %(limit)s
), gone AS (
  DELETE FROM {FACET_COUNT.quoted} AS stored
  WHERE entity = %(entity)s AND tenant = ANY(%(tenants)s::text[])
    AND NOT EXISTS (SELECT FROM over)
    AND ARRAY[tenant, facet, bucket] NOT IN (SELECT ARRAY[tenant, facet, bucket] FROM fresh)
  RETURNING 1
), kept AS (
  INSERT INTO {FACET_COUNT.quoted} AS stored (entity, tenant, facet, bucket, n)
  SELECT %(entity)s, tenant, facet, bucket, n FROM fresh WHERE NOT EXISTS (SELECT FROM over)
  ON CONFLICT (entity, tenant, facet, bucket) DO UPDATE SET n = excluded.n
  WHERE stored.n <> excluded.n
  RETURNING 1
), noted AS (
{noted("facets", "SELECT tenant, n AS counted FROM fresh WHERE facet = ''")}
)
SELECT coalesce((SELECT sum(n) FROM fresh WHERE facet = ''), 0)::bigint AS seen,
       (SELECT count(*) FROM kept) + (SELECT count(*) FROM gone) AS written,
       coalesce((SELECT json_agg(json_build_array(tenant, facet, buckets)) FROM over), '[]') AS over
"""


def noted(kind: str, totals: str) -> str:
    """The part that notes when, and from how many rows, each tenant's figures were made exact.

    Versions only grow, also after the database was restored from a backup.
    """
    return f"""
  INSERT INTO {REFRESH.quoted} AS stored (kind, entity, tenant, version, as_of, counted)
  SELECT {sql.literal(kind)}, %(entity)s, asked.tenant,
         (extract(epoch FROM statement_timestamp()) * 1000000)::bigint, statement_timestamp(),
         coalesce(totals.counted, 0)
  FROM unnest(%(tenants)s::text[]) AS asked (tenant)
  LEFT JOIN ({totals}) AS totals USING (tenant)
  WHERE NOT EXISTS (SELECT FROM over)
  ON CONFLICT (kind, entity, tenant) DO UPDATE
  SET version = greatest(excluded.version, stored.version + 1), as_of = excluded.as_of,
      counted = excluded.counted
"""


def _scan(counted: rows.Counted, chunk: Sequence[splits.Split], *, total: bool) -> str:
    """One pass over the table for up to 30 facets, each a grouping set of its own."""
    keys = [f"f{number}" for number in range(len(chunk))]
    columns = ", ".join(
        [f"{rows.tenant(counted)} AS tenant"]
        + [f"{split.key} AS {key}" for split, key in zip(chunk, keys, strict=True)]
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
  SELECT tenant, {sql.choose("g", names, "''")} AS facet,
         {sql.choose("g", texts, "NULL")} AS bucket, n
  FROM (
    SELECT {", ".join(["tenant", *keys])}, {grouping} AS g, count(*) AS n
    FROM (
      SELECT {columns} FROM {counted.table.quoted} AS r WHERE {rows.condition(counted)}
    ) AS source
    GROUP BY GROUPING SETS ({sets})
  ) AS grouped
"""


def _link(counted: rows.Counted, name: str, facet: LinkFacet) -> str:
    """Counts by what a link table links; a row counts once for each linked value."""
    table = sql.Relation.parse(facet.table).quoted
    value = f"link.{sql.identifier(facet.column)}"
    key = f"r.{sql.identifier(counted.entity.key)}"
    return f"""
  SELECT tenant, {sql.literal(name)} AS facet, {splits.clipped("value")} AS bucket, count(*) AS n
  FROM (
    SELECT DISTINCT {rows.tenant(counted)} AS tenant, {key} AS key, {value}::text AS value
    FROM {counted.table.quoted} AS r
    JOIN {table} AS link ON link.{sql.identifier(facet.parent)} = {key}
    WHERE {rows.condition(counted)} AND {value} IS NOT NULL
  ) AS pairs
  GROUP BY tenant, value
"""


__all__ = ["noted", "rebuild", "recount"]
