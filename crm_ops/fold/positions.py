"""Rows' positions as PostgreSQL sends them, as bitmaps, and as they are stored."""

from __future__ import annotations

import sys
from array import array

from pyroaring import BitMap


def of(sent: bytes | None) -> BitMap:
    """The positions in `sent`: four bytes each, big end first, in any order."""
    numbers = array("I", sent or b"")
    if sys.byteorder == "little":
        numbers.byteswap()
    return BitMap(numbers)


def packed(rows: BitMap) -> bytes:
    """`rows` as they are stored, as small as may be."""
    rows.run_optimize()
    return rows.serialize()


__all__ = ["of", "packed"]
