"""Answers a report from the stored figures of a declared aggregate, rolled up and filtered.

Sum and count are stored and added up; an average is made of them at the end. Money of different
currencies is never added up: where a currency is declared, it is a dimension of every report.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from crm_ops.base import errors
from crm_ops.base.names import AGGREGATE, MOMENT, REFRESH
from crm_ops.catalog import suggestion
from crm_ops.catalog.aggregates import Aggregate
from crm_ops.catalog.catalog import Catalog
from crm_ops.fold import aggregates
from crm_ops.read import dimensions, lines, question, scope, values
from crm_ops.read.answers import Report, Source, Step
from crm_ops.read.condition import Condition, all_of
from crm_ops.read.dimensions import CURRENCY, Declared, Dimension
from crm_ops.read.layout import Layout
from crm_ops.read.question import Filters
from crm_ops.read.trips import Ask, timed


@dataclass(frozen=True)
class Asked:
    """A report that can be answered."""

    declared: Declared
    tenant: str
    by: tuple[Dimension, ...]
    kept: Condition
    not_older_than: datetime | None

    @property
    def layout(self) -> Layout:
        """Its entity's."""
        return self.declared.layout


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
    found = Declared(layout, name, aggregate)
    wanted = list(dict.fromkeys(aggregate.by if by is None else by))
    if aggregate.currency is not None and CURRENCY not in wanted:
        wanted.append(CURRENCY)
    kept = [
        dimensions.filtered(found, dimension, buckets, f"filter_{at}")
        for at, (dimension, buckets) in enumerate(question.buckets(filters).items())
    ]
    if begin is not None or end is not None:
        kept.append(dimensions.between(found, begin, end))
    return Asked(
        found,
        tenant,
        tuple(dimensions.parse(found, each) for each in wanted),
        all_of(kept),
        not_older_than,
    )


def answer(asked: Asked, ask: Ask, ask_often: Ask) -> Report:
    """The report, in one round trip if the tenant was ever counted.

    `ask_often` is for what is asked again and again, by keys alone.
    """
    steps: list[Step] = []
    source: Source = "table"
    row = timed(ask_often, _stored(asked), "stored figures", steps)
    stale = asked.not_older_than is not None and row.as_of and row.as_of < asked.not_older_than
    if row.as_of is None or stale:
        source = "sql"
        row = timed(ask, _live(asked), "figures of the rows themselves", steps)
    measures = asked.declared.aggregate.measures
    return Report(
        name=asked.declared.name,
        by=tuple(each.asked for each in asked.by),
        measures=tuple(measures),
        groups=lines.read(asked.by, measures, row.lines),
        as_of=row.as_of,
        source=source,
        steps=tuple(steps),
    )


def _stored(asked: Asked) -> Condition:
    stored = (
        f"SELECT dimensions, measured, n, total, low, high FROM {AGGREGATE.quoted}"
        f" WHERE aggregate = {_unseen('stored_aggregate')} AND tenant = {_unseen('stored_tenant')}"
    )
    return Condition(
        f"""
SELECT greatest(refresh.as_of, CASE WHEN refresh.captured THEN moment.as_of END) AS as_of,
       ({_lines(asked, stored)}) AS lines
FROM (VALUES (true)) AS always
LEFT JOIN {REFRESH.quoted} AS refresh
  ON refresh.kind = 'aggregates' AND refresh.entity = {_unseen("stored_entity")}
  AND refresh.tenant = {_unseen("stored_tenant")} AND refresh.definition = {_unseen("made_with")}
LEFT JOIN {MOMENT.quoted} AS moment ON moment.entity = refresh.entity
""",
        {
            **asked.kept.values,
            "stored_aggregate": asked.declared.name,
            "stored_entity": asked.declared.aggregate.entity,
            "stored_tenant": asked.tenant,
            "made_with": asked.layout.made_with["aggregates"],
        },
    )


def _unseen(name: str) -> str:
    """A bound text that the planner does not see.

    Where it sees them, PostgreSQL takes a plan for each to be cheaper, and plans each time.
    """
    return f"(SELECT %({name})s::text)"


def _live(asked: Asked) -> Condition:
    counted = asked.layout.counted
    fresh = (
        f"SELECT dimensions, measured, n, total, low, high FROM ({aggregates.recount(counted)})"
        " AS fresh WHERE aggregate = %(stored_aggregate)s"
    )
    return Condition(
        f"SELECT statement_timestamp() AS as_of, ({_lines(asked, fresh)}) AS lines",
        {
            **asked.kept.values,
            "stored_aggregate": asked.declared.name,
            "tenants": [asked.tenant],
        },
    )


def _lines(asked: Asked, figures: str) -> str:
    measures = list(asked.declared.aggregate.measures.values())
    return lines.statement(
        asked.by, measures, figures, asked.kept.text, as_stored=_as_stored(asked)
    )


def _as_stored(asked: Asked) -> bool:
    """Whether rows alone are counted, by every dimension that there is, none of them rolled up."""
    aggregate = asked.declared.aggregate
    every = {*aggregate.by, *([CURRENCY] if aggregate.currency is not None else [])}
    of_rows = all(
        each.function == "count" and each.column is None for each in aggregate.measures.values()
    )
    return bool(every) and of_rows and {each.asked for each in asked.by} == every


__all__ = ["CURRENCY", "Asked", "answer", "declared", "make"]
