"""Proves bitmaps: compares which rows are in which bucket with the rows in the same snapshot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from pyroaring import BitMap

from crm_ops.base import sql, statements
from crm_ops.fold import bits, compaction, placed, planning, recount, rows
from crm_ops.fold.bitmaps import EVERYTHING, Place

Cell = tuple[str, str | None, str | None, str | None]
"""Facet, bucket, the rows that a bitmap has and those that it should have, each told in words."""


@dataclass(frozen=True)
class Compared:
    """How many bitmaps of a tenant were compared, and which differ."""

    tenant: str
    bitmaps: int
    cells: tuple[Cell, ...]


def compare(
    connection: sa.Connection, counted: rows.Counted, tenants: Sequence[str]
) -> Iterator[Compared]:
    """Compare the bitmaps of those of `tenants` that have some; only reads."""
    load = statements.load("crm_ops.fold", "bitmaps.sql")
    sets = sql.run(connection, load["sets"], entity=counted.name, tenants=list(tenants)).all()
    for each in sets:
        stored = compaction.held(connection, each.id)
        # A row without a position is in no bitmap: then all together are not as many as counted.
        if len(stored.get(EVERYTHING, BitMap())) != each.counted:
            missed: list[Cell] = [("", None, _told(stored.get(EVERYTHING)), str(each.counted))]
        else:
            missed = []
        right = _recounted(connection, counted, each.id, each.tenant)
        cells = [*missed, *_differing(stored, right)]
        yield Compared(each.tenant, len(stored), tuple(cells))


def _recounted(
    connection: sa.Connection, counted: rows.Counted, set_id: int, tenant: str
) -> Iterator[tuple[Place, BitMap]]:
    for _ in recount.visible(connection, counted, [tenant]):
        for scan in bits.scans(counted):
            with planning.hashed(connection):
                placed.put(connection, scan, {set_id: tenant})
            for facet, found in placed.read(connection, scan):
                for (_, bucket), held in found.items():
                    yield (facet, bucket), held


def _differing(
    stored: dict[Place, BitMap], right: Iterator[tuple[Place, BitMap]]
) -> Iterator[Cell]:
    unseen = dict(stored)
    for place, wanted in right:
        held = unseen.pop(place, None)
        if wanted and held != wanted:
            others = len(wanted ^ (held or BitMap()))
            yield *place, _told(held), f"{_told(wanted)}, {others:,} of them different"
    for place, held in unseen.items():
        yield *place, _told(held), None


def _told(held: BitMap | None) -> str | None:
    return None if held is None else f"{len(held):,} rows"


__all__ = ["Compared", "compare"]
