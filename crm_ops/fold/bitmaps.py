"""Keeps the bitmaps of large tenants: which rows are in which bucket, as of the figures' moment.

They change in the transaction that changes the figures, by the same changes; a bitmap has as many
rows as its bucket's count says, which is looked at after every fold. A tenant without bitmaps is
counted by SQL, so that what cannot be kept is left out, never wrong.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from pyroaring import BitMap

from crm_ops.base import sql, statements
from crm_ops.changes import logs
from crm_ops.fold import bits, definition, links, positions, recount, rows

_log = logging.getLogger(__name__)

Place = tuple[str, str | None]
"""A facet and its bucket; ('', None) has all rows."""

EVERYTHING: Place = ("", None)
_AT_ONCE = 64


@dataclass(frozen=True)
class Change:
    """What happens to one bucket: rows `went`, then rows `came`; a row may be in both."""

    came: BitMap
    went: BitMap


Pending = Mapping[int, Mapping[Place, Change]]
"""The changes of each set."""


def pending(connection: sa.Connection, counted: rows.Counted) -> Pending:
    """What the log, which is emptied after this, changes; gives new rows their positions."""
    bound = _bound(counted)
    load = statements.load("crm_ops.fold", "bitmaps.sql")
    if not sql.run(connection, load["folded"], bound).scalar_one():
        return {}
    found: dict[int, dict[Place, Change]] = defaultdict(dict)
    log = logs.relation(counted.name)
    for row in sql.run(connection, bits.changes(counted, log), bound):
        change = Change(positions.of(row.came), positions.of(row.went))
        found[row.set_id][row.facet, row.bucket] = change
    for name, facet in links.of_entity(counted):
        _relinked(connection, bits.relinked(counted, name, facet), bound, name, found)
    return found


def settle(
    connection: sa.Connection, counted: rows.Counted, changes: Pending, *, as_of: datetime
) -> None:
    """Apply `changes` after the figures were; make what is missing, and anew what is not sound."""
    load = statements.load("crm_ops.fold", "bitmaps.sql")
    bound = _bound(counted)
    for set_id, places in changes.items():
        _apply(connection, set_id, places, as_of)
    needless = list(sql.run(connection, load["needless"], bound).scalars())
    drop(connection, counted, needless)
    for row in sql.run(connection, load["wanted"], bound).all():
        _make(connection, counted, row.tenant, as_of, compact=row.sparse)
    facets = ["", *counted.entity.facets]
    unsound = sql.run(connection, load["unsound"], sets=list(changes), facets=facets)
    for tenant in unsound.scalars().all():
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
    statement = statements.load("crm_ops.fold", "bitmaps.sql")["large"]
    large = sql.run(connection, statement, _bound(counted), tenants=list(tenants)).all()
    names = {row.tenant for row in large}
    drop(connection, counted, [tenant for tenant in tenants if tenant not in names])
    for row in large:
        _make(connection, counted, row.tenant, as_of, compact=row.sparse)


def drop(connection: sa.Connection, counted: rows.Counted, tenants: Sequence[str]) -> None:
    """Forget the bitmaps of tenants."""
    if tenants:
        statement = statements.load("crm_ops.fold", "bitmaps.sql")["drop"]
        sql.run(connection, statement, entity=counted.name, tenants=list(tenants))


def _bound(counted: rows.Counted) -> dict[str, object]:
    return {
        "entity": counted.name,
        "definition": definition.of(counted, "facets").id,
        "from_rows": counted.catalog.limits.bitmaps_from_rows,
    }


def _relinked(
    connection: sa.Connection,
    statement: str,
    bound: Mapping[str, object],
    name: str,
    found: dict[int, dict[Place, Change]],
) -> None:
    """Take the rows that changed out of every bucket of a link facet, and put them where they are.

    Bits are no counts: a link that is there twice, or goes with its row, has no sign of its own.
    """
    load = statements.load("crm_ops.fold", "bitmaps.sql")
    touched: dict[int, BitMap] = {}
    linked: dict[int, dict[str | None, BitMap]] = defaultdict(dict)
    for row in sql.run(connection, statement, bound):
        if row.touched:
            touched[row.set_id] = positions.of(row.bits)
        else:
            linked[row.set_id][row.bucket] = positions.of(row.bits)
    for set_id, went in touched.items():
        stored = sql.run(connection, load["buckets"], set=set_id)
        buckets = {row.bucket for row in stored if row.facet == name} | set(linked[set_id])
        for bucket in buckets:
            came = linked[set_id].get(bucket, BitMap())
            found[set_id][name, bucket] = Change(came, went)


def _apply(
    connection: sa.Connection, set_id: int, changes: Mapping[Place, Change], as_of: datetime
) -> None:
    held = _read(connection, set_id, list(changes))
    written: dict[Place, BitMap] = {}
    for place, change in changes.items():
        before = held.get(place, BitMap())
        after = (before - change.went) | change.came
        if after != before:
            written[place] = after
    if not written:
        return
    load = statements.load("crm_ops.fold", "bitmaps.sql")
    all_rows = changes.get(EVERYTHING, Change(BitMap(), BitMap()))
    left = all_rows.went - all_rows.came
    if left:
        sql.run(connection, load["free"], set=set_id, positions=left.to_array().tolist())
    given = all_rows.came.max() + 1 if all_rows.came else 0
    made = sql.run(connection, load["moved"], set=set_id, as_of=as_of, positions=given).one()
    _write(connection, made, written)
    sql.run(connection, load["finish"], set=set_id, positions=given)


def _make(
    connection: sa.Connection,
    counted: rows.Counted,
    tenant: str,
    as_of: datetime,
    *,
    compact: bool = False,
) -> None:
    """Make a tenant's bitmaps equal its rows in this snapshot; rows keep their positions."""
    load = statements.load("crm_ops.fold", "bitmaps.sql")
    if compact:
        drop(connection, counted, [tenant])
    begun = sql.run(connection, load["begin"], _bound(counted), tenant=tenant, as_of=as_of).one()
    stored = sql.run(connection, load["buckets"], set=begun.id)
    emptied = {(row.facet, row.bucket) for row in stored}
    for group in recount.visible(connection, counted, [tenant]):
        bound = {"set": begun.id, "tenants": group}
        sql.run(connection, bits.gone(counted), bound)
        given = sql.run(connection, bits.come(counted), bound, first=begun.positions).rowcount
        found = sql.stream(connection, bits.recount(counted), **bound)
        for chunk in found.partitions(_AT_ONCE):
            made = {(row.facet, row.bucket): positions.of(row.bits) for row in chunk}
            if any(len(made[row.facet, row.bucket]) != row.n for row in chunk):
                found.close()
                _give_up(connection, counted, tenant, begun.id)
                return
            _write(connection, begun, made)
            emptied -= set(made)
    _write(connection, begun, dict.fromkeys(emptied, BitMap()))
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
    statement = statements.load("crm_ops.fold", "bitmaps.sql")["give_up"]
    sql.run(connection, statement, set=set_id, reason=reason)


