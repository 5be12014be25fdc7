"""Proves what Redis serves: compares it with the stored figures of the same version."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import msgspec
import sqlalchemy as sa

from crm_ops.base import names, store
from crm_ops.fold import aggregates as declared
from crm_ops.fold.rows import Counted
from crm_ops.fold.verify import Difference
from crm_ops.publish import aggregates, codec, facets

_AT_ONCE = 200

Cells = dict[tuple[str, str | None], str]
"""(facet or aggregate, bucket) -> figure."""


@dataclass(frozen=True)
class Served:
    """How many values were compared, how many Redis does not have or only older, what differs."""

    values: int
    behind: int
    differences: tuple[Difference, ...]


def compare(
    engine: sa.Engine, client: store.Client, counted: Counted, tenants: Sequence[str]
) -> Served:
    """Compare the values of `tenants`; an older value is no difference, a newer one is."""
    values = behind = 0
    found: list[Difference] = []
    for at in range(0, len(tenants), _AT_ONCE):
        for stored, served in _pairs(engine, client, counted, tenants[at : at + _AT_ONCE]):
            if served is None or served.version < stored.version:
                behind += 1
                continue
            values += 1
            found += _differences(counted.name, stored, served)
    return Served(values, behind, tuple(found))


def _pairs(
    engine: sa.Engine, client: store.Client, counted: Counted, tenants: Sequence[str]
) -> Iterator[
    tuple[
        codec.FacetCounts | codec.AggregateFigures,
        codec.FacetCounts | codec.AggregateFigures | None,
    ]
]:
    """What is stored and what Redis has, for each key.

    Redis is read first: what is published meanwhile makes it older, never newer, than the table.
    """
    served = _read(client, {each: names.facets_key(counted.name, each) for each in tenants})
    for counts in facets.read(engine, counted.name, counted.entity, tenants):
        value = served[counts.tenant]
        yield counts, codec.facet_counts(value, counted.name, counts.tenant)
    for name in declared.of_entity(counted):
        served = _read(client, {each: names.aggregates_key(name, each) for each in tenants})
        parts = [(name, tenant) for tenant in tenants]
        for gathered in aggregates.read(engine, counted.name, parts):
            value = served[gathered.tenant]
            figures = codec.figures(gathered)
            yield figures, codec.aggregate_figures(value, name, gathered.tenant)


def _read(client: store.Client, keys: Mapping[str, str]) -> dict[str, bytes | None]:
    """The value of each tenant's key."""
    if not keys:
        return {}
    with store.translated(client):
        found: list[bytes | None] = client.mget(list(keys.values()))  # type: ignore[assignment]
    return dict(zip(keys, found, strict=True))


def _differences(
    entity: str,
    stored: codec.FacetCounts | codec.AggregateFigures,
    served: codec.FacetCounts | codec.AggregateFigures,
) -> Iterator[Difference]:
    right, wrong = _cells(stored), _cells(served)
    kind = "facets" if isinstance(stored, codec.FacetCounts) else "aggregates"
    for name, bucket in sorted({*right, *wrong}, key=repr):
        if right.get((name, bucket)) != wrong.get((name, bucket)):
            yield Difference(
                entity,
                stored.tenant,
                "redis",
                "facets" if kind == "facets" else "aggregates",
                name,
                bucket,
                wrong.get((name, bucket)),
                right.get((name, bucket)),
            )


def _cells(value: codec.FacetCounts | codec.AggregateFigures) -> Cells:
    """The figures of a value; labels, which nobody counts, are left out."""
    if isinstance(value, codec.FacetCounts):
        cells: Cells = {("", "version"): str(value.version), ("", None): str(value.total)}
        for name, facet in value.facets.items():
            cells |= {(name, bucket.value): str(bucket.n) for bucket in facet.buckets}
            cells[name, "other..."] = str(facet.other)
        return cells
    figures: Cells = {("", "version"): str(value.version)}
    for each in value.figures:
        place = msgspec.json.encode([*each.dimensions, each.measured]).decode()
        shown = [each.n, each.total, each.low, each.high]
        figures[value.aggregate, place] = " / ".join(str(one) for one in shown)
    return figures


__all__ = ["Served", "compare"]
