"""Answers a search: a page of rows, the exact total, and the counts of every facet.

Where nothing narrows the tenant's rows, the counts are those that were precomputed: from Redis, and
in the query of the page PostgreSQL says whether they are its newest, and if not gives them itself.
Where facets narrow the rows of a large tenant, they are counted with bitmaps; users and texts are
answered by bitmaps and SQL together. All else is counted at that moment, in one statement with the
page.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from crm_ops.base.names import MOMENT, REFRESH
from crm_ops.publish import codec, facets
from crm_ops.read import bulk, cells, counts, cursor, filtered, narrowed, page
from crm_ops.read.answers import Answer, Bucket, Counted, Facet, Found, Source, Step
from crm_ops.read.condition import Condition
from crm_ops.read.cursor import Position
from crm_ops.read.layout import Layout
from crm_ops.read.narrowed import Means
from crm_ops.read.published import Published, consistent
from crm_ops.read.question import Question
from crm_ops.read.trips import Ask, since, timed

_NO_VERSION = -1


def answer(question: Question, means: Means, ask: Ask, *, signing_key: bytes | None) -> Answer:
    """The answer; asks Redis at most once, and PostgreSQL once if the tenant was ever counted."""
    steps: list[Step] = []
    found = None
    if not question.whole:
        found = _told(question, narrowed.answer(question, means, steps))
    elif question.plain:
        found = _precomputed(question, means.published, ask, steps)
    else:
        found = _by_bitmaps(question, means, ask, steps)
    figures, source, shown = found or _counted(question, ask, steps)
    rows, following = _page(question, shown, signing_key)
    return Answer(
        rows=rows,
        total=figures.total,
        facets=_facets(question.layout, figures),
        next=following,
        as_of=figures.as_of,
        source=source,
        steps=tuple(steps),
    )


_Found = tuple[codec.FacetCounts, Source, Sequence[Any]]


def _precomputed(
    question: Question, published: Published, ask: Ask, steps: list[Step]
) -> _Found | None:
    """What was precomputed, with the page; None where it must be counted."""
    began = time.perf_counter()
    layout = question.layout
    held = published.facet_counts(layout, question.tenant)
    steps.append(Step("redis", "counts" if held else "no usable counts", since(began)))
    if held is not None and not _fresh(question, held.as_of):
        return None
    if held is not None and question.limit == 0:
        return held, "redis", ()
    statement = _stored(question, _NO_VERSION if held is None else held.version)
    row = timed(ask, statement, "page, and counts unless Redis has the newest", steps)
    if row.version is None:
        return None
    if held is not None and held.version == row.version:
        return msgspec.structs.replace(held, as_of=row.as_of), "redis", row.page or ()
    counted = counts.read(row.counts)
    figures = _figures(question, counted, row.as_of, row.counted, row.version)
    if not _fresh(question, figures.as_of) or not consistent(figures, layout.entity):
        return None
    return figures, "table", row.page or ()


def _by_bitmaps(question: Question, means: Means, ask: Ask, steps: list[Step]) -> _Found | None:
    """What was counted with bitmaps, or at once by SQL where there are none."""
    found = filtered.answer(question, means.held, ask, steps)
    if found is None or not _fresh(question, found.as_of):
        return None
    return _told(question, found)


def _told(question: Question, found: Found) -> _Found:
    figures = _figures(question, found.counted, found.as_of, found.total, found.version)
    return figures, "bitmaps" if found.version else "sql", found.page


def live(question: Question) -> Condition:
    """A SELECT of one row: as_of, counts and page of the rows as they are, in one snapshot."""
    counted = counts.live(question.layout, question.rows, question.filters)
    paged = page.statement(question, question.rows, *question.filters.values())
    return Condition(
        f"SELECT statement_timestamp() AS as_of, ({counted.text}) AS counts,"
        f" ({paged.text}) AS page",
        {**counted.values, **paged.values},
    )


def _counted(question: Question, ask: Ask, steps: list[Step]) -> _Found:
    row = timed(ask, live(question), "page and counts of the rows themselves", steps)
    counted = counts.read(row.counts)
    total = counts.total(counted)
    return _figures(question, counted, row.as_of, total, 0), "sql", row.page or ()


def _stored(question: Question, version: int) -> Condition:
    """The page, and the stored counts unless their version is `version`."""
    paged = page.statement(question, question.rows, *question.filters.values())
    return Condition(
        f"""
SELECT refresh.version, refresh.counted,
       greatest(refresh.as_of, CASE WHEN refresh.captured THEN moment.as_of END) AS as_of,
       CASE WHEN refresh.version <> %(known)s THEN ({counts.stored(question.layout)}) END AS counts,
       ({paged.text}) AS page
FROM (VALUES (true)) AS always
LEFT JOIN {REFRESH.quoted} AS refresh
  ON refresh.kind = 'facets' AND refresh.entity = %(stored_entity)s
  AND refresh.tenant = %(stored_tenant)s AND refresh.definition = %(made_with)s
LEFT JOIN {MOMENT.quoted} AS moment ON moment.entity = refresh.entity
""",
        {
            **paged.values,
            "known": version,
            "stored_entity": question.layout.counted.name,
            "stored_tenant": question.tenant,
            "made_with": question.layout.made_with["facets"],
        },
    )


def _figures(
    question: Question, counted: Counted, as_of: datetime, total: int, version: int
) -> codec.FacetCounts:
    # One that the catalog no longer declares is not served.
    return codec.FacetCounts(
        entity=question.layout.counted.name,
        tenant=question.tenant,
        definition=question.layout.made_with["facets"],
        version=version,
        as_of=as_of,
        total=total,
        facets={
            name: facets.shown(facet, counted.get(name, ()))
            for name, facet in question.layout.entity.facets.items()
        },
    )


def _facets(layout: Layout, figures: codec.FacetCounts) -> dict[str, Facet]:
    found = {}
    for name, facet in figures.facets.items():
        without = layout.entity.facets[name].null_label
        values = [held.value for held in facet.buckets]
        labels = [without if held.value is None else held.label for held in facet.buckets]
        buckets = bulk.records(Bucket, values, labels, [held.n for held in facet.buckets])
        found[name] = Facet(buckets, facet.other)
    return found


def _page(
    question: Question, held: Sequence[Any], signing_key: bytes | None
) -> tuple[tuple[Mapping[str, object], ...], str | None]:
    """The rows of the page, and the cursor of the next if there is one."""
    layout = question.layout
    shown = page.columns(layout)
    types = [layout.type_of(name) for name in shown]
    rows = tuple(
        {name: cells.value(text, each) for name, each, text in zip(shown, types, row, strict=True)}
        for row, _, _ in held[: question.limit]
    )
    if len(held) <= question.limit or not rows:
        return rows, None
    _, value, key = held[question.limit - 1]
    return rows, cursor.encode(Position(value, key), question.fingerprint, signing_key)


def _fresh(question: Question, as_of: datetime) -> bool:
    return question.not_older_than is None or as_of >= question.not_older_than


__all__ = ["answer", "live"]
