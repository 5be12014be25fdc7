"""Counts with bitmaps within some rows: those that a user sees, those that moved."""

from __future__ import annotations

from dataclasses import dataclass

from pyroaring import BitMap

from crm_ops.read import sideways
from crm_ops.read.kept import Counts, Held
from crm_ops.read.question import Question
from crm_ops.read.sideways import Filtered

# No facet's name: no facet leaves it out of its own counts.
_WITHIN = ""


@dataclass(frozen=True)
class Counted:
    """The rows that all filters keep, and by facet and bucket how many the others' filters do."""

    rows: BitMap
    facets: Counts


class Filters:
    """The rows that each filter of a search keeps."""

    def __init__(self, question: Question, held: Held, kept: Filtered) -> None:
        self._question, self._held, self._kept = question, held, kept

    def rows(self, within: BitMap) -> BitMap:
        """The rows `within` that all filters keep."""
        return sideways.all_of({**self._kept.by_facet, _WITHIN: within}) or BitMap()

    def reached(self) -> BitMap:
        """The rows that are in any of the counts: those that all filters keep, or all but one."""
        others = [sideways.others(self._kept, name) for name in self._kept.by_facet]
        wide = [each for each in others if each is not None]
        return BitMap.union(*wide) if wide else self._held.everything

    def count(self, within: BitMap) -> Counted:
        """The counts, of the rows `within` alone."""
        found = self.rows(within)
        kept = Filtered(found, {**self._kept.by_facet, _WITHIN: within}, self._kept.buckets)
        facets = self._question.layout.entity.facets
        return Counted(found, sideways.count(self._question, self._held, kept, facets))


def filters(question: Question, held: Held) -> Filters | None:
    """The filters of a search; None where one is no union of buckets."""
    kept = sideways.filtered(question, held)
    return None if kept is None else Filters(question, held, kept)


__all__ = ["Counted", "Filters", "filters"]
