"""How a process's bitmaps become the newest, by the trip that brings a page."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from crm_ops.base.names import (
    BITMAP,
    BITMAP_CHANGE,
    BITMAP_SET,
    FACET_COUNT,
    MOMENT,
    REFRESH,
)
from crm_ops.catalog.facets import LinkFacet
from crm_ops.read import kept
from crm_ops.read.answers import Step
from crm_ops.read.condition import Condition
from crm_ops.read.kept import Held
from crm_ops.read.question import Question
from crm_ops.read.trips import since

SAME = "made.id = %(known_set)s AND made.version = %(known_version)s"
"""Within such a statement: whether the bitmaps that are known are the newest."""


def statement(
    question: Question, known: Held | None, more: Mapping[str, str], values: Mapping[str, Any]
) -> Condition:
    """One row: the set, its version and moment, what happened since `known`, and `more`.

    `caught_up` says that `changes` bring what is known up to date. Where they do not, as nothing is
    known, or nothing of this set in a version that it had of late, `whole` has all bitmaps as they
    were written, `changes` what happened since, and `sizes` how many rows each bucket has after.
    """
    return Condition(
        f"""
SELECT made.id AS set_id, made.version, greatest(made.as_of, moment.as_of) AS as_of, caught_up,
       CASE WHEN NOT caught_up OR made.version <> %(known_version)s THEN (
         SELECT json_agg(
             json_build_array(facet, buckets, went_n, came_n, went, came) ORDER BY version)
         FROM {BITMAP_CHANGE.quoted} AS change
         WHERE change.set_id = made.id
           AND change.version > CASE WHEN caught_up THEN %(known_version)s ELSE made.compacted END
       ) END AS changes,
       CASE WHEN NOT caught_up THEN (
         SELECT json_agg(json_build_array(facet, bucket, encode(bits, 'hex')))
         FROM {BITMAP.quoted} AS stored WHERE stored.set_id = made.id
       ) END AS whole,
       CASE WHEN NOT caught_up THEN (
         SELECT json_agg(json_build_array(facet, bucket, n)) FROM {FACET_COUNT.quoted} AS counted
         WHERE counted.entity = made.entity AND counted.tenant = made.tenant AND n <> 0
           AND counted.facet = ANY(%(all_facets)s::text[])
       ) END AS sizes,
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
CROSS JOIN LATERAL (
  SELECT made.id = %(known_set)s AND (
    %(known_version)s IN (made.version, made.since) OR EXISTS (
      SELECT FROM {BITMAP_CHANGE.quoted} AS change
      WHERE change.set_id = made.id AND change.version = %(known_version)s
    )
  ) AS caught_up
  -- Asked once, not again wherever it is used: planning takes longer than answering.
  OFFSET 0
) AS reader
""",
        {
            **values,
            "known_set": 0 if known is None else known.set_id,
            "known_version": 0 if known is None else known.version,
            "stored_entity": question.layout.counted.name,
            "stored_tenant": question.tenant,
            "made_with": question.layout.made_with["facets"],
            "all_facets": ["", *question.layout.entity.facets],
        },
    )


def newest(
    question: Question, known: Held | None, row: sa.Row[Any], steps: list[Step]
) -> Held | None:
    """The bitmaps as of the row's moment; None where they have not as many rows as they should."""
    if known is not None and row.caught_up and row.version == known.version:
        return known
    began = time.perf_counter()
    changes, whole = row.changes or (), row.whole or ()
    if known is not None and row.caught_up:
        found = kept.moved(known, row.version, changes)
    else:
        facets = question.layout.entity.facets
        single = [name for name, each in facets.items() if not isinstance(each, LinkFacet)]
        found = kept.whole(row.set_id, row.version, whole, changes, row.sizes or (), single)
    changed = sum(len(buckets) for _, buckets, *_ in changes)
    what = f"bitmaps: {len(whole):,} read, {changed:,} changes"
    if found is None:
        what = f"{what}; they are given up, their rows are not as many as were counted"
    steps.append(Step("process", what, since(began)))
    return found


__all__ = ["SAME", "newest", "statement"]
