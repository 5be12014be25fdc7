"""Which bucket of a facet each row is in, by position: counts few rows by many buckets.

To intersect rows with every bucket costs what the buckets have, to look each row's bucket up what
the rows are. pyarrow does it without a step of Python for each row.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

from pyroaring import BitMap

Bucket = str | None

# More have no number of two bytes.
_MOST_BUCKETS = 1 << 16
# Measured, in the time that one listed position is intersected: one of the parts that a bitmap has,
# and a row that is looked up.
_PART, _LOOKED_UP = 60, 6
# Of buckets that are intersected faster than so many of their rows are listed, codes would not pay.
_WORTH = 0.5


@dataclass(frozen=True)
class Codes:
    """The buckets of a facet of which each row has one, and by position the number of a row's.

    Of a row that is gone, or never was, it is any number: no bitmap has the row. `intersected` is
    what it costs to intersect all buckets. Codes are never changed, only replaced.
    """

    buckets: tuple[Bucket, ...] = field(repr=False)
    numbers: array[int] = field(repr=False)
    intersected: int

    @property
    def bytes(self) -> int:
        """What they take."""
        return len(self.numbers) * self.numbers.itemsize

    def suits(self, rows: BitMap) -> bool:
        """Whether looking up so many rows is faster than intersecting all buckets."""
        return len(rows) * _LOOKED_UP <= self.intersected

    def count(self, rows: BitMap) -> dict[Bucket, int]:
        """How many of the rows are in each bucket; buckets without any are left out."""
        arrow = _arrow()
        taken = _column(arrow.uint16(), self.numbers).take(_column(arrow.uint32(), rows.to_array()))
        found = taken.value_counts()
        numbers, counts = (found.field(at) for at in range(2))
        return {
            self.buckets[number]: n
            for number, n in zip(_listed(numbers, "H"), _listed(counts, "q"), strict=True)
        }


def make(there: Mapping[Bucket, BitMap]) -> Codes | None:
    """The codes of bitmaps of which each row is in one; None where they would not pay."""
    cost = sum(map(_cost, there.values()))
    if len(there) > _MOST_BUCKETS or cost < sum(map(len, there.values())) * _WORTH:
        return None
    places, numbers = array("I"), array("H")
    for number, rows in enumerate(there.values()):
        places += rows.to_array()
        numbers += array("H", [number]) * len(rows)
    if not places:
        return None
    arrow = _arrow()
    scattered = arrow.compute.scatter(
        _column(arrow.uint16(), numbers), _column(arrow.int32(), places), max_index=max(places)
    )
    return Codes(tuple(there), array("H", _listed(scattered, "H")), cost)


def moved(codes: Codes, came: Iterable[tuple[Bucket, Sequence[int]]]) -> Codes | None:
    """The codes after rows came to buckets, in this order; None where there are too many."""
    buckets = {bucket: number for number, bucket in enumerate(codes.buckets)}
    numbers = codes.numbers[:]
    for bucket, rows in came:
        number = buckets.setdefault(bucket, len(buckets))
        if number >= _MOST_BUCKETS:
            return None
        room = max(rows, default=0) + 1 - len(numbers)
        numbers += array("H", [0]) * room
        for row in rows:
            numbers[row] = number
    return Codes(tuple(buckets), numbers, codes.intersected)


def _cost(rows: BitMap) -> int:
    """What it costs to intersect a bucket: what lies close together is compared at once."""
    parts = rows.get_statistics()
    return int(parts["n_values_array_containers"] + parts["n_containers"] * _PART)


def _column(of_type: Any, numbers: array[int]) -> Any:
    """Numbers as pyarrow has them, not copied."""
    arrow = _arrow()
    return arrow.Array.from_buffers(of_type, len(numbers), [None, arrow.py_buffer(numbers)])


def _listed(column: Any, of_type: Literal["H", "q"]) -> memoryview[int]:
    """The numbers of a column that pyarrow has just made."""
    return memoryview(column.buffers()[1]).cast(of_type)[: len(column)]


@cache
def _arrow() -> Any:
    # It takes a third of a second, which only whoever holds bitmaps has to spend.
    import pyarrow.compute  # noqa: PLC0415

    return pyarrow


__all__ = ["Codes", "make", "moved"]
