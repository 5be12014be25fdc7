"""What bitmaps tell of a search that a user or a text narrows, and what they leave to be looked at.

The counts of the rows that are surely meant are made in this process. The statement of the page
counts those that have to be looked at, and says which rows moved: these are taken out again.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sqlalchemy as sa
from pyroaring import BitMap

from crm_ops.fold import positions
from crm_ops.read import (
    candidates,
    catching_up,
    extent,
    labels,
    looked,
    moved,
    page,
    shown,
    within,
)
from crm_ops.read.answers import Found, Step
from crm_ops.read.condition import Condition, all_of
from crm_ops.read.extent import Extent
from crm_ops.read.kept import Held
from crm_ops.read.question import Question
from crm_ops.read.remembered import Labels
from crm_ops.read.trips import since
from crm_ops.read.visibility import Views
from crm_ops.read.within import Counted, Filters
from crm_ops.sharing.viewer import READ
from crm_ops.sharing.visible import Visible

# Measured at a tenant of a million rows: a row looked at by its key, one that SQL reads, and one
# that it counts.
_LOOKED_AT_MS = 0.02
_READ_MS = 0.0003
_COUNTED_MS = 0.001
# What a text costs nobody knows beforehand: so long rows are looked at instead.
_TEXT_MS = 10.0


@dataclass(frozen=True)
class Told:
    """Rows that are `surely` meant, and rows that are `open`.

    `page` are those among which the page is, None where the index of its order is walked; `shared`
    is a SELECT of keys to be looked at, too, and `most_moved` as many as are worth it.
    """

    question: Question
    known: Held
    filters: Filters
    surely: BitMap
    open: BitMap
    page: candidates.Found | None
    shared: str | None
    most_moved: int

    @cached_property
    def counted(self) -> Counted:
        """The counts of the rows that are surely meant."""
        return self.filters.count(self.surely)

    def statement(self, named: Labels) -> Condition:
        """One row: what `filtered` says of the bitmaps, and able, tally, gone, labels, page."""
        question = self.question
        rows = all_of([moved.also(question, self.known, self.open), question.rows])
        tally = looked.statement(question, rows)
        unnamed = labels.unknown(question.layout, self.known, named)
        paged = self._paged()
        usable = f"CASE WHEN {catching_up.SAME} AND {moved.ABLE} THEN"
        made = catching_up.statement(
            question,
            self.known,
            {
                "same": catching_up.SAME,
                "now": "statement_timestamp()",
                "able": moved.ABLE,
                "tally": f"{usable} ({tally.text}) END",
                "gone": f"{usable} ({moved.GONE}) END",
                "labels": f"{usable} ({unnamed.text}) END",
                "page": f"{usable} ({paged.text}) END",
            },
            {**tally.values, **unnamed.values, **paged.values},
        )
        values = {**made.values, **moved.bound(question, self.most_moved)}
        return Condition(f"WITH {moved.table(question, self.shared)} {made.text}", values)

    def found(self, row: sa.Row[Any], named: Labels) -> Found:
        """The answer that the statement's row makes of it."""
        labels.learn(self.known, named, row.labels or ())
        tally = looked.read(self.question, row.tally)
        gone = self.surely & positions.of(row.gone)
        left = self.filters.count(gone)
        counted: dict[str, dict[str | None, int]] = {}
        for facet, each in tally.facets.items():
            lost = left.facets[facet]
            counted[facet] = dict(self.counted.facets[facet])
            for bucket in {**lost, **each}:
                n = counted[facet].pop(bucket, 0) - lost.get(bucket, 0) + each.get(bucket, 0)
                if n:
                    counted[facet][bucket] = n
        facets = shown.counted(self.question.layout, counted, {**tally.labels, **named})
        total = len(self.counted.rows) - len(left.rows) + tally.total
        return Found(facets, total, "bitmaps", row.now, row.page or ())

    def short(self, row: sa.Row[Any]) -> bool:
        """Whether so many rows moved that others, further on, belong on the page."""
        question = self.question
        partial = self.page is not None and not self.page.whole
        return bool(question.limit) and partial and len(row.page or ()) <= question.limit

    def _paged(self) -> Condition:
        """The page's rows among those that may be on it, and those that moved."""
        question = self.question
        rows = [question.rows, *question.filters.values()]
        if self.page is not None:
            also = () if self.shared is None else ("SELECT moved.key FROM moved",)
            rows.append(candidates.condition(question, self.known, self.page, *also))
        return page.statement(question, *rows)


def by_bitmaps(
    question: Question, known: Held, given: Visible | None, views: Views, steps: list[Step]
) -> Told | None:
    """What they tell; None where SQL is expected to be faster, or a filter is in no bucket."""
    began = time.perf_counter()
    seen = _seen(question, known, given, views)
    filters = within.filters(question, known)
    if filters is None:
        steps.append(Step("process", "bitmaps: a filter begins or ends within a bucket", 0.0))
        return None
    sure = len(filters.rows(seen.surely))
    reached = filters.reached()
    open_rows = seen.open & reached
    sql_ms = _TEXT_MS if question.text else _sql_ms(known, len(reached & seen.perhaps))
    looked_ms = len(open_rows) * _LOOKED_AT_MS
    steps.append(
        Step(
            "process",
            f"bitmaps: {sure:,} of {len(known.everything):,} rows surely,"
            f" {len(open_rows):,} to be looked at; expected: {looked_ms:,.1f} ms, counts by sql"
            f" {'unknown' if question.text else f'{sql_ms:,.1f} ms'}",
            since(began),
        )
    )
    if looked_ms > sql_ms:
        return None
    shares = given is not None and given.viewer.active and given.viewer.floor < READ
    return Told(
        question=question,
        known=known,
        filters=filters,
        surely=seen.surely,
        open=open_rows,
        page=_page(question, known, filters.rows(seen.perhaps), sure),
        shared=given.shared if given is not None and shares else None,
        most_moved=int(max(sql_ms, _TEXT_MS) / _LOOKED_AT_MS),
    )


def _seen(question: Question, known: Held, given: Visible | None, views: Views) -> Extent:
    """The rows that the user sees and the text finds."""
    seen = extent.exactly(known.everything)
    if given is not None:
        seen = views.of_user(question.layout, known, question.tenant, given)
    # No bucket tells of texts.
    return Extent(BitMap(), seen.perhaps) if question.text else seen


def _sql_ms(known: Held, counted: int) -> float:
    return len(known.everything) * _READ_MS + counted * _COUNTED_MS


def _page(question: Question, known: Held, kept: BitMap, sure: int) -> candidates.Found | None:
    if len(kept) == sure:
        return candidates.choose(question, known, kept).found
    # Which of them are meant is not known, so neither is how far the page reaches.
    whole = candidates.Found(kept, None, 0.0)
    return whole if len(kept) * _LOOKED_AT_MS <= _TEXT_MS else None


__all__ = ["Told", "by_bitmaps"]
