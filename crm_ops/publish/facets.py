"""Publishes the stored facet counts of tenants to Redis, each tenant's as one whole value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from crm_ops.base import database, names, sql, statements, store
from crm_ops.catalog.entities import Entity
from crm_ops.catalog.facets import Facet, RangesFacet
from crm_ops.publish import codec, labels, writer

# So many tenants' figures are held in memory at a time.
_TENANTS_AT_ONCE = 200


@dataclass(frozen=True)
class Cut:
    """The buckets that a facet shows, in their order, and how many rows are in all others."""

    values: Sequence[str | None]
    counts: Sequence[int]
    other: int


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
        cut_ = {
            (row.tenant, row.facet): cut(
                entity.facets[row.facet], codec.values(row.buckets), codec.counts(row.counts)
            )
            for row in rows
            if row.facet in entity.facets
        }
        named = {
            facet: labels.read(connection, declared, _named(cut_, facet))
            for facet, declared in entity.facets.items()
            if labels.source(declared) is not None
        }
    found = {place: shown(each, named.get(place[1], {})) for place, each in cut_.items()}
    nothing = codec.Facet([])
    return [
        codec.FacetCounts(
            entity=name,
            tenant=tenant,
            definition=row.definition,
            version=row.version,
            as_of=row.as_of,
            total=row.counted,
            facets={facet: found.get((tenant, facet), nothing) for facet in entity.facets},
        )
        for tenant, row in {row.tenant: row for row in rows}.items()
    ]


def _named(cut_: Mapping[tuple[str, str], Cut], facet: str) -> set[str]:
    """The buckets of a facet that are shown of any tenant; NULL is told by the catalog."""
    shown_ = (each.values for (_, of), each in cut_.items() if of == facet)
    return {value for values in shown_ for value in values if value is not None}


def cut(facet: Facet, values: Sequence[str | None], counts: Sequence[int]) -> Cut:
    """Buckets in their order, cut to the facet's `top`."""
    places = order(facet, values, counts)
    top = len(places) if facet.top is None else facet.top
    return Cut(
        [values[at] for at in places[:top]],
        [counts[at] for at in places[:top]],
        sum(counts[at] for at in places[top:]),
    )


def shown(buckets: Cut, named: Mapping[str | None, str | None]) -> codec.Facet:
    """The buckets with what a person reads for them."""
    if not named:
        return codec.Facet(list(map(codec.Bucket, buckets.values, buckets.counts)), buckets.other)
    texts = map(named.get, buckets.values)
    return codec.Facet(
        list(map(codec.Bucket, buckets.values, buckets.counts, texts)), buckets.other
    )


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


__all__ = ["Cut", "cut", "order", "publish", "read", "shown"]
