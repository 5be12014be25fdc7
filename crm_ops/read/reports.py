"""Answers a report from the stored figures of a declared aggregate, rolled up and filtered.

Sum and count are stored and added up; an average is made of them at the end. Money of different
currencies is never added up: where a currency is declared, it is a dimension of every report.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from crm_ops.base import errors, sql
from crm_ops.base.names import AGGREGATE, MOMENT, REFRESH
from crm_ops.catalog import suggestion
from crm_ops.catalog.aggregates import Aggregate, Measure
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.facets import DateFacet, RangesFacet
from crm_ops.fold import aggregates
from crm_ops.read import labels, periods, question, rollup, scope, values
from crm_ops.read.answers import Group, Report, Source, Step
from crm_ops.read.condition import Condition, all_of
from crm_ops.read.layout import Layout
from crm_ops.read.periods import Unit
from crm_ops.read.question import Filters
from crm_ops.read.search import Ask

CURRENCY = "currency"


@dataclass(frozen=True)
class Dimension:
    """One dimension of a report: its name as asked for, and its bucket as SQL over stored rows."""

    asked: str
    name: str
    bucket: str


@dataclass(frozen=True)
class Asked:
    """A report that can be answered."""

    layout: Layout
    name: str
    aggregate: Aggregate
    tenant: str
    by: tuple[Dimension, ...]
    kept: Condition
    not_older_than: datetime | None


def declared(catalog: Catalog, name: str) -> Aggregate:
    """The aggregate of that name; raises `ParameterError` naming those there are."""
    found = catalog.aggregates.get(name)
    if found is None:
        raise errors.ParameterError(
            f"no report is called {name[:60]!r}{suggestion.of(name, catalog.aggregates)}; declared"
            f" are {values.listed(catalog.aggregates)}"
        )
    return found


def make(
    layout: Layout,
    name: str,
    tenant: str,
    *,
    by: Sequence[str] | None,
    filters: Filters,
    begin: str | None,
    end: str | None,
    not_older_than: datetime | None,
    now: datetime,
) -> Asked:
    """The report; raises `ParameterError` for what was not declared, naming what is."""
    question.check_moment(not_older_than, now)
    scope.rows(layout, tenant)
    aggregate = layout.counted.catalog.aggregates[name]
    wanted = list(dict.fromkeys(aggregate.by if by is None else by))
    if aggregate.currency is not None and CURRENCY not in wanted:
        wanted.append(CURRENCY)
    kept = [
        _filter(layout, name, aggregate, dimension, buckets, f"filter_{at}")
        for at, (dimension, buckets) in enumerate(question.buckets(filters).items())
    ]
    if begin is not None or end is not None:
        kept.append(_between(layout, name, aggregate, begin, end))
    return Asked(
        layout,
        name,
        aggregate,
        tenant,
        tuple(_dimension(layout, name, aggregate, each) for each in wanted),
        all_of(kept),
        not_older_than,
    )


def answer(asked: Asked, ask: Ask) -> Report:
    """The report, in one round trip if the tenant was ever counted."""
    steps: list[Step] = []
    source: Source = "table"
    row = _timed(ask, _stored(asked), "stored figures", steps)
    stale = asked.not_older_than is not None and row.as_of and row.as_of < asked.not_older_than
    if row.as_of is None or stale:
        source = "sql"
        row = _timed(ask, _live(asked), "figures of the rows themselves", steps)
    groups = [_group(asked, line) for line in row.lines or ()]
    return Report(
        name=asked.name,
        by=tuple(each.asked for each in asked.by),
        measures=tuple(asked.aggregate.measures),
        groups=tuple(sorted(groups, key=lambda group: _place(asked, group))),
        as_of=row.as_of,
        source=source,
        steps=tuple(steps),
    )


def _stored(asked: Asked) -> Condition:
    stored = (
        f"SELECT dimensions, measured, n, total, low, high FROM {AGGREGATE.quoted}"
        " WHERE aggregate = %(stored_aggregate)s AND tenant = %(stored_tenant)s"
    )
    return Condition(
        f"""
SELECT greatest(refresh.as_of, CASE WHEN refresh.captured THEN moment.as_of END) AS as_of,
       ({_lines(asked, stored)}) AS lines
