"""Answers a search by facets with bitmaps: counts in this process, the page from PostgreSQL.

One statement gives the page and says whether the bitmaps are the newest; if not, it gives those
that changed instead, and is asked again. A tenant without bitmaps is counted by the same statement.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from crm_ops.base import errors
from crm_ops.base.names import BITMAP, BITMAP_SET, MOMENT, REFRESH
from crm_ops.catalog.facets import LinkFacet, LookupFacet
from crm_ops.read import candidates, counts, kept, labels, newer, page, sideways
from crm_ops.read.answers import Step
from crm_ops.read.candidates import Choice
from crm_ops.read.condition import Condition, all_of
from crm_ops.read.kept import Held, Kept, Labels
from crm_ops.read.published import Published
from crm_ops.read.question import Question
from crm_ops.read.sideways import Counted
from crm_ops.read.trips import Ask, since, timed

# As often a fold may be between two statements; who is overtaken more often counts by SQL.
_TRIES = 3
_FIRST = "bitmaps, or else page and counts of the rows themselves"
# Measured: a row that is read, or put into one group.
_GROUPED_MS = 0.00015


@dataclass(frozen=True)
class Found:
    """Counts, and the page; `counted` has rows of (facet, bucket, label, n)."""

    counted: Sequence[Any]
    total: int
    version: int
    as_of: datetime
    page: Sequence[Any]


def answer(
    question: Question, published: Published, held: Kept, ask: Ask, steps: list[Step]
) -> Found | None:
    """The answer by bitmaps, or of a tenant without them (version 0) by SQL; None if by neither."""
    name = question.layout.counted.name
    named = held.labels(name, question.tenant)
    known = _newest(question, published, held.get(name, question.tenant), steps)
    for _ in range(_TRIES):
        if known is None:
            row = timed(ask, _first(question), _FIRST, steps)
            if row.set_id is None:
                return _counted(row)
        else:
            asked = _asked(question, known, steps)
            if asked is None:
                return None
            found = _of_large(ask, asked.statement(question, known, named), asked.what, steps)
            if found is None or found.set_id is None:
                held.forget(name, question.tenant)
                return None
            row = found
            if row.same:
                held.put(name, question.tenant, known)
                return _served(question, known, asked, row, named, ask, steps)
        known = _moved(known, row, steps)
        held.put(name, question.tenant, known)
    return None


def _newest(
    question: Question, published: Published, known: Held | None, steps: list[Step]
) -> Held | None:
    """What Redis has of newer bitmaps, which saves a trip to PostgreSQL after a fold."""
    if known is None:
        return None
    began = time.perf_counter()
    found = newer.bitmaps(published, question.layout, question.tenant, known)
    what = "no newer bitmaps" if found is None else "the bitmaps that changed"
    steps.append(Step("redis", what, since(began)))
    return found or known


def _of_large(ask: Ask, statement: Condition, what: str, steps: list[Step]) -> sa.Row[Any] | None:
    """The row; None where the logs were taken away, which the held bitmaps do not know.

    If more than that is wrong, the count of the rows, which is asked for then, says so.
    """
    try:
        return timed(ask, statement, what, steps)
    except (errors.DatabaseRefused, errors.SettingsError) as error:
        steps.append(Step("postgres", f"refused, bitmaps are given up: {error}", 0.0))
        return None


@dataclass(frozen=True)
class _Asked:
    """What the bitmaps tell, and how the page is to be found."""

    counted: Counted
    choice: Choice

    @property
    def what(self) -> str:
        if self.choice.found is None:
            return "page along the index of its order, and whether the bitmaps are the newest"
        return "page by its rows' keys, and whether the bitmaps are the newest"

    def statement(self, question: Question, known: Held, named: Labels) -> Condition:
        """The page, and labels; where `known` is not the newest, what changed instead."""
        found = self.choice.found
        rows = [question.rows, *question.filters.values()]
        if found is not None:
            rows.append(candidates.condition(question, known, found))
        paged = _page(question, all_of(rows))
        shown = _labels(question, self.counted, named)
        return _statement(
            question,
            known,
            {
                "labels": f"CASE WHEN {_SAME} THEN ({shown.text}) END",
                "page": f"CASE WHEN {_SAME} THEN ({paged.text}) END",
            },
            {**paged.values, **shown.values},
        )


def _asked(question: Question, known: Held, steps: list[Step]) -> _Asked | None:
    """Count, and choose; None where a filter is no union of buckets."""
    began = time.perf_counter()
    counted = sideways.count(question, known)
    if counted is None:
        steps.append(Step("process", "bitmaps: a filter begins or ends within a bucket", 0.0))
        return None
    choice = candidates.choose(question, known, counted.rows)
    steps.append(
        Step(
            "process",
            f"bitmaps: {len(counted.rows):,} of {len(known.everything):,} rows; expected: counts by"
            f" sql {_sql_ms(question, counted):,.1f} ms; page by keys {choice.lookup_ms:,.1f} ms,"
            f" along the index {choice.walk_ms:,.1f} ms",
            since(began),
        )
    )
    return _Asked(counted, choice)


def _sql_ms(question: Question, counted: Counted) -> float:
    """What the counts would cost by SQL at least: each row is read and put into groups."""
    free = len(counted.facets) - len(question.buckets)
    others = sum(sum(counted.facets[name].values()) for name in question.buckets)
    return (len(counted.rows) * (1 + free) + 2 * others) * _GROUPED_MS


def _served(
    question: Question,
    known: Held,
    asked: _Asked,
    row: sa.Row[Any],
    named: Labels,
    ask: Ask,
    steps: list[Step],
) -> Found | None:
    found = asked.choice.found
    short = len(row.page or ()) <= question.limit
    if question.limit and found is not None and not found.whole and short:
        # So many rows changed since that others, further on, belong on the page.
        asked = _Asked(asked.counted, Choice(None, asked.choice.walk_ms, asked.choice.lookup_ms))
        row = timed(ask, asked.statement(question, known, named), asked.what, steps)
        if not row.same:
            return None
    named |= {(facet, bucket): label for facet, bucket, label in row.labels or ()}
    counted = [
        (facet, bucket, named.get((facet, bucket)), n)
        for facet, each in asked.counted.facets.items()
        for bucket, n in each.items()
    ]
    total = len(asked.counted.rows)
    return Found(counted, total, known.version, row.as_of, row.page or ())


def _counted(row: sa.Row[Any]) -> Found:
    total = next(n for facet, _, _, n in row.counts if facet == "")
    return Found(row.counts, total, 0, row.now, row.page or ())


def _moved(known: Held | None, row: sa.Row[Any], steps: list[Step]) -> Held:
    began = time.perf_counter()
    changed = [(facet, bucket, bytes.fromhex(bits)) for facet, bucket, bits in row.changed or ()]
    # What is of the newest version and not the same was never right: nothing of it is kept.
    base = None if known is not None and known.version == row.version else known
    found = kept.moved(base, row.set_id, row.version, row.secret.bytes, changed)
    size = sum(len(bits) for _, _, bits in changed)
    what = f"bitmaps: {len(changed):,} read, {size:,} bytes"
    steps.append(Step("process", what, since(began)))
    return found


def _first(question: Question) -> Condition:
    counted = counts.live(question.layout, question.rows, question.filters)
    paged = _page(question, all_of([question.rows, *question.filters.values()]))
    none = "CASE WHEN made.id IS NULL THEN"
    return _statement(
        question,
        None,
        {
            "now": "statement_timestamp()",
            "counts": f"{none} ({counted.text}) END",
            "page": f"{none} ({paged.text}) END",
        },
        {**counted.values, **paged.values},
    )


def _page(question: Question, rows: Condition) -> Condition:
    if question.limit == 0:
        return Condition("NULL::json")
    return page.statement(question.layout, question.order, rows, question.after, question.limit)


_SAME = (
    "made.id = %(known_set)s AND made.version = %(known_version)s"
    " AND made.digest = %(known_digest)s::numeric"
)


def _statement(
    question: Question, known: Held | None, more: Mapping[str, str], values: Mapping[str, Any]
) -> Condition:
    """One row: the set, its version and moment, the bitmaps changed since `known`, and `more`.

    Where `known` is of the newest version and yet another, all bitmaps.
    """
    return Condition(
        f"""
