"""The SQL that makes stored figures equal those counted anew, in the same snapshot.

Only what differs is written, so that a second time changes nothing; nothing at all is where a facet
or an aggregate has more buckets than allowed. Two that count the same tenants at once both write
their notes: the second is tried again, on what the first left.
"""

from __future__ import annotations

from crm_ops.base.names import AGGREGATE, FACET_COUNT
from crm_ops.fold import notes

# A table of the transaction alone: PostgreSQL's parallel workers count into it, as they may not in
# a statement that writes figures.
FRESH = "pg_temp.crm_ops_fresh"


def facet_counts() -> str:
    """One statement that makes the stored counts equal the recount in the table `FRESH`.

    Binds `entity`, `tenants` and `facets` (text arrays; NULL instead of `facets`: all there are)
    and `limit`, and what `notes.noted` binds; returns one row: `seen` rows, `written` counts, and
    `over`, the JSON list of [tenant, facet, buckets] past the limit (then nothing was written).
    """
    return f"""
WITH over AS MATERIALIZED (
  SELECT tenant, facet, count(*) AS buckets FROM {FRESH} GROUP BY tenant, facet
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
    AND ARRAY[tenant, facet, bucket] NOT IN (SELECT ARRAY[tenant, facet, bucket] FROM {FRESH})
  RETURNING 1
), kept AS (
  INSERT INTO {FACET_COUNT.quoted} AS stored (entity, tenant, facet, bucket, n)
  SELECT %(entity)s, tenant, facet, bucket, n
  FROM (SELECT tenant, facet, bucket, n FROM {FRESH} EXCEPT TABLE stored) AS different
  WHERE NOT EXISTS (SELECT FROM over)
  ON CONFLICT (entity, tenant, facet, bucket) DO UPDATE SET n = excluded.n
  RETURNING 1
), noted AS (
{notes.noted("facets", f"SELECT tenant, n AS counted FROM {FRESH} WHERE facet = ''")}
)
SELECT coalesce((SELECT sum(n) FROM {FRESH} WHERE facet = ''), 0)::bigint AS seen,
       (SELECT count(*) FROM kept) + (SELECT count(*) FROM gone) AS written,
       coalesce((SELECT json_agg(json_build_array(tenant, facet, buckets)) FROM over), '[]') AS over
"""


def aggregate_figures() -> str:
    """One statement that makes the stored figures equal the recount in the table `FRESH`.

    Binds `entity`, `aggregates` (those to write) and `tenants` (text arrays), `limit`, and what
    `notes.noted` binds; returns one row as `facet_counts` does.
    """
    key = "ARRAY[aggregate, tenant, measured] || dimensions"
    figures = "aggregate, tenant, dimensions, measured, n, total, low, high"
    return f"""
WITH over AS MATERIALIZED (
  SELECT tenant, aggregate, count(*) AS buckets FROM {FRESH} WHERE measured = ''
  GROUP BY tenant, aggregate HAVING count(*) > %(limit)s
), stored AS MATERIALIZED (
  SELECT {figures} FROM {AGGREGATE.quoted}
  WHERE aggregate = ANY(%(aggregates)s::text[]) AND tenant = ANY(%(tenants)s::text[])
), gone AS (
  DELETE FROM {AGGREGATE.quoted} AS stored
  WHERE aggregate = ANY(%(aggregates)s::text[]) AND tenant = ANY(%(tenants)s::text[])
    AND NOT EXISTS (SELECT FROM over)
    AND {key} NOT IN (SELECT {key} FROM {FRESH})
  RETURNING 1
), kept AS (
  INSERT INTO {AGGREGATE.quoted} AS stored ({figures})
  SELECT {figures}
  FROM (SELECT {figures} FROM {FRESH} WHERE aggregate <> '' EXCEPT TABLE stored) AS different
  WHERE NOT EXISTS (SELECT FROM over)
  ON CONFLICT (aggregate, tenant, dimensions, measured) DO UPDATE
  SET n = excluded.n, total = excluded.total, low = excluded.low, high = excluded.high
  RETURNING 1
), noted AS (
{notes.noted("aggregates", f"SELECT tenant, n AS counted FROM {FRESH} WHERE aggregate = ''")}
)
SELECT coalesce((SELECT sum(n) FROM {FRESH} WHERE aggregate = ''), 0)::bigint AS seen,
       (SELECT count(*) FROM kept) + (SELECT count(*) FROM gone) AS written,
       coalesce((SELECT json_agg(json_build_array(tenant, aggregate, buckets)) FROM over), '[]')
         AS over
"""


__all__ = ["FRESH", "aggregate_figures", "facet_counts"]
