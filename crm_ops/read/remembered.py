"""The facets that were counted with one version of bitmaps, to be shown again.

Most searches are one of a few: a list is opened all day, and each of its pages has the same counts.
What is remembered is forgotten with its version, or where it takes more room than it was given.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NewType

from crm_ops.read.shown import Columns

Place = tuple[str, str | None]
"""A facet and its bucket."""

Labels = dict[Place, str | None]
"""What a person reads for a bucket."""

Asked = NewType("Asked", tuple[str, frozenset[tuple[str, frozenset[str | None]]]])
"""A facet, and the other facets' filters: the buckets that each keeps."""

# What one bucket takes, its texts aside, which the bitmaps have: three places and a number.
_BUCKET_BYTES = 60


def asked(facet: str, filters: Mapping[str, frozenset[str | None]]) -> Asked:
    """What the counts of `facet` depend on: the `filters` of other facets."""
    return Asked((facet, frozenset(each for each in filters.items() if each[0] != facet)))


class Remembered:
    """Facets as they were shown, with the labels of that time, in up to some bytes.

    Threads may use it together: at worst something is counted once more.
    """

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes = most_bytes
        self._left = most_bytes
        self._facets: dict[Asked, tuple[Labels, Columns]] = {}
        self._labelled: Labels | None = None

    def get(self, key: Asked, labels: Labels) -> Columns | None:
        """What was shown with the same labels."""
        found = self._facets.get(key)
        return found[1] if found is not None and found[0] is labels else None

    def put(self, key: Asked, labels: Labels, facet: Columns) -> None:
        """Remember it; what was remembered before is forgotten where there is no room left."""
        if self._left < 0:
            self._facets = {}
            self._left = self.most_bytes
        self._left -= (len(facet.values) + 1) * _BUCKET_BYTES
        self._facets[key] = (labels, facet)

    def labelled(self, labels: Labels) -> bool:
        """Whether these labels are known to have all buckets."""
        return self._labelled is labels

    def note_labelled(self, labels: Labels) -> None:
        """Note that they have."""
        self._labelled = labels


__all__ = ["Asked", "Labels", "Place", "Remembered", "asked"]
