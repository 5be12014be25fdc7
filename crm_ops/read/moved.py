"""The rows that bitmaps do not tell of as they are now, as SQL: to be looked at one by one.

Bitmaps of a version and the change log of the same snapshot are the rows as they are: each row that
changed since is in the log. So are those whose links changed. Records that are shared with a user
are looked at, too: no bucket tells of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pyroaring import BitMap

from crm_ops.base import sql
from crm_ops.base.names import BITMAP_POSITION, REBUILD_MARKER
from crm_ops.catalog.facets import LinkFacet
from crm_ops.changes import logs
from crm_ops.fold import rows
from crm_ops.read.condition import Condition
from crm_ops.read.kept import Held
from crm_ops.read.question import Question

ABLE = (
    "(SELECT count(*) FROM moved) <= %(most_moved)s AND NOT EXISTS"
    f" (SELECT FROM {REBUILD_MARKER.quoted} AS marker WHERE marker.entity = %(stored_entity)s)"
)
"""Whether they are few enough, and the log holds all changes."""

GONE = (
    f"SELECT string_agg(int4send(known.position), '') FROM {BITMAP_POSITION.quoted} AS known"
    " WHERE known.set_id = %(known_set)s"
    " AND known.key = ANY(ARRAY(SELECT moved.key::text FROM moved))"
)
"""The positions that they have in the bitmaps."""


def table(question: Question, shared: str | None) -> str:
    """The table `moved` of their keys, for a WITH; `shared` is a SELECT of keys."""
    return f"moved (key) AS MATERIALIZED ({' UNION '.join(_keys(question, shared))})"


def bound(question: Question, most: int) -> Mapping[str, Any]:
    """The values of all of this."""
    return {"moved_tenant": question.tenant, "most_moved": most}


def also(question: Question, held: Held, others: BitMap) -> Condition:
    """The rows `r` that moved, or are one of the `others` by position."""
    key_type = question.layout.type_of(question.layout.entity.key)
    return Condition(
        f"{question.layout.key} = ANY(ARRAY(SELECT moved.key FROM moved UNION ALL"
        f" SELECT known.key::{key_type} FROM {BITMAP_POSITION.quoted} AS known"
        " WHERE known.set_id = %(open_set)s AND known.position = ANY(%(open_rows)s::integer[])))",
        {"open_set": held.set_id, "open_rows": others.to_array().tolist()},
    )


def _keys(question: Question, shared: str | None) -> Iterator[str]:
    layout, counted = question.layout, question.layout.counted
    key, key_type = sql.identifier(layout.entity.key), layout.type_of(layout.entity.key)
    own = logs.relation(counted.name).quoted
    yield (
        f"SELECT logged.{key}::{key_type} FROM {own} AS logged"
        f" WHERE {rows.tenant(counted, 'logged')} = %(moved_tenant)s"
    )
    for name, facet in layout.entity.facets.items():
        if isinstance(facet, LinkFacet):
            link, parent = logs.relation(counted.name, name).quoted, sql.identifier(facet.parent)
            yield f"SELECT linked.{parent}::{key_type} FROM {link} AS linked"
    if shared is not None:
        yield f"SELECT {layout.key} FROM {layout.table} AS r WHERE {layout.key} IN ({shared})"


__all__ = ["ABLE", "GONE", "also", "bound", "table"]
