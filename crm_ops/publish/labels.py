"""What a person reads for a bucket: the label of a foreign key, from the table it points to."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import sqlalchemy as sa

from crm_ops.base import sql
from crm_ops.catalog.facets import Facet, LinkFacet, LookupFacet

Labels = Mapping[str, str]


def source(facet: Facet) -> tuple[str, str, str] | None:
    """The table, the key and the column of a facet's labels; None where it has none."""
    match facet:
        case LookupFacet(table=table, key=key, label=label):
            return table, key, label
        case LinkFacet(label_table=str(table), label_key=key, label=str(label)):
            return table, key, label
        case _:
            return None


def read(connection: sa.Connection, facet: Facet, buckets: Collection[str]) -> Labels:
    """The labels of `buckets`, by bucket; a bucket whose row is gone or unlabelled is absent."""
    found = source(facet)
    if found is None or not buckets:
        return {}
    table, key, label = found
    value, shown = sql.identifier(key), sql.identifier(label)
    rows = sql.run(
        connection,
        f"SELECT {value}::text AS bucket, {shown}::text AS label"
        f" FROM {sql.Relation.parse(table).quoted}"
        f" WHERE {value}::text = ANY(%(buckets)s::text[]) AND {shown} IS NOT NULL",
        buckets=list(buckets),
    )
    return {row.bucket: row.label for row in rows}


__all__ = ["Labels", "read", "source"]
