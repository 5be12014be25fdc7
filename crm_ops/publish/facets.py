"""Publishes the stored facet counts of tenants to Redis, each tenant's as one whole value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import sqlalchemy as sa

from crm_ops.base import database, names, sql, statements, store
from crm_ops.catalog.entities import Entity
from crm_ops.catalog.facets import Facet, RangesFacet
from crm_ops.publish import codec, labels, writer

_Found = dict[tuple[str, str], list[codec.Bucket]]
"""Buckets by tenant and facet."""

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
    signing_key: bytes | None = None,
) -> writer.Written:
    """Publish the counts of the entity called `name`; leave out tenants never counted."""
    values = _values(engine, name, entity, tenants)
    return writer.write(client, values, now=now, signing_key=signing_key)


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
        # A facet that the catalog no longer declares is not served.
        found = {
            (row.tenant, row.facet): codec.buckets(row.buckets)
            for row in rows
            if row.facet in entity.facets
        }
        for facet, declared in entity.facets.items():
            if labels.source(declared) is not None:
                mine = {key: buckets for key, buckets in found.items() if key[1] == facet}
                found |= _labelled(connection, declared, mine)
    return [
        codec.FacetCounts(
            entity=name,
            tenant=tenant,
            definition=row.definition,
            version=row.version,
            as_of=row.as_of,
            total=row.counted,
            facets={
                facet: shown(declared, found.get((tenant, facet), []))
                for facet, declared in entity.facets.items()
            },
        )
        for tenant, row in {row.tenant: row for row in rows}.items()
    ]


def _labelled(connection: sa.Connection, facet: Facet, found: _Found) -> _Found:
    """One facet's buckets of all tenants, with what a person reads for them."""
    held = {bucket.value for buckets in found.values() for bucket in buckets}
    known = labels.read(connection, facet, [value for value in held if value is not None])
    return {
        key: [codec.Bucket(each.value, each.n, known.get(each.value or "")) for each in buckets]
        for key, buckets in found.items()
    }


def shown(facet: Facet, buckets: Sequence[codec.Bucket]) -> codec.Facet:
    """The buckets in their order, cut to the facet's `top`."""
    places = order(facet, [each.value for each in buckets], [each.n for each in buckets])
    ordered = [buckets[at] for at in places]
    top = len(ordered) if facet.top is None else facet.top
    return codec.Facet(ordered[:top], other=sum(bucket.n for bucket in ordered[top:]))


def order(facet: Facet, values: Sequence[str | None], numbers: Sequence[int]) -> list[int]:
    """The places of a facet's buckets in their order of display; the value NULL comes last."""
    places = [at for at, value in enumerate(values) if value is not None]
    # Each sorting keeps the order of equals from the one before.
    places.sort(key=values.__getitem__)  # type: ignore[arg-type]
    if isinstance(facet, RangesFacet):
        ranks = {label: rank for rank, label in enumerate(facet.labels())}
        places.sort(key=lambda at: ranks.get(values[at] or "", 0))
    if facet.order == "count":
        places.sort(key=numbers.__getitem__, reverse=True)
    return places + [at for at, value in enumerate(values) if value is None]


__all__ = ["order", "publish", "read", "shown"]
