"""The SQL that notes what a tenant's figures are: their moment, version, rows, what they follow.

Versions are moments in microseconds, and only grow, also after the database was restored from a
backup. Of aggregates it is noted, too, at which version each last changed.
"""

from __future__ import annotations

from crm_ops.base import sql
from crm_ops.base.names import REFRESH

_MOMENT = "(extract(epoch FROM %(as_of)s::timestamptz) * 1000000)::bigint"
_NEXT = f"greatest({_MOMENT}, stored.version + 1)"


def noted(kind: str, totals: str) -> str:
    """The statement that notes that the tenants bound as `tenants` were counted anew.

    `totals` is a SELECT of (tenant, counted). Binds `as_of`, `definition` and `captured`, and of
    aggregates the list of them.
    """
    parts = "%(aggregates)s::text[]" if kind == "aggregates" else "'{}'::text[]"
    return f"""
  INSERT INTO {REFRESH.quoted} AS stored
    (kind, entity, tenant, version, as_of, counted, definition, captured, changed)
  SELECT {sql.literal(kind)}, %(entity)s, asked.tenant, {_MOMENT}, %(as_of)s,
         coalesce(totals.counted, 0), %(definition)s, %(captured)s, {_versions(parts, _MOMENT)}
  FROM unnest(%(tenants)s::text[]) AS asked (tenant)
  LEFT JOIN ({totals}) AS totals USING (tenant)
  ON CONFLICT (kind, entity, tenant) DO UPDATE
  SET version = {_NEXT}, as_of = excluded.as_of, counted = excluded.counted,
      definition = excluded.definition, captured = excluded.captured,
      changed = stored.changed || {_versions(parts, _NEXT)}
"""


def moved(kind: str, totals: str, touched: str) -> str:
    """The part that gives the tenants in the SELECT `touched` a new version, as of `as_of`.

    `touched` has (tenant, parts), the aggregates that changed; `totals` is a SELECT of (tenant,
    counted): how many rows each tenant gained. Returns what was touched.
    """
    return f"""
  UPDATE {REFRESH.quoted} AS stored
  SET version = {_NEXT}, as_of = %(as_of)s,
      counted = stored.counted + coalesce(totals.counted, 0),
      changed = stored.changed || {_versions("touched.parts", _NEXT)}
  FROM ({touched}) AS touched (tenant, parts)
  LEFT JOIN ({totals}) AS totals USING (tenant)
  WHERE stored.kind = {sql.literal(kind)} AND stored.entity = %(entity)s AND stored.captured
    AND stored.tenant = touched.tenant
  RETURNING touched.*
"""


def _versions(parts: str, version: str) -> str:
    """The object that says of each aggregate in the array `parts` that it changed at `version`."""
    return (
        f"coalesce((SELECT jsonb_object_agg(part, {version}) FROM unnest({parts}) AS part), '{{}}')"
    )


__all__ = ["moved", "noted"]
