"""A facet: a named way to split an entity into buckets."""

from __future__ import annotations

import itertools
from decimal import Decimal
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Strict,
    Tag,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from crm_ops.catalog.parts import Column, Part, Table


class _Shown(Part):
    """How a facet's buckets are shown."""

    null_label: str = Field(
        default="(none)", description="The label of the bucket of rows without a value."
    )
    order: Literal["count", "bucket"] = Field(
        default="count", description="Buckets by falling count, or by their value."
    )
    top: int | None = Field(default=None, ge=1, description="Show so many buckets, then 'other'.")


class ColumnFacet(_Shown):
    """One bucket for each value of a column."""

    kind: Literal["column"] = "column"
    column: Column = Field(description="The column whose values are the buckets.")


class LookupFacet(_Shown):
    """One bucket for each value of a foreign key, labelled from the table it points to."""

    kind: Literal["lookup"]
    column: Column = Field(description="The entity's column that holds the key.")
    table: Table = Field(description="The table that the key points to, as schema.table.")
    key: Column = Field(default="id", description="That table's key column.")
    label: Column = Field(description="That table's column with the text to show.")


class LinkFacet(_Shown):
    """One bucket for each value linked through a many-to-many table; a row may be in several."""

    kind: Literal["link"]
    table: Table = Field(description="The link table, as schema.table.")
    parent: Column = Field(description="The link table's column that holds the entity's key.")
    column: Column = Field(description="The link table's column that is counted.")
    label_table: Table | None = Field(
        default=None, description="The table with the values' labels, as schema.table."
    )
    label_key: Column = Field(default="id", description="That table's key column.")
    label: Column | None = Field(
        default=None, description="That table's column with the text to show."
    )

    @model_validator(mode="after")
    def _labelled(self) -> LinkFacet:
        if (self.label_table is None) != (self.label is None):
            raise ValueError("label_table and label belong together; give both or neither")
        return self


class JsonFacet(_Shown):
    """One bucket for each value at a path of a json or jsonb column, as text."""

    kind: Literal["json"]
    column: Column = Field(description="The json or jsonb column.")
    path: list[str] = Field(
        min_length=1, description="The keys that lead to the value, outermost first."
    )


def _number(value: Any) -> Any:
    if type(value) in (bool, str):
        raise ValueError(f"{value!r} is no number")
    return value


Bound = Annotated[
    Decimal,
    Strict(strict=False),
    BeforeValidator(_number),
    WithJsonSchema({"type": "number"}),
]
"""A finite number, exactly as it is written."""


class RangesFacet(_Shown):
    """Half-open ranges of a number: [a, b), [b, c), and one bucket below and one above them."""

    kind: Literal["ranges"]
    column: Column = Field(description="The numeric column.")
    bounds: list[Bound] = Field(
        min_length=1,
        max_length=100,
        description="Where a range begins, ascending; each range ends before the next bound.",
    )

    @field_validator("bounds")
    @classmethod
    def _ascending(cls, bounds: list[Decimal]) -> list[Decimal]:
        for low, high in itertools.pairwise(bounds):
            if high <= low:
                raise ValueError(f"ranges overlap: {high} is not above {low}; sort the bounds")
        return bounds

    def labels(self) -> list[str]:
        """The buckets' names, lowest first: `..0`, `0..25`, `25..`."""
        edges = [f"{bound.normalize():f}" for bound in self.bounds]
        inner = [f"{low}..{high}" for low, high in itertools.pairwise(edges)]
        return [f"..{edges[0]}", *inner, f"{edges[-1]}.."]


class DateFacet(_Shown):
    """Calendar buckets of a date or a moment, in the catalog's time zone or its own."""

    kind: Literal["date"]
    column: Column = Field(description="The column, a date, timestamp or timestamptz.")
    bucket: Literal["day", "week", "month", "quarter", "year"] = Field(
        description="The calendar unit of a bucket; weeks begin on Monday."
    )
    time_zone: str | None = Field(
        default=None, description="The time zone of its calendar; by default the catalog's."
    )

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
    "Bound",
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
