"""Rows' positions as PostgreSQL sends them, as bitmaps, and as they are stored."""

from __future__ import annotations

import hashlib
import sys
from array import array

import msgspec
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


def digest(secret: bytes, facet: str, bucket: str | None, bits: bytes) -> int:
    """What tells a stored bitmap from any other's; nobody makes it without the set's secret."""
    place = hashlib.sha256(msgspec.json.encode((facet, bucket))).digest()
    found = hashlib.blake2b(place + bits, digest_size=8, key=secret).digest()
    return int.from_bytes(found, "big", signed=True)


__all__ = ["digest", "of", "packed"]
