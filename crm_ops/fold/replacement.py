"""The SQL that makes stored figures equal those counted anew, in the same snapshot.

Only what differs is written, so that a second time changes nothing. Two that count the same tenants
at once both write their notes before their figures: the second waits there, and is tried again on
what the first left.
"""

from __future__ import annotations

from dataclasses import dataclass

from crm_ops.base.names import AGGREGATE, FACET_COUNT
from crm_ops.base.sql import Relation
from crm_ops.fold import notes
from crm_ops.fold.definition import Kind

# A table of the transaction alone: PostgreSQL's parallel workers count into it, as they may not in
# a statement that writes figures.
FRESH = "pg_temp.crm_ops_fresh"


@dataclass(frozen=True)
class Replacement:
    """Statements to be run in this order, once `FRESH` has the recount.

    `seen` only reads; it returns the number of rows as `seen` and as `over` the JSON list of
    [tenant, facet or aggregate, buckets] past `limit`: then nothing is to be written. `noted`
    writes notes, `gone` deletes figures, `kept` inserts and updates those that differ. They bind
    `tenants` and `facets` or `aggregates` (text arrays), `limit`, and what `notes.noted` binds.
    """

    seen: str
    noted: str
    gone: str
    kept: str


def of(kind: Kind) -> Replacement:
    """The replacement of one kind of figures.

    Of facets those in `facets` are written, NULL means all; of aggregates those in `aggregates`.
    """
    return _facet_counts() if kind == "facets" else _aggregate_figures()


def _facet_counts() -> Replacement:
    # Equal, where NULL equals NULL, in a form that can be hashed.
    same = (
        "fresh.tenant = stored.tenant AND fresh.facet = stored.facet"
        " AND coalesce(fresh.bucket, '') = coalesce(stored.bucket, '')"
        " AND (fresh.bucket IS NULL) = (stored.bucket IS NULL)"
    )
    asked = (
        "stored.entity = %(entity)s AND stored.tenant = ANY(%(tenants)s::text[])"
        " AND (%(facets)s::text[] IS NULL OR stored.facet = ANY(%(facets)s::text[]))"
    )
    return Replacement(
        _seen("facet", "facet = ''", "true"),
        notes.noted("facets", f"SELECT tenant, n AS counted FROM {FRESH} WHERE facet = ''"),
        _gone(FACET_COUNT, asked, same),
        f"""
MERGE INTO {FACET_COUNT.quoted} AS stored USING {FRESH} AS fresh ON {asked} AND {same}
WHEN MATCHED AND stored.n <> fresh.n THEN UPDATE SET n = fresh.n
WHEN NOT MATCHED THEN INSERT (entity, tenant, facet, bucket, n)
  VALUES (%(entity)s, fresh.tenant, fresh.facet, fresh.bucket, fresh.n)
""",
    )


def _aggregate_figures() -> Replacement:
    keys = ("aggregate", "tenant", "dimensions", "measured")
    figures = ("n", "total", "low", "high")
    same = " AND ".join(f"fresh.{each} = stored.{each}" for each in keys)
    asked = (
        "stored.aggregate = ANY(%(aggregates)s::text[])"
        " AND stored.tenant = ANY(%(tenants)s::text[])"
    )
    stored, fresh = (
        ", ".join(f"{side}.{each}" for each in figures) for side in ("stored", "fresh")
    )
    return Replacement(
        _seen("aggregate", "aggregate = ''", "measured = ''"),
        notes.noted("aggregates", f"SELECT tenant, n AS counted FROM {FRESH} WHERE aggregate = ''"),
        _gone(AGGREGATE, asked, same),
        f"""
MERGE INTO {AGGREGATE.quoted} AS stored
USING (SELECT * FROM {FRESH} WHERE aggregate <> '') AS fresh ON {asked} AND {same}
WHEN MATCHED AND ({stored}) IS DISTINCT FROM ({fresh}) THEN
  UPDATE SET {", ".join(f"{each} = fresh.{each}" for each in figures)}
WHEN NOT MATCHED THEN INSERT ({", ".join((*keys, *figures))})
  VALUES ({", ".join(f"fresh.{each}" for each in keys)}, {fresh})
""",
    )


def _gone(table: Relation, asked: str, same: str) -> str:
    return f"""
DELETE FROM {table.quoted} AS stored
WHERE {asked} AND NOT EXISTS (SELECT FROM {FRESH} AS fresh WHERE {same})
"""


def _seen(name: str, total: str, bucket: str) -> str:
    return f"""
SELECT coalesce((SELECT sum(n) FROM {FRESH} WHERE {total}), 0)::bigint AS seen,
       coalesce((SELECT json_agg(json_build_array(tenant, {name}, buckets)) FROM (
         SELECT tenant, {name}, count(*) AS buckets FROM {FRESH} WHERE {bucket}
         GROUP BY tenant, {name} HAVING count(*) > %(limit)s
       ) AS over), '[]') AS over
"""


__all__ = ["FRESH", "Replacement", "of"]
