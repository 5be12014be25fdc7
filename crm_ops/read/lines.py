"""The lines of a report: their SQL over figures, and the groups that a caller gets.

A line is a JSON array of its buckets, the labels of those dimensions that have a table of labels,
and its figures: counts as numbers, all else as text, so that money keeps its digits. PostgreSQL
adds up, puts into order and writes the JSON: a caller's process only reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from itertools import repeat
from typing import Any

import msgspec

from crm_ops.base import sql
from crm_ops.catalog.aggregates import Measure
from crm_ops.catalog.facets import RangesFacet
from crm_ops.read.answers import Group
from crm_ops.read.dimensions import Dimension

_Cell = str | int | None
_decoder = msgspec.json.Decoder(list[list[_Cell]])


def statement(by: Sequence[Dimension], measures: Sequence[Measure], figures: str, kept: str) -> str:
    """A SELECT of one JSON text: the lines of those `figures` (a SELECT) that are `kept`."""
    keys = [f"d{at}" for at in range(len(by))]
    buckets = [f"{each.bucket} AS {key}" for each, key in zip(by, keys, strict=True)]
    made = [f"{_measure(each)} AS m{at}" for at, each in enumerate(measures)]
    # Without a dimension there is one line, also where there is no figure.
    grouped = f"GROUP BY {', '.join(keys)}" if keys else ""
    ordered = ", ".join(_order(each, key) for each, key in zip(by, keys, strict=True))
    labels = [text for each, key in zip(by, keys, strict=True) if (text := each.label(key))]
    cells = ", ".join([*keys, *labels, *(f"m{at}" for at in range(len(measures)))])
    return f"""
  SELECT json_agg(json_build_array({cells}){f" ORDER BY {ordered}" if keys else ""})::text
  FROM (
    SELECT {", ".join([*keys, *made])}
    FROM (
      SELECT {"".join(f"{each}, " for each in buckets)}measured, n, total, low, high
      FROM ({figures}) AS stored WHERE {kept}
    ) AS bucketed
    {grouped}
  ) AS lines
"""


def read(
    by: Sequence[Dimension], measures: Mapping[str, Measure], text: str | None
) -> tuple[Group, ...]:
    """The groups that the JSON `text` of the statement has; None has none."""
    # Column by column: a report by day has a thousand lines.
    columns = list(zip(*(_decoder.decode(text) if text else ()), strict=True))
    if not columns:
        return ()
    names = [each.asked for each in by]
    buckets, rest = columns[: len(by)], iter(columns[len(by) :])
    labels = [
        _labels(each, column, next(rest) if each.labelled else repeat(None))
        for each, column in zip(by, buckets, strict=True)
    ]
    figures = [_figures(each, column) for each, column in zip(measures.values(), rest, strict=True)]
    lines = len(columns[0])
    return tuple(
        Group(
            dimensions=dict(zip(names, bucket, strict=True)),
            labels=dict(zip(names, label, strict=True)),
            figures=dict(zip(measures, figure, strict=True)),
        )
        for bucket, label, figure in zip(
            _lines(buckets, lines), _lines(labels, lines), _lines(figures, lines), strict=True
        )
    )


def _measure(measure: Measure) -> str:
    own = f"FILTER (WHERE measured = {sql.literal(measure.column or '')})"
    n, total = f"coalesce(sum(n) {own}, 0)", f"sum(total) {own}"
    match measure.function:
        case "count":
            return f"{n}::bigint"
        case "sum":
            return f"({total})::text"
        case "avg":
            return f"({total} / nullif({n}, 0))::text"
        case "min":
            return f"(min(low) {own})::text"
        case "max":
            return f"(max(high) {own})::text"


def _order(dimension: Dimension, key: str) -> str:
    """Ranges from low to high, everything else by name, what has no value last."""
    by_name = f'{key} COLLATE "C"'
    if isinstance(dimension.facet, RangesFacet):
        ranges = ", ".join(sql.literal(label) for label in dimension.facet.labels())
        by_name = f"array_position(ARRAY[{ranges}], {key}), {by_name}"
    return f"{key} IS NULL, {by_name}"


def _labels(dimension: Dimension, buckets: Iterable[_Cell], found: Iterable[_Cell]) -> list[_Cell]:
    null_label = dimension.null_label
    return [
        null_label if bucket is None else label
        for bucket, label in zip(buckets, found, strict=False)
    ]


def _figures(measure: Measure, cells: Iterable[_Cell]) -> list[Any]:
    if measure.function == "count":
        return list(cells)
    return [None if cell is None else Decimal(cell) for cell in cells]


def _lines(columns: Sequence[Sequence[Any]], lines: int) -> Iterable[tuple[Any, ...]]:
    """The cells of each line; where there is no column, so many lines without any."""
    return zip(*columns, strict=True) if columns else repeat((), lines)


__all__ = ["read", "statement"]
