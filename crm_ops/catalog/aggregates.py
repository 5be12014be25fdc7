"""An aggregate: figures of an entity by dimensions, for reports."""

from __future__ import annotations

from typing import Any, Literal, get_args

from pydantic import Field, model_validator

from crm_ops.catalog.parts import Column, Name, Part

Function = Literal["count", "sum", "avg", "min", "max"]


class Measure(Part):
    """One figure: `{count: rows}`, or one of sum, avg, min, max of a column."""

    count: Literal["rows"] | None = Field(default=None, description="How many rows there are.")
    sum: Column | None = Field(default=None, description="The sum of a numeric column.")
    avg: Column | None = Field(default=None, description="The mean of a numeric column.")
    min: Column | None = Field(default=None, description="The smallest value of a numeric column.")
    max: Column | None = Field(default=None, description="The largest value of a numeric column.")

    @model_validator(mode="before")
    @classmethod
    def _no_distinct(cls, written: Any) -> Any:
        """Changes do not tell whether a value was the last of its kind, so that it would drift."""
        if isinstance(written, dict) and "distinct" in str([*written, written.get("count")]):
            raise ValueError(
                "distinct values cannot be counted exactly from changes; count rows, and declare a"
                " facet of the column: it has a bucket for each value"
            )
        return written

    @model_validator(mode="after")
    def _exactly_one(self) -> Measure:
        if len(self._given()) != 1:
            raise ValueError("a measure is exactly one of count, sum, avg, min, max")
        return self

    def _given(self) -> list[Function]:
        return [name for name in get_args(Function) if getattr(self, name) is not None]

    @property
    def function(self) -> Function:
        """What is computed."""
        return self._given()[0]

    @property
    def column(self) -> str | None:
        """The column it is computed of; None where rows are counted."""
        return self.sum or self.avg or self.min or self.max


class Aggregate(Part):
    """Measures of an entity by some of its facets or dimensions, and by currency for money."""

    entity: Name = Field(description="The entity whose rows are measured.")
    by: list[Name] = Field(
        default_factory=list,
        max_length=6,
        description="Its facets or dimensions that the figures are split by; none for one total.",
    )
    currency: Column | None = Field(
        default=None, description="Money of different currencies is never added up."
    )
    measures: dict[Name, Measure] = Field(min_length=1, description="The figures, by name.")

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
