"""The SQL of facet counts: a count of the rows from scratch, and what a batch of changes changes.

A pure function of the catalog and the column types. A rebuild writes only what differs, so a second
one changes nothing; it writes nothing at all where a facet has more buckets than allowed.
"""

from __future__ import annotations

from collections.abc import Sequence

from crm_ops.base import sql
from crm_ops.base.names import FACET_COUNT
from crm_ops.catalog.facets import LinkFacet
from crm_ops.fold import links, notes, rows, splits

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


def changes(counted: rows.Counted) -> str:
    """One SELECT: (tenant, facet, bucket, n) by which the drained changes change the counts."""
    linked = [
        links.changes(counted, name, facet, f"drained_{at}")
        for at, (name, facet) in enumerate(links.of_entity(counted))
    ]
    return "\nUNION ALL\n".join([*_scans(counted, rows.changes(), _MOST), *linked])


def _scans(counted: rows.Counted, source: rows.Source, most: int) -> list[str]:
    single = [
        splits.make(name, facet, counted.types, counted.catalog.time_zone)
        for name, facet in counted.entity.facets.items()
        if not isinstance(facet, LinkFacet)
    ]
    chunks = [single[at : at + most] for at in range(0, len(single), most)] or [[]]
    return [_scan(counted, source, chunk, total=at == 0) for at, chunk in enumerate(chunks)]


def rebuild() -> str:
    """One statement that makes the stored counts equal the recount in the table `rows.FRESH`.

    Binds `entity`, `tenants` and `facets` (text arrays; NULL instead of `facets`: all there are)
    and `limit`, and what `notes.noted` binds; returns one row: `seen` rows, `written` counts, and
    `over`, the JSON list of [tenant, facet, buckets] past the limit (then nothing was written).
    """
    fresh = rows.FRESH
    return f"""
WITH over AS MATERIALIZED (
  SELECT tenant, facet, count(*) AS buckets FROM {fresh} GROUP BY tenant, facet
  HAVING count(*) > %(limit)s
), stored AS MATERIALIZED (
  SELECT tenant, facet, bucket, n FROM {FACET_COUNT.quoted}
  WHERE entity = %(entity)s AND tenant = ANY(%(tenants)s::text[])
    AND (%(facets)s::text[] IS NULL OR facet = ANY(%(facets)s::text[]))
), gone AS (
  DELETE FROM {FACET_COUNT.quoted} AS stored
  WHERE entity = %(entity)s AND tenant = ANY(%(tenants)s::text[])
    AND (%(facets)s::text[] IS NULL OR facet = ANY(%(facets)s::text[]))
    AND NOT EXISTS (SELECT FROM over)
    AND ARRAY[tenant, facet, bucket] NOT IN (SELECT ARRAY[tenant, facet, bucket] FROM {fresh})
  RETURNING 1
), kept AS (
  INSERT INTO {FACET_COUNT.quoted} AS stored (entity, tenant, facet, bucket, n)
  SELECT %(entity)s, tenant, facet, bucket, n
  FROM (SELECT tenant, facet, bucket, n FROM {fresh} EXCEPT TABLE stored) AS different
  WHERE NOT EXISTS (SELECT FROM over)
  ON CONFLICT (entity, tenant, facet, bucket) DO UPDATE SET n = excluded.n
  RETURNING 1
), noted AS (
{notes.noted("facets", f"SELECT tenant, n AS counted FROM {fresh} WHERE facet = ''")}
)
SELECT coalesce((SELECT sum(n) FROM {fresh} WHERE facet = ''), 0)::bigint AS seen,
       (SELECT count(*) FROM kept) + (SELECT count(*) FROM gone) AS written,
       coalesce((SELECT json_agg(json_build_array(tenant, facet, buckets)) FROM over), '[]') AS over
"""


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
      SELECT {columns} FROM {source.relation} AS r WHERE {source.condition}
    ) AS source
    GROUP BY GROUPING SETS ({sets}){source.having()}
  ) AS grouped
"""


__all__ = ["changes", "rebuild", "recount"]