FROM (VALUES (true)) AS always
LEFT JOIN {REFRESH.quoted} AS refresh
  ON refresh.kind = 'aggregates' AND refresh.entity = %(stored_entity)s
  AND refresh.tenant = %(stored_tenant)s AND refresh.definition = %(made_with)s
LEFT JOIN {MOMENT.quoted} AS moment ON moment.entity = refresh.entity
""",
        {
            **asked.kept.values,
            "stored_aggregate": asked.name,
            "stored_entity": asked.aggregate.entity,
            "stored_tenant": asked.tenant,
            "made_with": asked.layout.made_with["aggregates"],
        },
    )


def _live(asked: Asked) -> Condition:
    counted = asked.layout.counted
    fresh = (
        f"SELECT dimensions, measured, n, total, low, high FROM ({aggregates.recount(counted)})"
        " AS fresh WHERE aggregate = %(stored_aggregate)s"
    )
    return Condition(
        f"SELECT statement_timestamp() AS as_of, ({_lines(asked, fresh)}) AS lines",
        {**asked.kept.values, "stored_aggregate": asked.name, "tenants": [asked.tenant]},
    )


def _lines(asked: Asked, figures: str) -> str:
    """A SELECT of one JSON array of [buckets, labels, figures], all as texts."""
    keys = [f"d{at}" for at in range(len(asked.by))]
    buckets = [f"{each.bucket} AS {key}" for each, key in zip(asked.by, keys, strict=True)]
    shown = [
        _label(asked, each, key) or "NULL::text" for each, key in zip(asked.by, keys, strict=True)
    ]
    measures = [_measure(each) for each in asked.aggregate.measures.values()]
    made = [f"({each})::text AS m{at}" for at, each in enumerate(measures)]
    texts = [f"m{at}" for at in range(len(measures))]
    # Without a dimension there is one line, also where there is no figure.
    grouped = f"GROUP BY {', '.join(keys)}" if keys else ""
    return f"""
  SELECT json_agg(json_build_array(
    json_build_array({", ".join(keys)}), json_build_array({", ".join(shown)}),
    json_build_array({", ".join(texts)})))
  FROM (
    SELECT {", ".join([*keys, *made])}
    FROM (
      SELECT {"".join(f"{each}, " for each in buckets)}measured, n, total, low, high
      FROM ({figures}) AS stored WHERE {asked.kept.text}
    ) AS bucketed
    {grouped}
  ) AS lines
"""


def _measure(measure: Measure) -> str:
    own = f"FILTER (WHERE measured = {sql.literal(measure.column or '')})"
    n, total = f"coalesce(sum(n) {own}, 0)", f"sum(total) {own}"
    match measure.function:
        case "count":
            return n
        case "sum":
            return total
        case "avg":
            return f"{total} / nullif({n}, 0)"
        case "min":
            return f"min(low) {own}"
        case "max":
            return f"max(high) {own}"


def _dimension(layout: Layout, name: str, aggregate: Aggregate, asked: str) -> Dimension:
    dimension, _, unit = asked.partition(":")
    held = _held(layout, name, aggregate, dimension)
    if not unit:
        return Dimension(asked, dimension, held)
    own = _unit(layout, dimension)
    if own is None or unit not in (own, *rollup.COARSER[own]):
        raise _undeclared(layout, name, aggregate, asked)
    wanted = next(each for each in (own, *rollup.COARSER[own]) if each == unit)
    return Dimension(asked, dimension, rollup.bucket(held, own, wanted))


def _held(layout: Layout, name: str, aggregate: Aggregate, dimension: str) -> str:
    """Where the stored figures have the bucket of a dimension, as SQL."""
    if dimension == CURRENCY and aggregate.currency is not None:
        return f"dimensions[{len(aggregate.by) + 1}]"
    if dimension not in aggregate.by:
        raise _undeclared(layout, name, aggregate, dimension)
    return f"dimensions[{aggregate.by.index(dimension) + 1}]"


def _undeclared(
    layout: Layout, name: str, aggregate: Aggregate, asked: str
) -> errors.ParameterError:
    known = list(aggregate.by)
    for dimension in aggregate.by:
        unit = _unit(layout, dimension)
        known += [f"{dimension}:{coarser}" for coarser in rollup.COARSER[unit]] if unit else []
    if aggregate.currency is not None:
        known.append(CURRENCY)
    return errors.ParameterError(
        f"{name} has no dimension {asked[:60]!r}; declared are {values.listed(known)}"
    )


def _unit(layout: Layout, dimension: str) -> Unit | None:
    facet = layout.entity.splits().get(dimension)
    return facet.bucket if isinstance(facet, DateFacet) else None


def _filter(
    layout: Layout,
    name: str,
    aggregate: Aggregate,
    dimension: str,
    wanted: Sequence[str | None],
    place: str,
) -> Condition:
    """The stored figures in one of the buckets; of dates a longer period's, too."""
    held, unit = _held(layout, name, aggregate, dimension), _unit(layout, dimension)
    given = [each for each in wanted if each is not None]
    tests = ["false"]
    bound: dict[str, object] = {}
    if None in wanted:
        tests.append(f"{held} IS NULL")
    for at, text in enumerate(given):
        period = periods.parse(text) if unit else None
        expression = held
        if unit and period and period.unit in rollup.COARSER[unit]:
            expression = rollup.bucket(held, unit, period.unit)
        tests.append(f"{expression} = %({place}_{at})s::text")
        bound[f"{place}_{at}"] = text
    return Condition(" OR ".join(tests), bound)


