"""The SQL that notes what a tenant's figures are: their moment, version, rows, what they follow."""

from __future__ import annotations

from crm_ops.base import sql
from crm_ops.base.names import REFRESH


def noted(kind: str, totals: str) -> str:
    """The part that notes that the tenants bound as `tenants` were counted anew.

    `totals` is a SELECT of (tenant, counted). Binds `as_of`, `definition` and `captured`. Versions
    are moments in microseconds, and only grow, also after the database was restored from a backup.
    """
    return f"""
  INSERT INTO {REFRESH.quoted} AS stored
    (kind, entity, tenant, version, as_of, counted, definition, captured)
  SELECT {sql.literal(kind)}, %(entity)s, asked.tenant,
         (extract(epoch FROM %(as_of)s::timestamptz) * 1000000)::bigint, %(as_of)s,
         coalesce(totals.counted, 0), %(definition)s, %(captured)s
  FROM unnest(%(tenants)s::text[]) AS asked (tenant)
  LEFT JOIN ({totals}) AS totals USING (tenant)
  WHERE NOT EXISTS (SELECT FROM over)
  ON CONFLICT (kind, entity, tenant) DO UPDATE
  SET version = greatest(excluded.version, stored.version + 1), as_of = excluded.as_of,
      counted = excluded.counted, definition = excluded.definition, captured = excluded.captured
"""


def moved(kind: str, totals: str, touched: str) -> str:
    """The part that gives the tenants in the SELECT `touched` a new version, as of `as_of`.

    `totals` is a SELECT of (tenant, counted): how many rows each tenant gained.
    """
    return f"""
  UPDATE {REFRESH.quoted} AS stored
  SET version = greatest((extract(epoch FROM %(as_of)s::timestamptz) * 1000000)::bigint,
                         stored.version + 1),
      as_of = %(as_of)s, counted = stored.counted + coalesce(totals.counted, 0)
  FROM ({touched}) AS touched (tenant)
  LEFT JOIN ({totals}) AS totals USING (tenant)
  WHERE stored.kind = {sql.literal(kind)} AND stored.entity = %(entity)s AND stored.captured
    AND stored.tenant = touched.tenant
  RETURNING stored.tenant
"""


__all__ = ["moved", "noted"]
