"""Puts appended changes into bitmaps, once they are many beside the rows.

Of a set only the bitmaps that changed are written. The changes stay until the next time, so that
readers who hold bitmaps need no more than what is new. All in the fold's transaction: killed at any
line it has not happened, and the next fold does it. A fold compacts what was appended before it,
while what it will append is still gathered.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

import msgspec
import sqlalchemy as sa
from pyroaring import BitMap

from crm_ops.base import sql, statements
from crm_ops.fold import definition, positions, rows

Place = tuple[str, str | None]
"""A facet and its bucket."""

EVERYTHING: Place = ("", None)
"""Where all rows are."""

# Bitmaps of this many rows are read and written in one fold at most, beside one set of any size.
_ROWS = 1_000_000
_AT_ONCE = 64

_change = msgspec.json.Decoder(positions.Change).decode


class _Moved:
    """What many changes of a bucket come to: first some rows go, then some come."""

    def __init__(self) -> None:
        self.went, self.came = BitMap(), BitMap()

    def add(self, went: Sequence[int], came: Sequence[int]) -> None:
        """What happened next."""
        if went:
            gone = BitMap(went)
            self.went |= gone
            self.came -= gone
        if came:
            self.came |= BitMap(came)


@dataclass(frozen=True)
class Due:
    """A set to be compacted, its tenant, and how many rows its buckets have."""

    set_id: int
    tenant: str
    counts: Mapping[Place, int] = field(repr=False)


def due(connection: sa.Connection, counted: rows.Counted) -> list[Due]:
    """The sets to be compacted as they are before a fold."""
    statement = statements.load("crm_ops.fold", "bitmaps.sql")["due"]
    made_with = definition.of(counted, "facets").id
    found = sql.run(
        connection, statement, entity=counted.name, definition=made_with, rows=_ROWS
    ).all()
    return [Due(row.id, row.tenant, counts(connection, counted, row.tenant)) for row in found]


def compact(connection: sa.Connection, sets: Sequence[Due]) -> list[str]:
    """Compact sets; the tenants whose bitmaps came out not as they should."""
    unsound = []
    for each in sets:
        sound = True
        for written in _compacted(connection, each.set_id):
            sound = sound and all(
                len(held_) == each.counts.get(place, 0) for place, held_ in written.items()
            )
            write(connection, each.set_id, written)
        statement = statements.load("crm_ops.fold", "bitmaps.sql")["compacted"]
        sql.run(connection, statement, set=each.set_id)
        unsound += [] if sound else [each.tenant]
    return unsound


def counts(connection: sa.Connection, counted: rows.Counted, tenant: str) -> dict[Place, int]:
    """How many rows of a tenant each bucket has by its count."""
    found = sql.run(
        connection,
        statements.load("crm_ops.fold", "bitmaps.sql")["counts"],
        entity=counted.name,
        tenant=tenant,
        facets=[EVERYTHING[0], *counted.entity.facets],
    )
    return {(row.facet, row.bucket): row.n for row in found}


def held(connection: sa.Connection, set_id: int) -> dict[Place, BitMap]:
    """All bitmaps of a set that hold rows, with what was appended; only reads."""
    statement = statements.load("crm_ops.fold", "bitmaps.sql")["whole"]
    found = {
        (row.facet, row.bucket): BitMap.deserialize(row.bits)
        for row in sql.run(connection, statement, set=set_id)
    }
    for changed in _compacted(connection, set_id):
        found |= changed
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


def _compacted(connection: sa.Connection, set_id: int) -> Iterator[dict[Place, BitMap]]:
    """The bitmaps that changed as they are now, some at a time."""
    statement = statements.load("crm_ops.fold", "bitmaps.sql")["stored"]
    moved = _moved(connection, set_id)
    places = iter(moved)
    while chunk := list(islice(places, _AT_ONCE)):
        facets, buckets = [facet for facet, _ in chunk], [bucket for _, bucket in chunk]
        after = {place: moved[place].came for place in chunk}
        for row in sql.run(connection, statement, set=set_id, facets=facets, buckets=buckets):
            its = moved[row.facet, row.bucket]
            rows_ = BitMap.deserialize(row.bits)
            rows_ -= its.went
            rows_ |= its.came
            after[row.facet, row.bucket] = rows_
        yield after


def _moved(connection: sa.Connection, set_id: int) -> Mapping[Place, _Moved]:
    """What happened to each bucket since its bitmap was written."""
    statement = statements.load("crm_ops.fold", "bitmaps.sql")["behind"]
    found: dict[Place, _Moved] = defaultdict(_Moved)
    for row in sql.stream(connection, statement, set=set_id):
        for bucket, went, came in positions.moves(_change(row.change)):
            found[row.facet, bucket].add(went, came)
    return found


__all__ = ["EVERYTHING", "Due", "Place", "compact", "counts", "due", "held", "write"]
