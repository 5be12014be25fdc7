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
    columns = _ordered(by, [each for each in found if each is not None])
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
        map(
            Group,
            map(dict, map(zip, repeat(names), _lines(buckets, lines))),
            map(_Labels(names).__getitem__, _lines(labels, lines)),
            map(dict, map(zip, repeat(measures), _lines(figures, lines))),
        )
    )


class _Labels(dict[tuple[_Cell, ...], Mapping[str, str | None]]):
    """The labels of a line by its cells: most lines have the same, none."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__()
        self._names = names

    def __missing__(self, cells: tuple[_Cell, ...]) -> Mapping[str, str | None]:
        found: Mapping[str, Any] = dict(zip(self._names, cells, strict=True))
        self[cells] = found
        return found


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


def _ordered(by: Sequence[Dimension], columns: list[list[_Cell]]) -> list[list[_Cell]]:
    """The columns with their lines in order."""
    if not by or not columns:
        return columns
    ranks = list(zip(*map(_ranks, by, columns), strict=True))
    order = sorted(range(len(ranks)), key=ranks.__getitem__)
    return [[column[at] for at in order] for column in columns]


def _ranks(dimension: Dimension, buckets: Sequence[_Cell]) -> list[tuple[int, _Cell]]:
    """What lines sort by: ranges from low to high, all else by name, what has no value last."""
    facet = dimension.facet
    ranges = facet.labels() if isinstance(facet, RangesFacet) else ()
    places = {label: at for at, label in enumerate(ranges)}
    first, last = len(places), len(places) + 1
    return [
        (last, "") if bucket is None else (places.get(str(bucket), first), bucket)
        for bucket in buckets
    ]


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
