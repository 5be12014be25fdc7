"""The lines of a report: their SQL over figures, and the groups that a caller gets.

They come column by column, each a JSON array: the buckets of each dimension, the labels of those
that have a table of labels, and the figures: counts as numbers, all else as text, so that money
keeps its digits. PostgreSQL adds up; what puts them into order takes less time here.
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
from crm_ops.read import bulk
from crm_ops.read.answers import Group
from crm_ops.read.dimensions import Dimension

_Cell = str | int | None
_decoder = msgspec.json.Decoder(list[list[_Cell] | None])


def statement(
    by: Sequence[Dimension],
    measures: Sequence[Measure],
    figures: str,
    kept: str,
    *,
    as_stored: bool,
) -> str:
    """A SELECT of one JSON text: the lines of those `figures` (a SELECT) that are `kept`.

    `as_stored` says that each stored figure of the rows is a line of its own.
    """
    keys = [f"d{at}" for at in range(len(by))]
    buckets = [f"{each.bucket} AS {key}" for each, key in zip(by, keys, strict=True)]
    labels = [text for each, key in zip(by, keys, strict=True) if (text := each.label(key))]
    cells = [*keys, *labels, *(f"m{at}" for at in range(len(measures)))]
    if as_stored:
        made = [f"n AS m{at}" for at in range(len(measures))]
        lines = f"SELECT {', '.join([*buckets, *made])} FROM ({figures}) AS stored"
        lines += f" WHERE ({kept}) AND measured = ''"
    else:
        made = [f"{_measure(each)} AS m{at}" for at, each in enumerate(measures)]
        # Without a dimension there is one line, also where there is no figure.
        lines = f"""
    SELECT {", ".join([*keys, *made])}
    FROM (
      SELECT {"".join(f"{each}, " for each in buckets)}measured, n, total, low, high
      FROM ({figures}) AS stored WHERE {kept}
    ) AS bucketed
    {f"GROUP BY {', '.join(keys)}" if keys else ""}"""
    columns = ", ".join(f"json_agg({cell})" for cell in cells)
    return f"SELECT json_build_array({columns})::text FROM ({lines}) AS lines"


def read(
    by: Sequence[Dimension], measures: Mapping[str, Measure], text: str | None
) -> tuple[Group, ...]:
    """The groups that the JSON `text` of the statement has; None has none."""
    found = _decoder.decode(text) if text else []
    columns = [each for each in found if each is not None]
    if not columns:
        return ()
    lines = len(columns[0])
    order = _order(by, columns, lines)
    columns = [[column[at] for at in order] for column in columns]
    buckets, rest = columns[: len(by)], iter(columns[len(by) :])
    labels = [
        _labels(each, column, next(rest) if each.labelled else repeat(None))
        for each, column in zip(by, buckets, strict=True)
    ]
    figures = [_figures(each, column) for each, column in zip(measures.values(), rest, strict=True)]
    names = [each.asked for each in by]
    return bulk.records(
        Group,
        _named(names, buckets, lines),
        _named(names, labels, lines),
        _named(list(measures), figures, lines),
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


def _order(by: Sequence[Dimension], columns: list[list[_Cell]], lines: int) -> list[int]:
    """The places of the lines in their order: by the first dimension, then by the next."""
    order = list(range(lines))
    for dimension, column in zip(reversed(by), reversed(columns[: len(by)]), strict=True):
        # Each sorting keeps the order of equals from the one before; what has no value comes last.
        without = [at for at in order if column[at] is None]
        order = [at for at in order if column[at] is not None] if without else order
        order.sort(key=_ranks(dimension, column).__getitem__)
        order += without
    return order


def _ranks(dimension: Dimension, buckets: list[_Cell]) -> list[Any]:
    """What lines sort by: ranges from low to high, all else by name."""
    if not isinstance(dimension.facet, RangesFacet):
        return buckets
    places = {label: at for at, label in enumerate(dimension.facet.labels())}
    return [(places.get(str(bucket), len(places)), bucket) for bucket in buckets]


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


def _named(names: Sequence[str], columns: Sequence[Sequence[Any]], lines: int) -> list[Any]:
    """The cells of each line by name."""
    if len(names) == 1:
        # What most have is made in a fourth of the time that any number of names takes.
        return [{names[0]: cell} for cell in columns[0]]
    return [dict(zip(names, cells, strict=True)) for cells in _lines(columns, lines)]


def _lines(columns: Sequence[Sequence[Any]], lines: int) -> Iterable[tuple[Any, ...]]:
    """The cells of each line; where there is no column, so many lines without any."""
    return zip(*columns, strict=True) if columns else repeat((), lines)


__all__ = ["read", "statement"]
