"""The SQL of counts of some rows, read once: with each group, which filters its rows fail.

A facet's counts leave its own filter out, so rows that fail one filter count there and nowhere
else; those that fail more count nowhere.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from crm_ops.base import sql
from crm_ops.catalog.facets import LinkFacet
from crm_ops.fold import splits
from crm_ops.read import labels, shown
from crm_ops.read.answers import Found
from crm_ops.read.buckets import Bucket
from crm_ops.read.condition import Condition
from crm_ops.read.layout import Layout
from crm_ops.read.question import Question

# GROUPING() takes at most 31 arguments.
_MOST = 30


@dataclass(frozen=True)
class Tally:
    """How many rows all filters keep, and by facet and bucket how many the others' filters do."""

    total: int
    facets: Mapping[str, Mapping[Bucket, int]]
    labels: Mapping[tuple[str, Bucket], str | None]


def found(
    question: Question,
    groups: Iterable[Sequence[Any]],
    as_of: datetime,
    paged: Sequence[Any] | None,
) -> Found:
    """The answer that SQL has counted alone."""
    tally = read(question, groups)
    facets = shown.counted(question.layout, tally.facets, tally.labels)
    return Found(facets, tally.total, "sql", as_of, paged or ())


def read(question: Question, groups: Iterable[Sequence[Any]] | None) -> Tally:
    """The counts that the JSON of `statement` has; None has none.

    Groups without `missed` are of rows that fail no filter, as those of `counts` are.
    """
    own = {name: 1 << at for at, name in enumerate(question.filters)}
    facets: dict[str, Counter[Bucket]] = {name: Counter() for name in question.layout.entity.facets}
    named = {}
    total = 0
    for facet, bucket, label, *failed, n in groups or ():
        missed = sum(failed)
        if not facet:
            total += n if not missed else 0
        elif missed in (0, own.get(facet, 0)):
            facets[facet][bucket] += n
            named[facet, bucket] = label
    return Tally(total, facets, named)


def statement(question: Question, rows: Condition, *, table: str | None = None) -> Condition:
    """A SELECT of one JSON array of [facet, bucket, label, missed, n] of the rows `rows`.

    `missed` is a sum of powers of two, one for each filter that the rows fail; the facet '' has all
    rows. The rows are those of the entity's table, or of the `table` that has the same columns.
    """
    layout = question.layout
    table = table or layout.table
    missed = " + ".join(
        f"CASE WHEN {test.text} THEN 0 ELSE {1 << at} END"
        for at, test in enumerate(question.filters.values())
    )
    able = ", ".join(["0", *(str(1 << at) for at in range(len(question.filters)))])
    kept = f"{rows.text} AND ({missed or 0}) IN ({able})"
    parts = list(_scans(layout, table, missed or "0", kept))
    parts += [
        _link(layout, table, name, facet, missed or "0", kept)
        for name, facet in layout.entity.facets.items()
        if isinstance(facet, LinkFacet)
    ]
    shown = labels.of_facets(layout, "counted.facet", "counted.bucket")
    bound = {key: value for test in question.filters.values() for key, value in test.values.items()}
    return Condition(
        f"SELECT json_agg(json_build_array(facet, bucket, {shown}, missed, n))"
        f" FROM ({' UNION ALL '.join(parts)}) AS counted",
        {**rows.values, **bound},
    )


def _scans(layout: Layout, table: str, missed: str, kept: str) -> Iterator[str]:
    made = [
        splits.make(name, facet, layout.counted.types, layout.counted.catalog.time_zone)
        for name, facet in layout.entity.facets.items()
        if not isinstance(facet, LinkFacet)
    ]
    for at in range(0, max(len(made), 1), _MOST):
        yield _scan(table, made[at : at + _MOST], missed, kept, total=at == 0)


def _scan(table: str, chunk: Sequence[splits.Split], missed: str, kept: str, *, total: bool) -> str:
    keys = [f"f{number}" for number in range(len(chunk))]
    columns = "".join(f", {split.key} AS {key}" for split, key in zip(chunk, keys, strict=True))
    sets = ", ".join((["(missed)"] if total else []) + [f"(missed, {key})" for key in keys])
    everything = (1 << len(keys)) - 1
    # GROUPING()'s bits: the first key's is the highest, and 0 where a row is grouped by the key.
    masks = [str(everything ^ (1 << (len(keys) - 1 - at))) for at in range(len(keys))]
    grouping = f"GROUPING({', '.join(keys)})" if keys else "0"
    names = {mask: sql.literal(split.name) for mask, split in zip(masks, chunk, strict=True)}
    texts = {m: s.text(key) for m, s, key in zip(masks, chunk, keys, strict=True)}
    # OFFSET 0 hides from the planner what the keys are made of, see counts.
    return f"""
SELECT {sql.choose("g", names, "''")} AS facet, {sql.choose("g", texts, "NULL")} AS bucket,
       missed, n
FROM (
  SELECT {"".join(f"{key}, " for key in keys)}missed, {grouping} AS g, count(*) AS n
  FROM (
    SELECT {missed} AS missed{columns} FROM {table} AS r WHERE {kept} OFFSET 0
  ) AS source
  GROUP BY GROUPING SETS ({sets})
) AS grouped"""


def _link(layout: Layout, table: str, name: str, facet: LinkFacet, missed: str, kept: str) -> str:
    """A row counts once for each linked value."""
    links = sql.Relation.parse(facet.table).quoted
    value = f"link.{sql.identifier(facet.column)}"
    return f"""
SELECT {sql.literal(name)} AS facet, {splits.clipped("value")} AS bucket, missed, count(*) AS n
FROM (
  SELECT DISTINCT {layout.key} AS key, {value}::text AS value, {missed} AS missed
  FROM {table} AS r
  JOIN {links} AS link ON link.{sql.identifier(facet.parent)} = {layout.key}
  WHERE {kept} AND {value} IS NOT NULL
) AS pairs
GROUP BY value, missed"""


__all__ = ["Tally", "found", "read", "statement"]
