"""What a person reads for a bucket: the label of a foreign key, from the table it points to."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import msgspec
import sqlalchemy as sa

from crm_ops.base import sql
from crm_ops.catalog.facets import Facet, LinkFacet, LookupFacet

Labels = Mapping[str | None, str]

_texts = msgspec.json.Decoder(list[str]).decode


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
    # As JSON each way: of thousands of texts a driver makes one by one.
    told = sql.run(
        connection,
        f"SELECT json_agg({value}::text)::text AS buckets, json_agg({shown}::text)::text AS labels"
        f" FROM {sql.Relation.parse(table).quoted} WHERE {shown} IS NOT NULL"
        f" AND {value}::text IN (SELECT json_array_elements_text(%(buckets)s::json))",
        buckets=msgspec.json.encode(list(buckets)).decode(),
    ).one()
    if told.buckets is None:
        return {}
    return dict(zip(_texts(told.buckets), _texts(told.labels), strict=True))


__all__ = ["Labels", "read", "source"]
