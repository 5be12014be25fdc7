"""A facet as a caller sees it: its buckets in order, cut to its `top`, with their labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from crm_ops.catalog.facets import Facet as Declared
from crm_ops.publish import codec, facets
from crm_ops.publish.labels import source
from crm_ops.read import bulk
from crm_ops.read.answers import Bucket, Facet
from crm_ops.read.layout import Layout

Labels = Mapping[tuple[str, str | None], str | None]
"""By facet and bucket what a person reads for it."""


@dataclass(frozen=True)
class Columns:
    """The buckets that a facet shows, column by column, and how many rows are in the others.

    So they may be kept at no cost: Python's garbage collector does not look at texts and numbers.
    """

    values: tuple[str | None, ...]
    labels: tuple[str | None, ...]
    counts: tuple[int, ...]
    other: int

    @property
    def facet(self) -> Facet:
        """The facet of an answer."""
        return Facet(bulk.records(Bucket, self.values, self.labels, self.counts), self.other)


def counted(
    layout: Layout, counts: Mapping[str, Mapping[str | None, int]], labels: Labels
) -> dict[str, Facet]:
    """Every facet of the entity, in the order of its declaration, from counts in no order."""
    return {
        name: columns(layout, name, counts.get(name, {}), labels).facet
        for name in layout.entity.facets
    }


def columns(layout: Layout, name: str, counts: Mapping[str | None, int], labels: Labels) -> Columns:
    """One facet."""
    declared = layout.entity.facets[name]
    cut = facets.cut(declared, list(counts), list(counts.values()))
    found: list[str | None] = [None] * len(cut.values)
    if source(declared) is not None:
        found = [labels.get((name, value)) for value in cut.values]
    return _columns(declared, cut.values, found, cut.counts, cut.other)


def published(layout: Layout, counts: codec.FacetCounts) -> dict[str, Columns]:
    """Every facet as it was published."""
    return {
        name: _columns(
            layout.entity.facets[name],
            [each.value for each in held.buckets],
            [each.label for each in held.buckets],
            [each.n for each in held.buckets],
            held.other,
        )
        for name, held in counts.facets.items()
    }


def _columns(
    declared: Declared,
    values: Sequence[str | None],
    labels: list[str | None],
    counts: Sequence[int],
    other: int,
) -> Columns:
    if None in values:
        labels[values.index(None)] = declared.null_label
    return Columns(tuple(values), tuple(labels), tuple(counts), other)


__all__ = ["Columns", "Labels", "columns", "counted", "published"]
