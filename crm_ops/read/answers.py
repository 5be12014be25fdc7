"""The words of an answer: rows, the exact total, counts of every facet, as of when, from where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

Source = Literal["redis", "table", "bitmaps", "sql"]
"""Where figures come from: Redis, our table in PostgreSQL, bitmaps, a count of the CRM's rows."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One value of a facet, what a person reads for it, and how many rows have it."""

    value: str | None
    label: str | None
    count: int


@dataclass(frozen=True)
class Facet:
    """A facet's buckets in their order of display; `other` rows are in those not shown."""

    buckets: tuple[Bucket, ...]
    other: int = 0


@dataclass(frozen=True)
class Step:
    """One thing that was done for an answer: where, why, how long it took, and its SQL if any."""

    where: Literal["redis", "postgres", "process"]
    what: str
    took_ms: float
    statement: str | None = None
    values: Mapping[str, object] | None = None


@dataclass(frozen=True)
class Found:
    """What a search is answered with: the counts, and the page's rows."""

    facets: Mapping[str, Facet]
    total: int
    source: Source
    as_of: datetime
    page: Sequence[Any]


@dataclass(frozen=True)
class Answer:
    """One page of a search.

    `rows` map columns to values; they are as of the moment of the call. `total` and `facets` are
    exact as of `as_of`. `next` is the cursor of the next page, None on the last one.
    """

    rows: tuple[Mapping[str, object], ...]
    total: int
    facets: Mapping[str, Facet]
    next: str | None
    as_of: datetime
    source: Source
    steps: tuple[Step, ...] = ()


@dataclass(frozen=True, slots=True)
class Group:
    """One line of a report: the value of each dimension, its label, and the figures by name."""

    dimensions: Mapping[str, str | None]
    labels: Mapping[str, str | None]
    figures: Mapping[str, int | Decimal | None]


@dataclass(frozen=True)
class Report:
    """A report's lines, ordered by their dimensions, exact as of `as_of`."""

    name: str
    by: tuple[str, ...]
    measures: tuple[str, ...]
    groups: tuple[Group, ...]
    as_of: datetime
    source: Source
    steps: tuple[Step, ...] = ()


__all__ = ["Answer", "Bucket", "Facet", "Found", "Group", "Report", "Source", "Step"]