SELECT made.id AS set_id, made.version, made.secret, greatest(made.as_of, moment.as_of) AS as_of,
       {_SAME} AS same,
       CASE WHEN NOT ({_SAME}) THEN (
         SELECT json_agg(json_build_array(facet, bucket, encode(bits, 'hex')) ORDER BY n DESC)
         FROM {BITMAP.quoted} AS stored
         WHERE stored.set_id = made.id
           AND (made.id <> %(known_set)s OR stored.version > %(known_version)s
                OR made.version = %(known_version)s)
       ) END AS changed,
       {", ".join(f"{text} AS {name}" for name, text in more.items())}
FROM (VALUES (true)) AS always
LEFT JOIN (
  {BITMAP_SET.quoted} AS made
  JOIN {REFRESH.quoted} AS refresh
    ON refresh.kind = 'facets' AND refresh.entity = made.entity AND refresh.tenant = made.tenant
   AND refresh.captured AND refresh.definition = %(made_with)s
) ON made.entity = %(stored_entity)s AND made.tenant = %(stored_tenant)s
  AND made.definition = %(made_with)s AND made.unusable IS NULL
LEFT JOIN {MOMENT.quoted} AS moment ON moment.entity = made.entity
""",
        {
            **values,
            "known_set": 0 if known is None else known.set_id,
            "known_version": 0 if known is None else known.version,
            "known_digest": "0" if known is None else str(known.digest),
            "stored_entity": question.layout.counted.name,
            "stored_tenant": question.tenant,
            "made_with": question.layout.made_with["facets"],
        },
    )


def _labels(question: Question, counted: Counted, named: Labels) -> Condition:
    """The labels not yet `named`, as a JSON array of [facet, bucket, label]."""
    wanted = [
        (name, bucket)
        for name, facet in question.layout.entity.facets.items()
        if isinstance(facet, LookupFacet) or (isinstance(facet, LinkFacet) and facet.label)
        for bucket in counted.facets[name]
        if bucket is not None and (name, bucket) not in named
    ]
    if not wanted:
        return Condition("NULL::json")
    shown = labels.of_facets(question.layout, "counted.facet", "counted.bucket")
    return Condition(
        f"SELECT json_agg(json_build_array(facet, bucket, {shown}))"
        " FROM unnest(%(label_facets)s::text[], %(label_buckets)s::text[])"
        " AS counted (facet, bucket)",
        {
            "label_facets": [name for name, _ in wanted],
            "label_buckets": [bucket for _, bucket in wanted],
        },
    )


__all__ = ["Found", "answer"]