def _read(connection: sa.Connection, set_id: int, places: Sequence[Place]) -> dict[Place, BitMap]:
    found = sql.run(
        connection,
        statements.load("crm_ops.fold", "bitmaps.sql")["read"],
        set=set_id,
        facets=[facet for facet, _ in places],
        buckets=[bucket for _, bucket in places],
    )
    return {(row.facet, row.bucket): BitMap.deserialize(row.bits) for row in found}


def _write(connection: sa.Connection, made: Any, written: Mapping[Place, BitMap]) -> None:
    """Write bitmaps of the set `made`: a row of (id, version, secret)."""
    statement = statements.load("crm_ops.fold", "bitmaps.sql")["write"]
    every = list(written)
    for at in range(0, len(every), _AT_ONCE):
        places = every[at : at + _AT_ONCE]
        secret = made.secret.bytes
        packed = {place: positions.packed(written[place]) for place in places}
        sql.run(
            connection,
            statement,
            set=made.id,
            version=made.version,
            facets=[facet for facet, _ in places],
            buckets=[bucket for _, bucket in places],
            ns=[len(written[place]) for place in places],
            digests=[positions.digest(secret, *place, each) for place, each in packed.items()],
            bits=list(packed.values()),
        )


__all__ = ["EVERYTHING", "Change", "Pending", "Place", "anew", "drop", "pending", "settle"]
