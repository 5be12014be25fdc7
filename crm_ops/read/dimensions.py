"""What the lines of a report are split and filtered by, as SQL over stored figures.

Stored figures have the texts of their buckets in the array `dimensions`, in the order of the
declaration, the currency last.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from crm_ops.base import errors
from crm_ops.catalog.aggregates import Aggregate
from crm_ops.catalog.facets import DateFacet, SingleValued
from crm_ops.read import labels, periods, rollup, values
from crm_ops.read.condition import Condition
from crm_ops.read.layout import Layout
from crm_ops.read.periods import Unit

CURRENCY = "currency"


@dataclass(frozen=True)
class Declared:
    """A declared aggregate, by its name, of an entity whose layout is known."""

    layout: Layout
    name: str
    aggregate: Aggregate

    def facet(self, dimension: str) -> SingleValued | None:
        """What a dimension splits by; None for the currency."""
        # A link facet, whose buckets overlap, is refused as a dimension by the catalog.
        return self.layout.entity.splits().get(dimension)  # type: ignore[return-value]

    def held(self, dimension: str) -> str:
        """Where stored figures have a dimension's bucket, as SQL."""
        if dimension == CURRENCY and self.aggregate.currency is not None:
            return f"dimensions[{len(self.aggregate.by) + 1}]"
        if dimension not in self.aggregate.by:
            raise self.undeclared(dimension)
        return f"dimensions[{self.aggregate.by.index(dimension) + 1}]"

    def unit(self, dimension: str) -> Unit | None:
        """The calendar unit of a dimension of dates."""
        facet = self.facet(dimension)
        return facet.bucket if isinstance(facet, DateFacet) else None

    def undeclared(self, asked: str) -> errors.ParameterError:
        """The error for a dimension that there is not; it names those there are."""
        known = list(self.aggregate.by)
        for dimension in self.aggregate.by:
            unit = self.unit(dimension)
            known += [f"{dimension}:{coarser}" for coarser in rollup.COARSER[unit]] if unit else []
        if self.aggregate.currency is not None:
            known.append(CURRENCY)
        return errors.ParameterError(
            f"{self.name} has no dimension {asked[:60]!r}; declared are {values.listed(known)}"
        )


@dataclass(frozen=True)
class Dimension:
    """One dimension of a report, as asked for (`close_month:quarter`).

    `bucket` is SQL over stored figures; `facet` is None for the currency.
    """

    asked: str
    bucket: str
    facet: SingleValued | None
    declared: Declared
    name: str

    def label(self, column: str) -> str | None:
        """What a person reads for the bucket in a column, as SQL; None where no table has it."""
        if self.facet is None:
            return None
        return labels.label(self.declared.layout, self.name, column)

    @property
    def labelled(self) -> bool:
        """Whether a table has labels for its buckets."""
        return self.label("bucket") is not None

    @property
    def null_label(self) -> str | None:
        """What a person reads for rows without a value."""
        return None if self.facet is None else self.facet.null_label


def parse(declared: Declared, asked: str) -> Dimension:
    """The dimension `asked` for; raises `ParameterError` naming those that are declared."""
    name, _, coarser = asked.partition(":")
    bucket = declared.held(name)
    if coarser:
        own = declared.unit(name)
        wanted = next((unit for unit in _units(own) if unit == coarser), None)
        if own is None or wanted is None:
            raise declared.undeclared(asked)
        bucket = rollup.bucket(bucket, own, wanted)
    return Dimension(asked, bucket, declared.facet(name), declared, name)


def _units(own: Unit | None) -> tuple[Unit, ...]:
    return () if own is None else (own, *rollup.COARSER[own])


def filtered(
    declared: Declared, dimension: str, wanted: Sequence[str | None], place: str
) -> Condition:
    """The stored figures in one of the buckets `wanted`; of dates in a longer period, too.

    `place` begins the names of the bound values.
    """
    held, unit = declared.held(dimension), declared.unit(dimension)
    given = [each for each in wanted if each is not None]
    tests = ["false"]
    bound: dict[str, object] = {}
    if None in wanted:
        tests.append(f"{held} IS NULL")
    for at, text in enumerate(given):
        period = periods.parse(text) if unit else None
        expression = held
        if unit and period and period.unit in rollup.COARSER[unit]:
            expression = rollup.bucket(held, unit, period.unit)
        tests.append(f"{expression} = %({place}_{at})s::text")
        bound[f"{place}_{at}"] = text
    return Condition(" OR ".join(tests), bound)


def between(declared: Declared, begin: str | None, end: str | None) -> Condition:
    """The stored figures from the period `begin` to the period `end`, both included."""
    dated = [each for each in declared.aggregate.by if declared.unit(each) is not None]
    if not dated:
        raise errors.ParameterError(
            f"{declared.name} has no dimension of dates, so it has no from and to; declared are"
            f" {values.listed(declared.aggregate.by)}"
        )
    unit = declared.unit(dated[0]) or "day"
    held = f'{declared.held(dated[0])} COLLATE "C"'
    # Names of one length sort as their dates do; longer years and the era before Christ do not.
    tests = [f"length({held}) = {len(periods.EXAMPLES[unit])}"]
    bound = {}
    if begin is not None:
        tests.append(f"{held} >= %(begin)s::text")
        bound["begin"] = rollup.first_bucket(begin, unit)
    if end is not None:
        tests.append(f"{held} <= %(end)s::text")
        bound["end"] = rollup.last_bucket(end, unit)
    return Condition(" AND ".join(tests), bound)


__all__ = ["CURRENCY", "Declared", "Dimension", "between", "filtered", "parse"]
