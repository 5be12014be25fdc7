"""Answers a search that a user or a text narrows: as of its own moment, in one statement.

Buckets tell which rows a user may see, as far as they do; the rest is looked at in the statement of
the page, which also says whether the bitmaps are the newest. Where that would cost more, or there
are no bitmaps, SQL counts the rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from crm_ops.read import catching_up, few, looked, told
from crm_ops.read.answers import Found, Step
from crm_ops.read.condition import Condition
from crm_ops.read.kept import Held, Kept
from crm_ops.read.published import Published
from crm_ops.read.question import Question
from crm_ops.read.remembered import Labels
from crm_ops.read.told import Told
from crm_ops.read.trips import REFUSALS, given_up, since
from crm_ops.read.visibility import Views
from crm_ops.sharing.visible import Visible

Write = Callable[[Question, Visible | None], Condition]
"""Writes a statement for a search as somebody sees it, None: as one who sees all."""

Ask = Callable[[Write, Callable[[], object]], sa.Row[Any]]
"""Runs what is written, again where rules changed meanwhile, and gives its one row.

What is given besides may be called while PostgreSQL works.
"""

# As often a fold may be between two statements; who is overtaken more often counts by SQL.
_TRIES = 3
_FIRST = "bitmaps, or else page and counts of the rows themselves"
_TOLD = "page, counts of what bitmaps leave open, and whether they are the newest"
_ROWS = "page and counts of the rows themselves, read once where they are few"


@dataclass(frozen=True)
class Means:
    """What narrowed searches are answered with; `user` says whether one is named."""

    published: Published
    held: Kept
    views: Views
    ask: Ask
    user: bool


def answer(question: Question, means: Means, steps: list[Step]) -> Found:
    """The answer, by bitmaps and SQL together or by SQL alone."""
    if not means.user and len(question.filters) < 2:
        steps.append(Step("process", "no bitmaps: a text is looked for in all rows", 0.0))
        return _by_sql(question, means, steps)
    name, held = question.layout.counted.name, means.held
    known = held.get(name, question.tenant)
    for _ in range(_TRIES):
        named = held.labels(name, question.tenant)
        made, row = _asked(known, named, means, steps)
        if row is None or (made is not None and row.set_id is None):
            held.forget(name, question.tenant)
            break
        if made is None and (known is not None or row.set_id is None):
            return looked.found(question, row.tally, row.now, row.page)
        if known is not None and made is not None and row.same:
            held.put(name, question.tenant, known)
            if not row.able or made.short(row):
                break
            return made.found(row, named)
        known = catching_up.newest(question, known, row, steps)
        if known is None:
            held.forget(name, question.tenant)
            break
        held.put(name, question.tenant, known)
    return _by_sql(question, means, steps)


def _asked(
    known: Held | None, named: Labels, means: Means, steps: list[Step]
) -> tuple[Told | None, sa.Row[Any] | None]:
    """What bitmaps told and the row of the statement made of it, None where logs are gone."""
    made: Told | None = None

    def write(asked: Question, given: Visible | None) -> Condition:
        nonlocal made
        if known is None:
            return _first(asked)
        made = told.by_bitmaps(asked, known, given, means.views, steps)
        return few.statement(asked) if made is None else made.statement(named)

    try:
        what = _FIRST if known is None else _TOLD
        row = _timed(means.ask, write, what, steps, lambda: made and made.counted)
    except REFUSALS as error:
        steps.append(given_up(error))
        return None, None
    return made, row


def _timed(
    ask: Ask,
    write: Write,
    what: str,
    steps: list[Step],
    meanwhile: Callable[[], object] = lambda: None,
) -> sa.Row[Any]:
    """Ask, and note the step."""
    began, written = 0.0, Condition("")

    def noted(asked: Question, given: Visible | None) -> Condition:
        nonlocal began, written
        made = write(asked, given)
        written = Condition(made.text, {**made.values, **({} if given is None else given.values)})
        began = time.perf_counter()
        return written

    row = ask(noted, meanwhile)
    steps.append(Step("postgres", what, since(began), written.text, written.values))
    return row


def _by_sql(question: Question, means: Means, steps: list[Step]) -> Found:
    row = _timed(means.ask, lambda asked, _: few.statement(asked), _ROWS, steps)
    return looked.found(question, row.tally, row.now, row.page)


def _first(question: Question) -> Condition:
    """Bitmaps if there are some, else what SQL counts."""
    made = few.parts(question)
    none = "CASE WHEN made.id IS NULL THEN"
    found = catching_up.statement(
        question,
        None,
        {
            "now": "statement_timestamp()",
            "tally": f"{none} ({made.counts.text}) END",
            "page": f"{none} ({made.page.text}) END",
        },
        {**made.counts.values, **made.page.values},
    )
    return Condition(f"{made.beginning} {found.text}", found.values)


__all__ = ["Ask", "Means", "Write", "answer"]
