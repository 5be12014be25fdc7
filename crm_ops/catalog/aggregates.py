"""An aggregate: figures of an entity by dimensions, for reports."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from crm_ops.catalog.parts import Column, Name, Part

Function = Literal["count", "sum", "avg", "min", "max"]


class Measure(Part):
    """One figure: `{count: rows}`, or one of sum, avg, min, max of a column."""

    count: Literal["rows"] | None = None
    sum: Column | None = None
    avg: Column | None = None
    min: Column | None = None
    max: Column | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Measure:
        if len(self.model_fields_set) != 1:
            raise ValueError("a measure is exactly one of count, sum, avg, min, max")
        return self

    @property
    def function(self) -> Function:
        """What is computed."""
        (name,) = self.model_fields_set
        return name  # type: ignore[return-value]  # the fields of this model are the functions

    @property
    def column(self) -> str | None:
        """The column it is computed of; None where rows are counted."""
        return self.sum or self.avg or self.min or self.max


class Aggregate(Part):
    """Measures of an entity by some of its facets or dimensions, and by currency for money."""

    entity: Name
    by: list[Name] = Field(default_factory=list, max_length=6)
    currency: Column | None = Field(
        default=None, description="Money of different currencies is never added up."
    )
    measures: dict[Name, Measure] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Aggregate:
        if len(set(self.by)) != len(self.by):
            raise ValueError("a dimension is named twice in `by`")
        if self.currency is not None and "currency" in self.by:
            raise ValueError("`currency` is a dimension already; take it out of `by`")
        return self

    def columns(self) -> list[str]:
        """The measured columns, each once, in order."""
        found = [measure.column for measure in self.measures.values() if measure.column]
        return list(dict.fromkeys(found))


__all__ = ["Aggregate", "Function", "Measure"]
