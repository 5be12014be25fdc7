"""Counts with bitmaps within some rows: those that a user sees, those that moved."""

from __future__ import annotations

from pyroaring import BitMap

from crm_ops.read import buckets
from crm_ops.read.kept import Held
from crm_ops.read.question import Question
from crm_ops.read.sideways import Counted, _all_of, _by_bucket, _others, _rows

# No facet's name: no facet leaves it out of its own counts.
_WITHIN = ""


class Filters:
    """The rows that each filter of a search keeps."""

    def __init__(self, question: Question, held: Held, kept: dict[str, BitMap]) -> None:
        self._question, self._held, self._kept = question, held, kept

    def rows(self, within: BitMap) -> BitMap:
        """The rows `within` that all filters keep."""
        return _all_of({**self._kept, _WITHIN: within}, None) or BitMap()

    def reached(self) -> BitMap:
        """The rows that are in any of the counts: those that all filters keep, or all but one."""
        others = [_others(self._kept, name) for name in self._kept]
        wide = [each for each in others if each is not None]
        return BitMap.union(*wide) if wide else self._held.everything

    def count(self, within: BitMap) -> Counted:
        """The counts, of the rows `within` alone."""
        kept = {**self._kept, _WITHIN: within}
        found = self.rows(within)
        facets = {
            name: _by_bucket(
                self._question, self._held, name, found if name not in kept else _others(kept, name)
            )
            for name in self._question.layout.entity.facets
        }
        return Counted(found, facets)


def filters(question: Question, held: Held) -> Filters | None:
    """The filters of a search; None where one is no union of buckets."""
    kept: dict[str, BitMap] = {}
    for name, wanted in question.buckets.items():
        chosen = buckets.chosen(question.layout, name, wanted, held.places.get(name, {}))
        if chosen is None:
            return None
        kept[name] = _rows(question, held, name, chosen)
    return Filters(question, held, kept)


__all__ = ["Filters", "filters"]
