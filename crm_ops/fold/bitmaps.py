"""Keeps the bitmaps of large tenants: which rows are in which bucket, as of the figures' moment.

Their changes are appended in the transaction that changes the figures, from the same log; a bucket
has as many rows as its count says, which is looked at after every fold. A tenant without bitmaps is
counted by SQL, so that what cannot be kept is left out, never wrong.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from crm_ops.base import sql, statements
from crm_ops.fold import bit_changes, compaction, definition, making, rows
from crm_ops.fold.compaction import Place

_log = logging.getLogger(__name__)

EVERYTHING: Place = ("", None)


@dataclass(frozen=True)
class Appended:
    """The sets that changed, and those of them whose changes cannot be right."""

    sets: tuple[int, ...] = ()
    doubted: tuple[int, ...] = ()


def append(connection: sa.Connection, counted: rows.Counted, *, as_of: datetime) -> Appended:
    """Append what the log, which is emptied after this, changes; gives new rows positions."""
    bound = _bound(counted)
    if not sql.run(connection, _load()["folded"], bound).scalar_one():
        return Appended()
    found = sql.run(connection, bit_changes.append(counted), bound, as_of=as_of).all()
    return Appended(
        tuple(row.set_id for row in found), tuple(row.set_id for row in found if row.doubted)
    )


def settle(
    connection: sa.Connection, counted: rows.Counted, changed: Appended, *, as_of: datetime
) -> None:
    """After the figures: make what is missing, and anew what is not sound; compact what is due."""
    load, bound = _load(), _bound(counted)
    needless = list(sql.run(connection, load["needless"], bound).scalars())
    drop(connection, counted, needless)
    wanted = sql.run(connection, load["wanted"], bound).all()
    drop(connection, counted, [row.tenant for row in wanted if row.sparse])
    making.make(connection, counted, [row.tenant for row in wanted], as_of=as_of)
    facets = ["", *counted.entity.facets]
    sets, doubted = list(changed.sets), list(changed.doubted)
    unsound = sql.run(connection, load["unsound"], sets=sets, doubted=doubted, facets=facets)
    again = list(unsound.scalars()) if sets else []
    again += compaction.compact(connection, counted)
    for tenant in sorted(set(again)):
        _log.error(
            "bitmaps of %s of tenant %s are not as the counts and are made anew",
            counted.name,
            tenant,
            extra={"action": "repair", "entity": counted.name, "tenant": tenant},
        )
    making.make(connection, counted, sorted(set(again)), as_of=as_of)


def anew(
    connection: sa.Connection, counted: rows.Counted, tenants: Sequence[str], *, as_of: datetime
) -> None:
    """Make the bitmaps of those of `tenants` that are large, after their figures were counted."""
    large = sql.run(connection, _load()["large"], _bound(counted), tenants=list(tenants)).all()
    kept = {row.tenant for row in large if not row.sparse}
    drop(connection, counted, [tenant for tenant in tenants if tenant not in kept])
    making.make(connection, counted, [row.tenant for row in large], as_of=as_of)


def drop(connection: sa.Connection, counted: rows.Counted, tenants: Sequence[str]) -> None:
    """Forget the bitmaps of tenants."""
    if tenants:
        sql.run(connection, _load()["drop"], entity=counted.name, tenants=list(tenants))


def _bound(counted: rows.Counted) -> dict[str, object]:
    return {
        "entity": counted.name,
        "definition": definition.of(counted, "facets").id,
        "from_rows": counted.catalog.limits.bitmaps_from_rows,
    }


def _load() -> Mapping[str, str]:
    return statements.load("crm_ops.fold", "bitmaps.sql")


__all__ = ["EVERYTHING", "Appended", "Place", "anew", "append", "drop", "settle"]
