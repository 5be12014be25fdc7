"""Counts rows by bucket with bitmaps, each facet's own filter left out of its own counts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pyroaring import BitMap

from crm_ops.catalog.facets import LinkFacet
from crm_ops.read import buckets
from crm_ops.read.buckets import Bucket
from crm_ops.read.kept import Held
from crm_ops.read.question import Question


@dataclass(frozen=True)
class Counted:
    """The rows that all filters keep, and by facet and bucket how many the others' filters do."""

    rows: BitMap
    facets: Mapping[str, Mapping[Bucket, int]]


def count(question: Question, held: Held) -> Counted | None:
    """The counts; None where a filter is no union of buckets."""
    kept: dict[str, BitMap] = {}
    for name, wanted in question.buckets.items():
        there = held.places.get(name, {})
        chosen = buckets.chosen(question.layout, name, wanted, there)
        if chosen is None:
            return None
        kept[name] = _rows(question, held, name, chosen)
    found = _all_of(kept, held.everything)
    facets = {
        name: _by_bucket(question, held, name, found if name not in kept else _others(kept, name))
        for name in question.layout.entity.facets
    }
    return Counted(held.everything if found is None else found, facets)


def _rows(question: Question, held: Held, name: str, chosen: set[Bucket]) -> BitMap:
    there = held.places.get(name, {})
    parts = [there[bucket] for bucket in chosen if bucket in there]
    if None in chosen and isinstance(question.layout.entity.facets[name], LinkFacet):
        linked = BitMap.union(*there.values()) if there else BitMap()
        parts.append(held.everything - linked)
    return BitMap.union(*parts) if parts else BitMap()


def _others(kept: Mapping[str, BitMap], name: str) -> BitMap | None:
    """What the filters of the other facets keep; None for everything."""
    return _all_of({other: rows for other, rows in kept.items() if other != name}, None)


def _all_of(kept: Mapping[str, BitMap], everything: BitMap | None) -> BitMap | None:
    few_first = sorted(kept.values(), key=len)
    return BitMap.intersection(*few_first) if few_first else everything


def _by_bucket(question: Question, held: Held, name: str, rows: BitMap | None) -> dict[Bucket, int]:
    there = held.places.get(name, {})
    if rows is None or len(rows) == len(held.everything):
        return {bucket: n for bucket, each in there.items() if (n := len(each))}
    left = len(rows)
    several = isinstance(question.layout.entity.facets[name], LinkFacet)
    found: dict[Bucket, int] = {}
    for bucket, each in there.items():
        if not left and not several:
            # Each row is in one bucket: all are found.
            break
        n = rows.intersection_cardinality(each)
        if n:
            found[bucket] = n
            left -= n
    return found


__all__ = ["Counted", "count"]
