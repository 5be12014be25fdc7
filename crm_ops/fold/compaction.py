"""Puts appended changes into bitmaps, once they are many beside the rows.

Of a set only the bitmaps that changed are written. The changes stay until the next time, so that
readers who hold bitmaps need no more than what is new. All in the fold's transaction: killed at any
line it has not happened, and the next fold does it.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing

import sqlalchemy as sa
from pyroaring import BitMap

from crm_ops.base import sql, statements
from crm_ops.fold import positions, rows

Place = tuple[str, str | None]
"""A facet and its bucket; ('', None) has all rows."""

# Bitmaps of this many rows are read and written in one fold at most, beside one set of any size.
_ROWS = 1_000_000
_AT_ONCE = 64


def compact(connection: sa.Connection, counted: rows.Counted) -> list[str]:
    """Compact the sets that are due; the tenants whose bitmaps came out not as they should."""
    load = statements.load("crm_ops.fold", "bitmaps.sql")
    unsound = []
    for row in sql.run(connection, load["due"], entity=counted.name, rows=_ROWS).all():
        sound = True
        with closing(_compacted(connection, row.id)) as changed:
            for written in changed:
                sound = sound and all(right for _, right in written.values())
                write(connection, row.id, {place: each for place, (each, _) in written.items()})
        sql.run(connection, load["compacted"], set=row.id)
        unsound += [] if sound else [row.tenant]
    return unsound


def held(connection: sa.Connection, set_id: int) -> dict[Place, BitMap]:
    """All bitmaps of a set that hold rows, with what was appended; only reads."""
    statement = statements.load("crm_ops.fold", "bitmaps.sql")["whole"]
    found = {
        (row.facet, row.bucket): BitMap.deserialize(row.bits)
        for row in sql.run(connection, statement, set=set_id)
    }
    for changed in _compacted(connection, set_id):
        found |= {place: each for place, (each, _) in changed.items()}
    return {place: each for place, each in found.items() if each}


def write(connection: sa.Connection, set_id: int, written: Mapping[Place, BitMap]) -> None:
    """Write bitmaps whole, and delete those without rows; safe to repeat."""
    sql.run(
        connection,
        statements.load("crm_ops.fold", "bitmaps.sql")["write"],
        set=set_id,
        facets=[facet for facet, _ in written],
        buckets=[bucket for _, bucket in written],
        bits=[positions.packed(each) if each else None for each in written.values()],
    )


def _compacted(
    connection: sa.Connection, set_id: int
) -> Generator[dict[Place, tuple[BitMap, bool]]]:
    """The bitmaps that changed, some at a time, and whether each has as many rows as it should."""
    statement = statements.load("crm_ops.fold", "bitmaps.sql")["behind"]
    with closing(sql.stream(connection, statement, set=set_id)) as found:
        for chunk in found.partitions(_AT_ONCE):
            after = {}
            for row in chunk:
                before = BitMap() if row.bits is None else BitMap.deserialize(row.bits)
                rows_ = positions.moved(before, row.moves)
                after[row.facet, row.bucket] = (rows_, len(rows_) == row.n)
            yield after


__all__ = ["Place", "compact", "held", "write"]
