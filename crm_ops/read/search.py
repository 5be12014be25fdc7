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

from crm_ops.base.names import MOMENT, REFRESH
from crm_ops.publish import codec, facets
from crm_ops.read import cells, counts, cursor, filtered, looked, narrowed, page, published
from crm_ops.read.answers import Answer, Found, Source, Step
from crm_ops.read.condition import Condition
from crm_ops.read.cursor import Position
from crm_ops.read.narrowed import Means
from crm_ops.read.published import Precomputed, Published
from crm_ops.read.question import Question
from crm_ops.read.trips import Ask, since, timed

_NO_VERSION = -1


def answer(question: Question, means: Means, ask: Ask, *, signing_key: bytes | None) -> Answer:
    """The answer; asks Redis at most once, and PostgreSQL once if the tenant was ever counted."""
    steps: list[Step] = []
    found = None
    if not question.whole:
        found = narrowed.answer(question, means, steps)
    elif question.plain:
        found = _precomputed(question, means.published, ask, steps)
    else:
        found = filtered.answer(question, means.held, ask, steps)
        found = found if found is not None and _fresh(question, found.as_of) else None
    found = found or _counted(question, ask, steps)
    rows, following = _page(question, found.page, signing_key)
    return Answer(
        rows=rows,
        total=found.total,
        facets=found.facets,
        next=following,
        as_of=found.as_of,
        source=found.source,
        steps=tuple(steps),
    )


def _precomputed(question: Question, redis: Published, ask: Ask, steps: list[Step]) -> Found | None:
    """What was precomputed, with the page; None where it must be counted."""
    began = time.perf_counter()
    layout = question.layout
    held = redis.facet_counts(layout, question.tenant)
    steps.append(Step("redis", "counts" if held else "no usable counts", since(began)))
    if held is not None and not _fresh(question, held.as_of):
        return None
    if held is not None and question.limit == 0:
        return _precounted(held, "redis", held.as_of, ())
    statement = _stored(question, _NO_VERSION if held is None else held.version)
    row = timed(ask, statement, "page, and counts unless Redis has the newest", steps)
    if row.version is None:
        return None
    if held is not None and held.version == row.version:
        return _precounted(held, "redis", row.as_of, row.page)
    stored = published.precomputed(layout, _figures(question, row))
    if stored is None or not _fresh(question, stored.as_of):
        return None
    return _precounted(stored, "table", row.as_of, row.page)


def _precounted(held: Precomputed, source: Source, as_of: datetime, paged: Any) -> Found:
    facets = {name: columns.facet for name, columns in held.facets.items()}
    return Found(facets, held.total, source, as_of, paged or ())


def live(question: Question) -> Condition:
    """A SELECT of one row: as_of, counts and page of the rows as they are, in one snapshot."""
    counted = counts.live(question.layout, question.rows, question.filters)
    paged = page.statement(question, question.rows, *question.filters.values())
    return Condition(
        f"SELECT statement_timestamp() AS as_of, ({counted.text}) AS counts,"
        f" ({paged.text}) AS page",
        {**counted.values, **paged.values},
    )


def _counted(question: Question, ask: Ask, steps: list[Step]) -> Found:
    row = timed(ask, live(question), "page and counts of the rows themselves", steps)
    return looked.found(question, row.counts, row.as_of, row.page)


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


def _figures(question: Question, row: Any) -> codec.FacetCounts:
    """The stored counts; those of a facet that the catalog no longer declares are not served."""
    entity_facets = question.layout.entity.facets
    tally = looked.read(question, [each for each in row.counts if each[0] in entity_facets])
    return codec.FacetCounts(
        entity=question.layout.counted.name,
        tenant=question.tenant,
        definition=question.layout.made_with["facets"],
        version=row.version,
        as_of=row.as_of,
        total=row.counted,
        facets={
            name: facets.shown(
                facets.cut(declared, list(found), list(found.values())),
                {value: tally.labels[name, value] for value in found},
            )
            for name, declared in entity_facets.items()
            for found in [tally.facets[name]]
        },
    )


def _page(
    question: Question, held: Sequence[Any], signing_key: bytes | None
) -> tuple[tuple[Mapping[str, object], ...], str | None]:
    """The rows of the page, and the cursor of the next if there is one."""
    layout = question.layout
    names = page.columns(layout)
    shown = [row for row, _, _ in held[: question.limit]]
    columns = [
        cells.values(texts, layout.type_of(name))
        for name, texts in zip(names, zip(*shown, strict=True), strict=False)
    ]
    rows = tuple(dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True))
    if len(held) <= question.limit or not rows:
        return rows, None
    _, value, key = held[question.limit - 1]
    return rows, cursor.encode(Position(value, key), question.fingerprint, signing_key)


def _fresh(question: Question, as_of: datetime) -> bool:
    return question.not_older_than is None or as_of >= question.not_older_than


__all__ = ["answer", "live"]