def _between(
    layout: Layout, name: str, aggregate: Aggregate, begin: str | None, end: str | None
) -> Condition:
    """The stored figures from the period `begin` to the period `end`, both included."""
    dated = [each for each in aggregate.by if _unit(layout, each) is not None]
    if not dated:
        raise errors.ParameterError(
            f"{name} has no dimension of dates, so it has no from and to; declared are"
            f" {values.listed(aggregate.by)}"
        )
    unit = _unit(layout, dated[0]) or "day"
    held = f'{_held(layout, name, aggregate, dated[0])} COLLATE "C"'
    # Names of one length sort as their dates do; longer years and the era before Christ do not.
    tests = [f"length({held}) = {len(periods.EXAMPLES[unit])}"]
    bound = {}
    if begin is not None:
        tests.append(f"{held} >= %(begin)s::text")
        bound["begin"] = rollup.first_bucket(begin, unit)
    if end is not None:
        tests.append(f"{held} <= %(end)s::text")
        bound["end"] = rollup.last_bucket(end, unit)
    return Condition(" AND ".join(tests), bound)


def _label(asked: Asked, dimension: Dimension, key: str) -> str | None:
    if dimension.name not in asked.layout.entity.splits():
        return None
    return labels.label(asked.layout, dimension.name, key)


def _group(asked: Asked, line: Any) -> Group:
    buckets, shown, figures = line
    names = [each.asked for each in asked.by]
    measures = asked.aggregate.measures
    return Group(
        dimensions=dict(zip(names, buckets, strict=True)),
        labels={
            each.asked: _null_label(asked, each.name) if bucket is None else label
            for each, bucket, label in zip(asked.by, buckets, shown, strict=True)
        },
        figures={
            name: _figure(measure, text)
            for (name, measure), text in zip(measures.items(), figures, strict=True)
        },
    )


def _figure(measure: Measure, text: str | None) -> int | Decimal | None:
    if text is None:
        return None
    return int(text) if measure.function == "count" else Decimal(text)


def _null_label(asked: Asked, name: str) -> str | None:
    facet = asked.layout.entity.splits().get(name)
    return None if facet is None else facet.null_label


def _place(asked: Asked, group: Group) -> tuple[tuple[bool, int, str], ...]:
    """Ranges from low to high, everything else by name, what has no value last."""
    return tuple(
        (value is None, _rank(asked, each.name, value), value or "")
        for each, value in zip(asked.by, group.dimensions.values(), strict=True)
    )


def _rank(asked: Asked, name: str, value: str | None) -> int:
    facet = asked.layout.entity.splits().get(name)
    if not isinstance(facet, RangesFacet) or value not in facet.labels():
        return 0
    return facet.labels().index(value)


def _timed(ask: Ask, statement: Condition, what: str, steps: list[Step]) -> Any:
    began = time.perf_counter()
    row = ask(statement.text, statement.values)
    took_ms = (time.perf_counter() - began) * 1000
    steps.append(Step("postgres", what, took_ms, statement.text, statement.values))
    return row


__all__ = ["CURRENCY", "Asked", "answer", "declared", "make"]
