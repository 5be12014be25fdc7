"""The SQL of smallest and largest values under changes: what came, what went, and what that leaves.

A value that came can only widen the extremes. One that went matters only if it was an extreme and
nothing as extreme came: then the group, and only it, is counted anew (fold/groups.py).
"""

from __future__ import annotations

from crm_ops.base import sql
from crm_ops.base.names import AGGREGATE
from crm_ops.catalog.aggregates import Aggregate
from crm_ops.fold import aggregates, rows, splits

_NONE = """
  SELECT NULL::text AS aggregate, NULL::text AS tenant, NULL::text[] AS dimensions,
         NULL::text AS measured, NULL::numeric AS low_in, NULL::numeric AS high_in,
         NULL::numeric AS low_out, NULL::numeric AS high_out
  WHERE false
"""


def changes(counted: rows.Counted) -> str:
    """One SELECT: the extremes of the values that came into a group and that went out of it."""
    parts = [
        _of_column(counted, name, aggregate, column)
        for name, aggregate in aggregates.of_entity(counted).items()
        for column in aggregate.columns()
        if aggregates.has_extremes(aggregate, column)
    ]
    return "\nUNION ALL\n".join(parts) or _NONE


def lost(changed: str) -> str:
    """One SELECT of (aggregate, tenant, dimensions, measured) in `changed`: to be counted anew.

    A sum that NaN or Infinity went into cannot be taken back by subtracting it, either.
    """
    return f"""
  SELECT changed.aggregate, changed.tenant, changed.dimensions, changed.measured
  FROM (
    SELECT * FROM {changed}
    WHERE total IN ('NaN', 'Infinity', '-Infinity') OR low_out IS NOT NULL
  ) AS changed
  LEFT JOIN LATERAL (
    -- Few of many: each is looked up.
    SELECT low, high FROM {AGGREGATE.quoted} AS its
    WHERE its.aggregate = changed.aggregate AND its.tenant = changed.tenant
      AND its.dimensions = changed.dimensions AND its.measured = changed.measured
    OFFSET 0
  ) AS stored ON true
  WHERE changed.total IN ('NaN', 'Infinity', '-Infinity')
     OR changed.low_out <= stored.low AND coalesce(changed.low_in > changed.low_out, true)
     OR changed.high_out >= stored.high AND coalesce(changed.high_in < changed.high_out, true)
"""


def _of_column(counted: rows.Counted, name: str, aggregate: Aggregate, column: str) -> str:
    keys = aggregates.dimensions(counted, {name: aggregate})
    named = [f"k{at}" for at in range(len(keys))]
    source = rows.changes(counted)
    selected = ", ".join(
        [
            f"{rows.tenant(counted)} AS tenant",
            *(f"{split.key} AS {key}" for key, split in zip(named, keys.values(), strict=True)),
            f"r.{sql.identifier(column)}::numeric AS value",
            *source.column(),
        ]
    )
    group = ", ".join(["tenant", *named])
    texts = ", ".join(_texts(keys, named))
    return f"""
  SELECT {sql.literal(name)} AS aggregate, tenant, ARRAY[{texts}]::text[] AS dimensions,
         {sql.literal(column)} AS measured,
         min(value) FILTER (WHERE n > 0) AS low_in, max(value) FILTER (WHERE n > 0) AS high_in,
         min(value) FILTER (WHERE n < 0) AS low_out, max(value) FILTER (WHERE n < 0) AS high_out
  FROM (
    SELECT {group}, value, {source.count()} AS n
    FROM (SELECT {selected} FROM {source.relation} AS r) AS source
    WHERE value IS NOT NULL
    GROUP BY {group}, value HAVING {source.count()} <> 0
  ) AS values
  GROUP BY {group}
"""


def _texts(keys: dict[str, splits.Split], named: list[str]) -> list[str]:
    return [split.text(key) for key, split in zip(named, keys.values(), strict=True)]


__all__ = ["changes", "lost"]
