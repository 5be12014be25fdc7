"""The SQL that takes an entity's changes out of the log and applies them to its figures, at once.

One statement of one snapshot, so that what it reads in the log is what it deletes: every change is
taken by exactly one fold and is in the figures when it is out of the log. Facets and aggregates are
both made from the same rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from crm_ops.base import sql
from crm_ops.base.names import AGGREGATE, BITMAP_SET, FACET_COUNT, REFRESH
from crm_ops.changes.logs import Log
from crm_ops.fold import aggregates, bit_changes, extremes, facets, notes, rows

_OF_FACETS = {
    "counts": "(SELECT count(*) FROM facet_kept)",
    "facets": "ARRAY(SELECT tenant FROM facets_moved)",
    "emptied": "ARRAY(SELECT DISTINCT tenant FROM facet_kept WHERE n = 0)",
    "digests": "(SELECT coalesce(json_agg(json_build_array(tenant, digest::text)), '[]')"
    " FROM facets_digested)",
}
_OF_AGGREGATES = {
    "figures": "(SELECT count(*) FROM aggregate_kept)",
    "aggregates": "(SELECT coalesce(json_agg(json_build_array(tenant, parts)), '[]')"
    " FROM aggregates_moved)",
    "gone": "(SELECT coalesce(json_agg(DISTINCT jsonb_build_array(aggregate, tenant)), '[]')"
    " FROM aggregate_kept WHERE measured = '' AND n = 0)",
    "lost": "(SELECT coalesce(json_agg(json_build_array(aggregate, tenant, dimensions, measured)),"
    " '[]') FROM lost)",
}
_NOTHING = dict.fromkeys(_OF_AGGREGATES, "'[]'::json") | {"figures": "0"}


def fold(counted: rows.Counted, logs: Sequence[Log]) -> str:
    """Binds `entity` and `as_of`; returns one row.

    `changes` are the log rows taken; `counts` and `figures` how many were changed; `facets` the
    tenants whose counts changed, `aggregates` the list of [tenant, aggregates] whose figures did;
    `emptied` the tenants with a count, `gone` the list of [aggregate, tenant] with a group, that is
    zero now; `lost` the list of groups, as in fold/groups.py, to be counted anew; `digests` the
    list of [tenant, digest] of what was added to counts where there are bitmaps, as in
    fold/bit_changes.py.
    """
    names = [f"taken_{at}" for at in range(len(logs))]
    taken = ", ".join(
        f"{name} AS (DELETE FROM {log.relation.quoted} RETURNING 1)"
        for name, log in zip(names, logs, strict=True)
    )
    total = " + ".join(f"(SELECT count(*) FROM {name})" for name in names)
    gained = "SELECT tenant, n AS counted FROM facet_change WHERE facet = ''"
    parts = [taken, _facets(counted, gained)]
    answer = {**_NOTHING, **_OF_FACETS}
    if aggregates.of_entity(counted):
        parts.append(_aggregates(counted, gained))
        answer |= _OF_AGGREGATES
    shown = ",\n       ".join(f"{figure} AS {name}" for name, figure in answer.items())
    return f"WITH {', '.join(parts)}\nSELECT {total} AS changes,\n       {shown}"


def _facets(counted: rows.Counted, gained: str) -> str:
    dimensions = aggregates.dimensions_counted(counted)
    others = "".join(f" AND facet <> {sql.literal(name)}" for name in dimensions)
    changed = f"FROM facet_change WHERE n <> 0{others}"
    touched = f"SELECT DISTINCT tenant, '{{}}'::text[] {changed}"
    return f"""facet_change AS MATERIALIZED (
{facets.changes(counted, dimensions)}
), facet_kept AS (
  INSERT INTO {FACET_COUNT.quoted} AS stored (entity, tenant, facet, bucket, n)
  SELECT %(entity)s, tenant, facet, bucket, n {changed} AND {_known("facets")}
  ON CONFLICT (entity, tenant, facet, bucket) DO UPDATE SET n = stored.n + excluded.n
  RETURNING tenant, n
), facets_digested AS (
  SELECT tenant, sum({bit_changes.DIGEST.format(facet="facet", n="n")}) AS digest {changed}
    AND tenant IN (SELECT tenant FROM {BITMAP_SET.quoted} WHERE entity = %(entity)s)
  GROUP BY tenant
), facets_moved AS (
{notes.moved("facets", gained, touched)}
)"""


def _aggregates(counted: rows.Counted, gained: str) -> str:
    changed = "n <> 0 OR total <> 0 OR low_in IS NOT NULL OR low_out IS NOT NULL"
    touched = (
        "SELECT tenant, array_agg(DISTINCT aggregate) FROM aggregate_change"
        f" WHERE {changed} GROUP BY tenant"
    )
    return f"""aggregate_change AS MATERIALIZED (
  SELECT aggregate, tenant, dimensions, measured, change.n, change.total,
         edge.low_in, edge.high_in, edge.low_out, edge.high_out
  FROM ({aggregates.changes(counted)}) AS change
  LEFT JOIN ({extremes.changes(counted)}) AS edge
    USING (aggregate, tenant, dimensions, measured)
  WHERE aggregate <> '' AND {_known("aggregates")}
), lost AS MATERIALIZED (
{extremes.lost("aggregate_change")}
), aggregate_kept AS (
  INSERT INTO {AGGREGATE.quoted} AS stored
    (aggregate, tenant, dimensions, measured, n, total, low, high)
  SELECT aggregate, tenant, dimensions, measured, n,
         CASE WHEN n = 0 THEN nullif(total, 0) ELSE total END, low_in, high_in
  FROM aggregate_change
  WHERE {changed} OR EXISTS (
    -- A group that came to be has a row of each measured column, without a value as well.
    SELECT FROM aggregate_change AS its
    WHERE its.measured = '' AND its.n <> 0 AND its.aggregate = aggregate_change.aggregate
      AND its.tenant = aggregate_change.tenant AND its.dimensions = aggregate_change.dimensions
  )
  ON CONFLICT (aggregate, tenant, dimensions, measured) DO UPDATE
  SET n = stored.n + excluded.n,
      total = CASE
        WHEN stored.n + excluded.n = 0 THEN NULL
        WHEN stored.total IS NULL THEN excluded.total
        ELSE stored.total + coalesce(excluded.total, 0) END,
      low = CASE WHEN stored.n + excluded.n <> 0 THEN least(stored.low, excluded.low) END,
      high = CASE WHEN stored.n + excluded.n <> 0 THEN greatest(stored.high, excluded.high) END
  RETURNING aggregate, tenant, measured, n
), aggregates_moved AS (
{notes.moved("aggregates", gained, touched)}
)"""


def _known(kind: str) -> str:
    """Whose figures can be folded: the others are counted anew."""
    return (
        f"tenant IN (SELECT tenant FROM {REFRESH.quoted} WHERE kind = '{kind}'"
        " AND entity = %(entity)s AND captured)"
    )


__all__ = ["fold"]
