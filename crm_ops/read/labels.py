"""What a person reads for a bucket, as SQL, so that it comes in the same round trip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from crm_ops.base import sql
from crm_ops.catalog.facets import LinkFacet, LookupFacet
from crm_ops.read import values
from crm_ops.read.condition import Condition
from crm_ops.read.kept import Held
from crm_ops.read.layout import Layout
from crm_ops.read.remembered import Labels, Place


def wanted(layout: Layout, shown: Mapping[str, Iterable[str | None]]) -> list[Place]:
    """Those of the buckets `shown`, by facet, that have labels."""
    return [
        (name, bucket)
        for name, facet in layout.entity.facets.items()
        if isinstance(facet, LookupFacet) or (isinstance(facet, LinkFacet) and facet.label)
        for bucket in shown.get(name, ())
        if bucket is not None
    ]


def unknown(layout: Layout, held: Held, named: Labels) -> Condition:
    """The labels of buckets that are not yet `named`: JSON of [facet, bucket, label]."""
    places: list[Place] = []
    if not held.remembered.labelled(named):
        places = [place for place in wanted(layout, held.places) if place not in named]
    if not places:
        return Condition("NULL::json")
    text = of_facets(layout, "counted.facet", "counted.bucket")
    return Condition(
        f"SELECT json_agg(json_build_array(facet, bucket, {text}))"
        " FROM unnest(%(label_facets)s::text[], %(label_buckets)s::text[])"
        " AS counted (facet, bucket)",
        {
            "label_facets": [name for name, _ in places],
            "label_buckets": [bucket for _, bucket in places],
        },
    )


def learn(held: Held, named: Labels, found: Iterable[tuple[str, str | None, str | None]]) -> None:
    """Take what the query `unknown` found among those that are `named`."""
    named.update({(facet, bucket): label for facet, bucket, label in found})
    held.remembered.note_labelled(named)


def of_facets(layout: Layout, facet: str, bucket: str) -> str:
    """The label of the bucket in the column `bucket` of the facet named in the column `facet`."""
    found = {
        sql.literal(name): text
        for name in layout.entity.facets
        if (text := label(layout, name, bucket)) is not None
    }
    return sql.choose(facet, found, "NULL::text")


def label(layout: Layout, name: str, bucket: str) -> str | None:
    """The label of a bucket of a facet or dimension; None where it has no table of labels."""
    match layout.entity.splits()[name]:
        case LookupFacet(column=held, table=table, key=key, label=shown):
            type_name = layout.type_of(held)
        case LinkFacet(label_table=str(table), label_key=key, label=str(shown)):
            type_name = layout.linked[name]
        case _:
            return None
    cast = "text" if type_name in values.TEXTS else type_name
    quoted = sql.identifier(key)
    return (
        f"(SELECT l.{sql.identifier(shown)}::text FROM {sql.Relation.parse(table).quoted} AS l"
        f" WHERE l.{quoted} = {bucket}::{cast} LIMIT 1)"
    )


__all__ = ["label", "learn", "of_facets", "unknown", "wanted"]
