"""The values in Redis, encoded and decoded in one place: one whole value for a tenant's figures.

A value is 20 digits of version, a space, and JSON, so that a person reads it in redis-cli and Redis
itself can tell which of two is older. It names its own format and owner: what another release
wrote, or what lies under a wrong key, is a miss.
"""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

import msgspec

FORMAT = 2
VERSION_DIGITS = 20


# Texts and numbers make no cycles: of many the garbage collector need not look at one.
class Bucket(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One value of a facet and its count; `value` None is NULL, `label` what a person reads."""

    value: str | None
    n: int
    label: str | None = None


class Facet(msgspec.Struct, frozen=True, omit_defaults=True):
    """The buckets of a facet in their order of display; `other` rows are in those not shown."""

    buckets: list[Bucket]
    other: int = 0


class FacetCounts(msgspec.Struct, frozen=True, kw_only=True):
    """All facet counts of one tenant and entity as of one moment.

    `definition` is the checksum of what the catalog declared when they were made.
    """

    format: int = FORMAT
    entity: str
    tenant: str
    definition: str
    version: int
    as_of: datetime
    total: int
    facets: dict[str, Facet]


class Figure(msgspec.Struct, frozen=True, array_like=True):
    """One group's figures of one measured column ('' counts rows); decimals keep their digits."""

    dimensions: list[str | None]
    measured: str
    n: int
    total: Decimal | None = None
    low: Decimal | None = None
    high: Decimal | None = None


class _OfAggregate(msgspec.Struct, frozen=True, kw_only=True):
    format: int = FORMAT
    aggregate: str
    tenant: str
    definition: str
    version: int
    as_of: datetime


class AggregateFigures(_OfAggregate, frozen=True, kw_only=True):
    """All figures of one tenant and aggregate as of one moment, in no order.

    `definition` is as that of facet counts.
    """

    figures: list[Figure]


class GatheredFigures(_OfAggregate, frozen=True, kw_only=True):
    """The same, with the figures in the JSON in which PostgreSQL gathered them."""

    figures: msgspec.Raw


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """All tenants' published figures of an entity are exact as of `as_of`, or of a later moment."""

    format: int = FORMAT
    kind: str
    entity: str
    version: int
    as_of: datetime


_values = msgspec.json.Decoder(list[str | None])
_counts = msgspec.json.Decoder(list[int])
_facets = msgspec.json.Decoder(FacetCounts)
_aggregates = msgspec.json.Decoder(AggregateFigures)
_moments = msgspec.json.Decoder(Moment)


def encode(value: FacetCounts | AggregateFigures | GatheredFigures | Moment) -> bytes:
    """`value` as it is stored."""
    return b"%020d " % value.version + msgspec.json.encode(value)


def _body(stored: bytes) -> bytes:
    """The JSON of a value, whether it has a seal or not."""
    return stored[VERSION_DIGITS + 1 :].partition(b"\n")[0]


def values(gathered: str) -> list[str | None]:
    """The buckets of a facet, from the JSON in which PostgreSQL gathered them."""
    return _values.decode(gathered)


def counts(gathered: str) -> list[int]:
    """Their counts, in the same order."""
    return _counts.decode(gathered)


def figures(gathered: GatheredFigures) -> AggregateFigures:
    """What PostgreSQL gathered, to be looked at."""
    return _aggregates.decode(msgspec.json.encode(gathered))


def moment(stored: bytes | None, kind: str, entity: str) -> Moment | None:
    """Decode; None for a miss, as for facet counts."""
    try:
        value = None if stored is None else _moments.decode(_body(stored))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    found = None if value is None else (value.format, value.kind, value.entity)
    return value if found == (FORMAT, kind, entity) else None


def facet_counts(stored: bytes | None, entity: str, tenant: str) -> FacetCounts | None:
    """Decode; None for a miss: nothing there, damaged, another format, somebody else's value."""
    try:
        value = None if stored is None else _facets.decode(_body(stored))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    found = None if value is None else (value.format, value.entity, value.tenant)
    return value if found == (FORMAT, entity, tenant) else None


def aggregate_figures(stored: bytes | None, aggregate: str, tenant: str) -> AggregateFigures | None:
    """Decode; None for a miss, as for facet counts."""
    try:
        value = None if stored is None else _aggregates.decode(_body(stored))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    found = None if value is None else (value.format, value.aggregate, value.tenant)
    return value if found == (FORMAT, aggregate, tenant) else None


__all__ = [
    "FORMAT",
    "VERSION_DIGITS",
    "AggregateFigures",
    "Bucket",
    "Facet",
    "FacetCounts",
    "Figure",
    "GatheredFigures",
    "Moment",
    "aggregate_figures",
    "counts",
    "encode",
    "facet_counts",
    "figures",
    "moment",
    "values",
]
