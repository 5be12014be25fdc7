"""Publishes the stored facet counts of tenants to Redis, each tenant's as one whole value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import attrgetter
from typing import Any

import sqlalchemy as sa

from crm_ops.base import database, names, sql, statements, store
from crm_ops.catalog.entities import Entity
from crm_ops.catalog.facets import Facet, RangesFacet
from crm_ops.publish import codec, labels, writer

# So many tenants' figures are held in memory at a time.
_TENANTS_AT_ONCE = 200


def publish(
    engine: sa.Engine,
    client: store.Client,
    name: str,
    entity: Entity,
    tenants: Sequence[str],
    *,
    now: datetime,
) -> writer.Written:
    """Publish the counts of the entity called `name`; leave out tenants never counted."""
    return writer.write(client, _values(engine, name, entity, tenants), now=now)


def _values(
    engine: sa.Engine, name: str, entity: Entity, tenants: Sequence[str]
) -> Iterator[writer.Value]:
    for at in range(0, len(tenants), _TENANTS_AT_ONCE):
        chunk = list(tenants[at : at + _TENANTS_AT_ONCE])
        for counts in read(engine, name, entity, chunk):
            key = names.facets_key(name, counts.tenant)
            yield writer.Value(key, counts.version, codec.encode(counts))


def read(
    engine: sa.Engine, name: str, entity: Entity, tenants: Sequence[str]
) -> list[codec.FacetCounts]:
    """The stored counts of some tenants, as they are published."""
    with database.transaction(engine, isolation="REPEATABLE READ") as connection:
        statement = statements.load("crm_ops.publish")["facet_counts"]
        rows = sql.run(connection, statement, entity=name, tenants=list(tenants)).all()
        known = {
            facet: labels.read(
                connection,
                declared,
                {row.bucket for row in rows if row.facet == facet and row.bucket is not None},
            )
            for facet, declared in entity.facets.items()
        }
    return [
        _tenant(name, entity, list(group), known)
        for _, group in groupby(rows, key=attrgetter("tenant"))
    ]


def _tenant(
    name: str, entity: Entity, rows: Sequence[Any], known: Mapping[str, labels.Labels]
) -> codec.FacetCounts:
    first = rows[0]
    buckets: dict[str, list[codec.Bucket]] = {facet: [] for facet in entity.facets}
    for row in rows:
        # A facet that the catalog no longer declares is not served.
        if row.facet in buckets:
            label = known[row.facet].get(row.bucket)
            buckets[row.facet].append(codec.Bucket(row.bucket, row.n, label))
    return codec.FacetCounts(
        entity=name,
        tenant=first.tenant,
        definition=first.definition,
        version=first.version,
        as_of=first.as_of,
        total=first.counted,
        facets={facet: shown(entity.facets[facet], found) for facet, found in buckets.items()},
    )


def shown(facet: Facet, buckets: Sequence[codec.Bucket]) -> codec.Facet:
    """The buckets in their order, cut to the facet's `top`; the value NULL comes last."""
    ranks = (
        {label: at for at, label in enumerate(facet.labels())}
        if isinstance(facet, RangesFacet)
        else {}
    )

    def place(bucket: codec.Bucket) -> tuple[bool, int, int, str]:
        value = bucket.value or ""
        most_first = -bucket.n if facet.order == "count" else 0
        return (bucket.value is None, most_first, ranks.get(value, 0), value)

    ordered = sorted(buckets, key=place)
    top = len(ordered) if facet.top is None else facet.top
    return codec.Facet(ordered[:top], other=sum(bucket.n for bucket in ordered[top:]))


__all__ = ["publish", "read", "shown"]
