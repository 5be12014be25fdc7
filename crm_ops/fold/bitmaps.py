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
from pyroaring import BitMap

from crm_ops.base import sql, statements
from crm_ops.fold import bit_changes, bits, compaction, definition, positions, recount, rows
from crm_ops.fold.compaction import Place

_log = logging.getLogger(__name__)

EVERYTHING: Place = ("", None)
_AT_ONCE = 64


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
    for row in sql.run(connection, load["wanted"], bound).all():
        _make(connection, counted, row.tenant, as_of, compact=row.sparse)
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
        _make(connection, counted, tenant, as_of)


def anew(
    connection: sa.Connection, counted: rows.Counted, tenants: Sequence[str], *, as_of: datetime
) -> None:
    """Make the bitmaps of those of `tenants` that are large, after their figures were counted."""
    large = sql.run(connection, _load()["large"], _bound(counted), tenants=list(tenants)).all()
    names = {row.tenant for row in large}
    drop(connection, counted, [tenant for tenant in tenants if tenant not in names])
    for row in large:
        _make(connection, counted, row.tenant, as_of, compact=row.sparse)


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


def _make(
    connection: sa.Connection,
    counted: rows.Counted,
    tenant: str,
    as_of: datetime,
    *,
    compact: bool = False,
) -> None:
    """Make a tenant's bitmaps equal its rows in this snapshot; rows keep their positions."""
    load = _load()
    if compact:
        drop(connection, counted, [tenant])
    begun = sql.run(connection, load["begin"], _bound(counted), tenant=tenant, as_of=as_of).one()
    sql.run(connection, load["clear"], set=begun.id)
    given = 0
    for group in recount.visible(connection, counted, [tenant]):
        bound = {"set": begun.id, "tenants": group}
        sql.run(connection, bits.gone(counted), bound)
        given += sql.run(connection, bits.come(counted), bound, first=begun.positions).rowcount
        found = sql.stream(connection, bits.recount(counted), **bound)
        for chunk in found.partitions(_AT_ONCE):
            made = {(row.facet, row.bucket): positions.of(row.bits) for row in chunk}
            if any(len(made[row.facet, row.bucket]) != row.n for row in chunk):
                found.close()
                _give_up(connection, counted, tenant, begun.id)
                return
            _write(connection, begun.id, made)
    sql.run(connection, load["finish"], set=begun.id, positions=begun.positions + given)


def _give_up(connection: sa.Connection, counted: rows.Counted, tenant: str, set_id: int) -> None:
    key = counted.entity.key
    reason = f"{counted.table}.{key} is not one row's alone, or is NULL"
    _log.warning(
        "%s of tenant %s have no bitmaps, searches with filters take longer: %s",
        counted.name,
        tenant,
        reason,
        extra={"action": "no_bitmaps", "entity": counted.name, "tenant": tenant},
    )
    sql.run(connection, _load()["clear"], set=set_id)
    sql.run(connection, _load()["give_up"], set=set_id, reason=reason)


def _write(connection: sa.Connection, set_id: int, made: Mapping[Place, BitMap]) -> None:
    compaction.write(connection, set_id, made)
    sql.run(
        connection,
        _load()["count"],
        set=set_id,
        facets=[facet for facet, _ in made],
        buckets=[bucket for _, bucket in made],
        ns=[len(each) for each in made.values()],
    )


def _load() -> Mapping[str, str]:
    return statements.load("crm_ops.fold", "bitmaps.sql")


__all__ = ["EVERYTHING", "Appended", "Place", "anew", "append", "drop", "settle"]
