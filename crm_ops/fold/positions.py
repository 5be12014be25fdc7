"""Rows' positions: as PostgreSQL sends them, as bitmaps, and as they are stored."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterator, Sequence

from pyroaring import BitMap

Bucket = str | None

Change = tuple[str, Sequence[Bucket], Sequence[int], Sequence[int], Sequence[int], Sequence[int]]
"""A facet, its buckets, how many rows went out of each and how many came into it, and the positions
of those that went and of those that came, one bucket's after the other's."""


def of(sent: bytes | None) -> BitMap:
    """The positions in `sent`: four bytes each, big end first, in any order."""
    numbers = array("I", sent or b"")
    if sys.byteorder == "little":
        numbers.byteswap()
    return BitMap(numbers)


def moves(change: Change) -> Iterator[tuple[Bucket, Sequence[int], Sequence[int]]]:
    """What happened to each bucket: the positions that went out of it, then those that came."""
    _, buckets, went_n, came_n, went, came = change
    out = into = 0
    for bucket, gone, come in zip(buckets, went_n, came_n, strict=True):
        yield bucket, went[out : out + gone], came[into : into + come]
        out, into = out + gone, into + come


def moved(before: BitMap, went: Sequence[int], came: Sequence[int]) -> BitMap:
    """A bitmap after rows went out of it and others came; `before` stays as it is."""
    after = before - BitMap(went)
    after |= BitMap(came)
    return after


def packed(rows: BitMap) -> bytes:
    """`rows` as they are stored, as small as may be."""
    rows.run_optimize()
    return rows.serialize()


__all__ = ["Bucket", "Change", "moved", "moves", "of", "packed"]
