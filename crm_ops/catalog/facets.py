"""A facet: a named way to split an entity into buckets."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Discriminator, Field, Tag, field_validator

from crm_ops.catalog.parts import Column, Part, Table


class _Shown(Part):
    """How a facet's buckets are shown."""

    null_label: str = "(none)"
    order: Literal["count", "bucket"] = "count"
    top: int | None = Field(default=None, ge=1, description="Show so many buckets, then 'other'.")


class ColumnFacet(_Shown):
    """One bucket for each value of a column."""

    kind: Literal["column"] = "column"
    column: Column


class LookupFacet(_Shown):
    """One bucket for each value of a foreign key, labelled from the table it points to."""

    kind: Literal["lookup"]
    column: Column
    table: Table
    key: Column = "id"
    label: Column


class LinkFacet(_Shown):
    """One bucket for each value linked through a many-to-many table; a row may be in several."""

    kind: Literal["link"]
    table: Table
    parent: Column = Field(description="The link table's column that holds the entity's key.")
    column: Column = Field(description="The link table's column that is counted.")
    label_table: Table | None = None
    label_key: Column = "id"
    label: Column | None = None


class JsonFacet(_Shown):
    """One bucket for each value at a path of a json or jsonb column, as text."""

    kind: Literal["json"]
    column: Column
    path: list[str] = Field(min_length=1)


class RangesFacet(_Shown):
    """Half-open ranges of a number: [a, b), [b, c), and one bucket below and one above them."""

    kind: Literal["ranges"]
    column: Column
    bounds: list[Decimal] = Field(min_length=1, max_length=100)

    @field_validator("bounds")
    @classmethod
    def _ascending(cls, bounds: list[Decimal]) -> list[Decimal]:
        for low, high in itertools.pairwise(bounds):
            if high <= low:
                raise ValueError(f"ranges overlap: {high} does not follow {low}; sort the bounds")
        if not all(bound.is_finite() for bound in bounds):
            raise ValueError("a bound must be a finite number")
        return bounds

    def labels(self) -> list[str]:
        """The buckets' names, lowest first: `..0`, `0..25`, `25..`."""
        edges = [f"{bound.normalize():f}" for bound in self.bounds]
        inner = [f"{low}..{high}" for low, high in itertools.pairwise(edges)]
        return [f"..{edges[0]}", *inner, f"{edges[-1]}.."]


class DateFacet(_Shown):
    """Calendar buckets of a date or a moment, in the catalog's time zone or its own."""

    kind: Literal["date"]
    column: Column
    bucket: Literal["day", "week", "month", "quarter", "year"]
    time_zone: str | None = None

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str | None) -> str | None:
        return name if name is None else known_zone(name)


def known_zone(name: str) -> str:
    """`name` if it is a time zone of the IANA database."""
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"{name!r} is no time zone; write one such as Europe/Berlin") from error
    return name


def _kind(value: Any) -> str:
    if isinstance(value, dict):
        return str(value.get("kind", "column"))
    return str(getattr(value, "kind", "column"))


SingleValued = Annotated[
    Annotated[ColumnFacet, Tag("column")]
    | Annotated[LookupFacet, Tag("lookup")]
    | Annotated[JsonFacet, Tag("json")]
    | Annotated[RangesFacet, Tag("ranges")]
    | Annotated[DateFacet, Tag("date")],
    Discriminator(_kind),
]
"""A facet that puts every row into exactly one bucket."""

Facet = Annotated[
    Annotated[ColumnFacet, Tag("column")]
    | Annotated[LookupFacet, Tag("lookup")]
    | Annotated[LinkFacet, Tag("link")]
    | Annotated[JsonFacet, Tag("json")]
    | Annotated[RangesFacet, Tag("ranges")]
    | Annotated[DateFacet, Tag("date")],
    Discriminator(_kind),
]


__all__ = [
    "ColumnFacet",
    "DateFacet",
    "Facet",
    "JsonFacet",
    "LinkFacet",
    "LookupFacet",
    "RangesFacet",
    "SingleValued",
    "known_zone",
]
