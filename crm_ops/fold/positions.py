"""Rows' positions: as PostgreSQL sends them, as bitmaps, and as they are stored."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable, Sequence

from pyroaring import BitMap

Move = tuple[Sequence[int], Sequence[int]]
"""The positions of the rows that went out of a bucket, then of those that came into it."""


def of(sent: bytes | None) -> BitMap:
    """The positions in `sent`: four bytes each, big end first, in any order."""
    numbers = array("I", sent or b"")
    if sys.byteorder == "little":
        numbers.byteswap()
    return BitMap(numbers)


def moved(before: BitMap, moves: Iterable[Move]) -> BitMap:
    """A bitmap after `moves`, one after the other; `before` stays as it is."""
    after = before.copy()
    for went, came in moves:
        after -= BitMap(went)
        after |= BitMap(came)
    return after


def packed(rows: BitMap) -> bytes:
    """`rows` as they are stored, as small as may be."""
    rows.run_optimize()
    return rows.serialize()


__all__ = ["Move", "moved", "of", "packed"]
