"""Makes bitmaps from the rows of a snapshot: of some tenants at once, facet by facet.

Rows keep the positions that they have. A tenant with a row whose position cannot be its own gets no
bitmaps, nor one whose counts are not those of its rows; it is counted by SQL.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

import sqlalchemy as sa

from crm_ops.base import sql, statements
from crm_ops.fold import bits, compaction, definition, placed, planning, positions, recount, rows
from crm_ops.fold.compaction import Place

_log = logging.getLogger(__name__)

_AT_ONCE = 64


def make(
    connection: sa.Connection, counted: rows.Counted, tenants: Sequence[str], *, as_of: datetime
) -> None:
    """Make the bitmaps of tenants equal their rows in this snapshot; safe to repeat.

    Their counts are to be of the same snapshot.
    """
    made_with = definition.of(counted, "facets").id
    for group in recount.visible(connection, counted, tenants) if tenants else ():
        begun = sql.run(
            connection,
            _load()["begin"],
            entity=counted.name,
            tenants=group,
            as_of=as_of,
            definition=made_with,
        )
        sets = {row.id: row.tenant for row in begun}
        sql.run(connection, _load()["clear"], sets=list(sets))
        with planning.hashed(connection):
            _made(connection, counted, sets)


def _made(connection: sa.Connection, counted: rows.Counted, sets: dict[int, str]) -> None:
    first, *others = bits.scans(counted)
    key = f"{counted.table}.{counted.entity.key}"
    for set_id in _placed(connection, first, sets):
        reason = f"{key} is not one row's alone, or is NULL"
        _give_up(connection, counted, sets.pop(set_id), set_id, reason)
    held: dict[int, dict[Place, int]] = defaultdict(dict)
    for place, n in _fill(connection, first, sets):
        held[place[0]][place[1:]] = n
    for scan in others:
        placed.put(connection, scan, sets)
        for place, n in _fill(connection, scan, sets):
            held[place[0]][place[1:]] = n
    for set_id, tenant in sets.items():
        if held[set_id] != compaction.counts(connection, counted, tenant):
            reason = "their counts are not those of the rows; see `crm-ops verify --repair`"
            _give_up(connection, counted, tenant, set_id, reason)


def _placed(connection: sa.Connection, scan: bits.Scan, sets: Mapping[int, str]) -> list[int]:
    """Put all rows into the table, each with its position; the sets where that cannot be."""
    bound = placed.put(connection, scan, sets)
    lacking = sql.run(connection, bits.LACKING, bound).scalars().all()
    if not lacking:
        return []
    for statement in (bits.GONE, bits.COME, bits.GIVEN):
        sql.run(connection, statement, bound)
    placed.put(connection, scan, sets)
    return list(sql.run(connection, bits.LACKING, bound).scalars())


def _give_up(
    connection: sa.Connection, counted: rows.Counted, tenant: str, set_id: int, reason: str
) -> None:
    _log.warning(
        "%s of tenant %s have no bitmaps, searches with filters take longer: %s",
        counted.name,
        tenant,
        reason,
        extra={"action": "no_bitmaps", "entity": counted.name, "tenant": tenant},
    )
    sql.run(connection, _load()["give_up"], set=set_id, reason=reason)


def _fill(
    connection: sa.Connection, scan: bits.Scan, sets: Mapping[int, str]
) -> Iterator[tuple[tuple[int, str, str | None], int]]:
    """Write the bitmaps of a scan; of each the set, the facet, the bucket, and how many rows."""
    for facet, found in placed.read(connection, scan):
        kept = [(place, held) for place, held in found.items() if place[0] in sets]
        for at in range(0, len(kept), _AT_ONCE):
            chunk = kept[at : at + _AT_ONCE]
            sql.run(
                connection,
                _load()["fill"],
                facet=facet,
                sets=[set_id for (set_id, _), _ in chunk],
                buckets=[bucket for (_, bucket), _ in chunk],
                bits=[positions.packed(held) for _, held in chunk],
            )
        yield from (((set_id, facet, bucket), len(held)) for (set_id, bucket), held in kept)


def _load() -> Mapping[str, str]:
    return statements.load("crm_ops.fold", "bitmaps.sql")


__all__ = ["make"]
