"""Answers a search by facets with bitmaps: counts in this process, the page from PostgreSQL.

One statement gives the page and what happened to the bitmaps since those that this process holds. A
process that holds none, or too old ones, is given whole ones, and asks again. A tenant without
bitmaps is counted by the same statement.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import sqlalchemy as sa

from crm_ops.read import (
    candidates,
    catching_up,
    counts,
    labels,
    looked,
    page,
    remembered,
    shown,
    sideways,
)
from crm_ops.read.answers import Facet, Found, Step
from crm_ops.read.candidates import Choice
from crm_ops.read.condition import Condition
from crm_ops.read.kept import Counts, Held, Kept
from crm_ops.read.question import Question
from crm_ops.read.remembered import Labels
from crm_ops.read.shown import Columns
from crm_ops.read.sideways import Filtered
from crm_ops.read.trips import REFUSALS, Ask, given_up, since, timed

# As often bitmaps may be made anew between two statements; who is overtaken more counts by SQL.
_TRIES = 3
_FIRST = "bitmaps, or else page and counts of the rows themselves"
# Measured: a row that is read, or put into one group.
_GROUPED_MS = 0.00015


def answer(question: Question, held: Kept, ask: Ask, steps: list[Step]) -> Found | None:
    """The answer by bitmaps, or of a tenant without them by SQL; None if by neither."""
    name = question.layout.counted.name
    named = held.labels(name, question.tenant)
    known = held.get(name, question.tenant)
    for _ in range(_TRIES):
        asked = None if known is None else _asked(question, known, named, steps)
        if known is not None and asked is None:
            return None
        row = _row(question, asked, ask, steps)
        if asked is None and row is not None and row.set_id is None:
            return looked.found(question, row.counts, row.now, row.page)
        newest = None
        if row is not None and row.set_id is not None:
            newest = catching_up.newest(question, known, row, steps)
        if row is None or newest is None:
            held.forget(name, question.tenant)
            return None
        held.put(name, question.tenant, newest)
        if asked is not None and row.caught_up:
            found = _served(asked, newest, row, ask, steps)
            if found is not None:
                return found
        known = newest
    return None


def _row(
    question: Question, asked: _Asked | None, ask: Ask, steps: list[Step]
) -> sa.Row[Any] | None:
    """What PostgreSQL says; None where the logs were taken away, which held bitmaps do not know.

    If more than that is wrong, the count of the rows, which is asked for then, says so.
    """
    if asked is None:
        return timed(ask, _first(question), _FIRST, steps)
    try:
        # Counted while PostgreSQL looks for the page, as seldom anything changed.
        asking = partial(ask, meanwhile=asked.meanwhile)
        return timed(asking, asked.statement(), asked.what, steps)
    except REFUSALS as error:
        steps.append(given_up(error))
        return None


@dataclass(frozen=True)
class _Asked:
    """What the bitmaps that are held tell, and how the page is to be found."""

    question: Question
    known: Held
    filtered: Filtered
    choice: Choice
    named: Labels

    @property
    def what(self) -> str:
        how = "along the index of its order" if self.choice.found is None else "by its rows' keys"
        return f"page {how}, and what changed in the bitmaps"

    @cached_property
    def before(self) -> dict[str, Columns]:
        """The facets that were counted for the same filters before."""
        found = {
            name: self.known.remembered.get(self._key(name), self.named)
            for name in self.question.layout.entity.facets
        }
        return {name: facet for name, facet in found.items() if facet is not None}

    @cached_property
    def counts(self) -> Counts:
        """The counts of all other facets."""
        facets = [name for name in self.question.layout.entity.facets if name not in self.before]
        return sideways.count(self.question, self.known, self.filtered, facets)

    @cached_property
    def columns(self) -> dict[str, Columns]:
        """All facets, once the labels of their buckets are known."""
        layout, made = self.question.layout, dict(self.before)
        for name, counted in self.counts.items():
            made[name] = shown.columns(layout, name, counted, self.named)
            self.known.remembered.put(self._key(name), self.named, made[name])
        return {name: made[name] for name in layout.entity.facets}

    @cached_property
    def facets(self) -> dict[str, Facet]:
        """The same, as the answer has them."""
        return {name: each.facet for name, each in self.columns.items()}

    def meanwhile(self) -> None:
        """Make as much of the facets as can be made before PostgreSQL has answered."""
        _ = self.facets if self.known.remembered.labelled(self.named) else self.counts

    def _key(self, name: str) -> remembered.Asked:
        return remembered.asked(name, self.filtered.buckets)

    def statement(self) -> Condition:
        """The page, labels, and what changed."""
        question, found = self.question, self.choice.found
        rows = [question.rows, *question.filters.values()]
        if found is not None:
            rows.append(candidates.condition(question, self.known, found))
        paged = page.statement(question, *rows)
        unnamed = labels.unknown(question.layout, self.known, self.named)
        return catching_up.statement(
            question,
            self.known,
            {
                "labels": f"CASE WHEN caught_up THEN ({unnamed.text}) END",
                "page": f"CASE WHEN caught_up THEN ({paged.text}) END",
            },
            {**paged.values, **unnamed.values},
        )


def _asked(question: Question, known: Held, named: Labels, steps: list[Step]) -> _Asked | None:
    """Filter, and choose; None where a filter is no union of buckets."""
    began = time.perf_counter()
    filtered = sideways.filtered(question, known)
    if filtered is None:
        steps.append(Step("process", "bitmaps: a filter begins or ends within a bucket", 0.0))
        return None
    choice = candidates.choose(question, known, filtered.rows)
    steps.append(
        Step(
            "process",
            f"bitmaps: {len(filtered.rows):,} of {len(known.everything):,} rows; expected: page by"
            f" keys {choice.lookup_ms:,.1f} ms, along the index {choice.walk_ms:,.1f} ms",
            since(began),
        )
    )
    return _Asked(question, known, filtered, choice, named)


def _served(
    asked: _Asked, newest: Held, row: sa.Row[Any], ask: Ask, steps: list[Step]
) -> Found | None:
    """The answer; None where it needs what was not asked for yet."""
    question, found = asked.question, asked.choice.found
    labels.learn(asked.known, asked.named, row.labels or ())
    short = len(row.page or ()) <= question.limit
    if question.limit and found is not None and not found.whole and short:
        # So many rows changed since that others, further on, belong on the page.
        walked = replace(asked, known=newest, choice=replace(asked.choice, found=None))
        row = timed(ask, walked.statement(), walked.what, steps)
        if not row.caught_up or row.version != newest.version:
            return None
    began = time.perf_counter()
    if newest is not asked.known:
        filtered = sideways.filtered(question, newest) or asked.filtered
        asked = replace(asked, known=newest, filtered=filtered)
        if any(place not in asked.named for place in labels.wanted(question.layout, asked.counts)):
            return None
    what = (
        f"bitmaps: {len(asked.counts)} of {len(asked.facets)} facets counted, the others"
        f" remembered; expected by sql: {_sql_ms(asked.filtered, asked.columns):,.1f} ms"
    )
    steps.append(Step("process", what, since(began)))
    return Found(asked.facets, len(asked.filtered.rows), "bitmaps", row.as_of, row.page or ())


def _sql_ms(filtered: Filtered, facets: Mapping[str, Columns]) -> float:
    """What the counts would cost by SQL at least: each row is read and put into groups."""
    free = len(facets) - len(filtered.by_facet)
    others = sum(facets[name].other + sum(facets[name].counts) for name in filtered.by_facet)
    return (len(filtered.rows) * (1 + free) + 2 * others) * _GROUPED_MS


def _first(question: Question) -> Condition:
    counted = counts.live(question.layout, question.rows, question.filters)
    paged = page.statement(question, question.rows, *question.filters.values())
    none = "CASE WHEN made.id IS NULL THEN"
    return catching_up.statement(
        question,
        None,
        {
            "now": "statement_timestamp()",
            "counts": f"{none} ({counted.text}) END",
            "page": f"{none} ({paged.text}) END",
        },
        {**counted.values, **paged.values},
    )


__all__ = ["answer"]
