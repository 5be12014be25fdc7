"""The SQL of facets through a link table: a row counts once for each value it is linked to.

Such a facet is a join, so that a change on either side changes it. What a parent was linked to
before is what it is linked to now less the changes; each parent that changed is counted as it was
and as it is, which needs no more of the link table than an index on its parent column.
"""

from __future__ import annotations

from collections.abc import Iterator

from crm_ops.base import sql
from crm_ops.catalog.facets import LinkFacet
from crm_ops.changes import logs
from crm_ops.changes.logs import SIGN
from crm_ops.fold import rows, splits


def of_entity(counted: rows.Counted) -> Iterator[tuple[str, LinkFacet]]:
    """The link facets of an entity, in the order of their logs."""
    for name, facet in counted.entity.facets.items():
        if isinstance(facet, LinkFacet):
            yield name, facet


def recount(counted: rows.Counted, name: str, facet: LinkFacet) -> str:
    """The counts of one facet from scratch."""
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


def taken(counted: rows.Counted, facet: LinkFacet, log: str, links: str) -> str:
    """Take changes of links out of their log `links`: those of rows of the tenants bound as such.

    Whose a link is says its row, now and in the entity's `log`. Returns whether a changed link is
    theirs and also somebody else's, as of a row that moved: then its change is left in the log.
    """
    key, parent = f"r.{sql.identifier(counted.entity.key)}", f"r.{sql.identifier(facet.parent)}"
    theirs = f"coalesce({rows.tenant(counted)} = ANY(%(tenants)s::text[]), false)"
    return f"""
WITH whose AS MATERIALIZED (
  SELECT parent, bool_and(theirs) AS alone, bool_or(theirs) AS theirs
  FROM (
    SELECT {key} AS parent, {theirs} AS theirs FROM {log} AS r
    UNION ALL
    SELECT {key}, {theirs} FROM {counted.table.quoted} AS r
    WHERE {key} IN (SELECT {parent} FROM {links} AS r)
  ) AS seen
  GROUP BY parent
), gone AS (
  DELETE FROM {links} AS r USING whose WHERE {parent} = whose.parent AND whose.alone
)
SELECT EXISTS (
  SELECT FROM {links} AS r JOIN whose ON {parent} = whose.parent
  WHERE whose.theirs AND NOT whose.alone)
"""


def changes(counted: rows.Counted, name: str, facet: LinkFacet) -> str:
    """The change of one facet's counts by the changes in the entity's log and in its table's."""
    own, links = logs.relation(counted.name).quoted, logs.relation(counted.name, name).quoted
    return f"""
  SELECT tenant, {sql.literal(name)} AS facet, {splits.clipped("value")} AS bucket,
         sum(there::int - was::int) AS n
  FROM ({pairs(counted, facet, own, links)}) AS pairs
  GROUP BY tenant, value
"""


def pairs(counted: rows.Counted, facet: LinkFacet, own: str, links: str) -> str:
    """Each (tenant, key, value) that changes in `own` and `links` touch: linked there, and was."""
    table = sql.Relation.parse(facet.table).quoted
    parent, value = sql.identifier(facet.parent), f"r.{sql.identifier(facet.column)}::text"
    key, sign = f"r.{sql.identifier(counted.entity.key)}", f"r.{sql.identifier(SIGN)}"
    tenant = rows.tenant(counted)
    touched = f"SELECT {key} FROM {own} AS r UNION SELECT r.{parent} FROM {links} AS r"
    return f"""
  SELECT tenant, key, value, rows.there AND links.there AS there, rows.was AND links.was AS was
  FROM (
    SELECT key, tenant, sum(now) > 0 AS there, sum(now - change) > 0 AS was
    FROM (
      SELECT {key} AS key, {tenant} AS tenant, 1 AS now, 0 AS change
      FROM {counted.table.quoted} AS r
      WHERE {rows.wanted(counted)} AND {key} IN ({touched})
      UNION ALL
      SELECT {key}, {tenant}, 0, {sign} FROM {own} AS r
    ) AS r GROUP BY key, tenant
  ) AS rows
  JOIN (
    SELECT parent, value, sum(now) > 0 AS there, sum(now - change) > 0 AS was
    FROM (
      SELECT r.{parent} AS parent, {value} AS value, 1 AS now, 0 AS change
      FROM {table} AS r WHERE {value} IS NOT NULL AND r.{parent} IN ({touched})
      UNION ALL
      SELECT r.{parent}, {value}, 0, {sign} FROM {links} AS r
    ) AS r GROUP BY parent, value
  ) AS links ON links.parent = rows.key
"""


__all__ = ["changes", "of_entity", "pairs", "recount", "taken"]
