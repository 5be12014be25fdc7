"""Rows of which something is known by bitmaps: surely so, or perhaps so; what is left is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyroaring import BitMap


@dataclass(frozen=True)
class Extent:
    """The rows of which something holds `surely`, and those of which it may: these and more."""

    surely: BitMap
    perhaps: BitMap

    @property
    def open(self) -> BitMap:
        """The rows that have to be looked at."""
        return self.perhaps - self.surely


@dataclass(frozen=True)
class Truth:
    """Of which rows a predicate is true, and of which false; of others it is unknown, as in SQL."""

    true: Extent
    false: Extent


def exactly(rows: BitMap) -> Extent:
    """What holds of these rows and no other."""
    return Extent(rows, rows)


def any_of(parts: Sequence[Extent]) -> Extent:
    """What holds where one of `parts` does."""
    return Extent(
        BitMap().union(*(each.surely for each in parts)),
        BitMap().union(*(each.perhaps for each in parts)),
    )


def all_of(parts: Sequence[Extent]) -> Extent:
    """What holds where each of `parts` (one at least) does."""
    return Extent(
        BitMap.intersection(*(each.surely for each in parts)),
        BitMap.intersection(*(each.perhaps for each in parts)),
    )


def agreed(parts: Sequence[Extent], everything: BitMap) -> Extent:
    """The same fact as several ways know it: each way's knowledge together."""
    return Extent(
        BitMap().union(*(each.surely for each in parts)),
        everything.intersection(*(each.perhaps for each in parts)),
    )


__all__ = ["Extent", "Truth", "agreed", "all_of", "any_of", "exactly"]
