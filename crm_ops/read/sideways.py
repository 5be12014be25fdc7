"""Counts rows by bucket with bitmaps, each facet's own filter left out of its own counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pyroaring import BitMap

from crm_ops.catalog.facets import LinkFacet
from crm_ops.read import buckets
from crm_ops.read.buckets import Bucket
from crm_ops.read.kept import Counts, Held
from crm_ops.read.question import Question


@dataclass(frozen=True)
class Filtered:
    """The rows that all filters keep, and by facet those that its own filter does.

    `buckets` are those that each filter keeps.
    """

    rows: BitMap
    by_facet: Mapping[str, BitMap]
    buckets: Mapping[str, frozenset[Bucket]]


def filtered(question: Question, held: Held) -> Filtered | None:
    """What the filters keep; None where one is no union of buckets."""
    kept: dict[str, BitMap] = {}
    asked: dict[str, frozenset[Bucket]] = {}
    for name, wanted in question.buckets.items():
        there = held.places.get(name, {})
        chosen = buckets.chosen(question.layout, name, wanted, there)
        if chosen is None:
            return None
        kept[name], asked[name] = _rows(question, held, name, chosen), frozenset(chosen)
    found = all_of(kept)
    return Filtered(held.everything if found is None else found, kept, asked)


def count(question: Question, held: Held, kept: Filtered, facets: Iterable[str]) -> Counts:
    """How many rows of each bucket of `facets` the other filters keep; none are left out."""
    return {
        name: _by_bucket(
            question, held, name, kept.rows if name not in kept.by_facet else others(kept, name)
        )
        for name in facets
    }


def _rows(question: Question, held: Held, name: str, chosen: set[Bucket]) -> BitMap:
    there = held.places.get(name, {})
    parts = [there[bucket] for bucket in chosen if bucket in there]
    if None in chosen and isinstance(question.layout.entity.facets[name], LinkFacet):
        linked = BitMap.union(*there.values()) if there else BitMap()
        parts.append(held.everything - linked)
    return BitMap.union(*parts) if parts else BitMap()


def others(kept: Filtered, name: str) -> BitMap | None:
    """What the filters of the other facets keep; None for everything."""
    return all_of({other: rows for other, rows in kept.by_facet.items() if other != name})


def all_of(kept: Mapping[str, BitMap]) -> BitMap | None:
    """The rows that are in each; None where there is none to be in."""
    few_first = sorted(kept.values(), key=len)
    return BitMap.intersection(*few_first) if few_first else None


def _by_bucket(question: Question, held: Held, name: str, rows: BitMap | None) -> dict[Bucket, int]:
    there = held.places.get(name, {})
    if rows is None or len(rows) == len(held.everything):
        return {bucket: n for bucket, n in held.counts.get(name, {}).items() if n}
    codes = held.codes.get(name)
    if codes is not None and codes.suits(rows):
        return codes.count(rows)
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


__all__ = ["Filtered", "all_of", "count", "filtered", "others"]
