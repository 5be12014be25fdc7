"""Answers a search that a user or a text narrows by SQL: few rows of a text are read once.

How many rows a text finds, no statistics tell. So the rows are read as far as they are few; counts
and page are made of those. Only where there are more the table is asked again for each of both.
"""

from __future__ import annotations

from dataclasses import dataclass

from crm_ops.read import counts, looked, page
from crm_ops.read.condition import Condition
from crm_ops.read.question import Question

# They fit into the memory that PostgreSQL gives a statement by default.
_FEW = 5_000
_ARE_FEW = f"(SELECT count(*) FROM few) <= {_FEW}"


@dataclass(frozen=True)
class Parts:
    """Parts of a statement: how it begins, and the SQL of its counts and of its page."""

    beginning: str
    counts: Condition
    page: Condition


def statement(question: Question) -> Condition:
    """A SELECT of one row: now, tally and page of the rows as they are, in one snapshot."""
    made = parts(question)
    return Condition(
        f"{made.beginning} SELECT statement_timestamp() AS now, ({made.counts.text}) AS tally,"
        f" ({made.page.text}) AS page",
        {**made.counts.values, **made.page.values},
    )


def parts(question: Question) -> Parts:
    """The same, for a statement that asks for more."""
    rows, layout = question.rows, question.layout
    # One scan is enough for all filters; without any, rows are grouped faster by one key than two.
    of_many = looked.statement(question, rows)
    if not question.filters:
        of_many = counts.live(layout, rows, {})
    paged_of_many = _page(question, rows, layout.table)
    if not question.text:
        return Parts("", of_many, paged_of_many)
    anyhow = Condition("true")
    # What is to be kept is planned for all of the rows, not for the first of them; it is read no
    # further than it is asked for.
    beginning = (
        f"WITH found AS MATERIALIZED (SELECT r.* FROM {layout.table} AS r WHERE {rows.text}),"
        f" few AS MATERIALIZED (SELECT * FROM found LIMIT {_FEW + 1})"
    )
    counted = _either(looked.statement(question, anyhow, table="few"), of_many)
    paged = _either(_page(question, anyhow, "few"), paged_of_many)
    return Parts(beginning, counted, paged)


def _either(of_few: Condition, of_many: Condition) -> Condition:
    return Condition(
        f"SELECT CASE WHEN {_ARE_FEW} THEN ({of_few.text}) ELSE ({of_many.text}) END",
        {**of_few.values, **of_many.values},
    )


def _page(question: Question, rows: Condition, table: str) -> Condition:
    return page.statement(question, rows, *question.filters.values(), table=table)


__all__ = ["Parts", "parts", "statement"]
