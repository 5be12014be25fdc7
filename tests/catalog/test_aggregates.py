"""Measures and aggregates."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from crm_ops.catalog.aggregates import Aggregate, Measure


@pytest.mark.parametrize(
    ("written", "function", "column"),
    [
        ({"count": "rows"}, "count", None),
        ({"sum": "amount"}, "sum", "amount"),
        ({"avg": "amount"}, "avg", "amount"),
        ({"min": "amount", "max": None}, "min", "amount"),
    ],
)
def test_a_measure_is_a_function_of_a_column(
    written: dict[str, Any], function: str, column: str | None
) -> None:
    measure = Measure.model_validate(written)
    assert (measure.function, measure.column) == (function, column)


@pytest.mark.parametrize("written", [{}, {"sum": None}, {"sum": "amount", "avg": "amount"}])
def test_a_measure_is_exactly_one_function(written: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="exactly one of"):
        Measure.model_validate(written)


@pytest.mark.parametrize(
    "written",
    [{"count_distinct": "owner"}, {"count": {"distinct": "owner"}}, {"distinct": "owner"}],
)
def test_distinct_values_are_refused_with_the_reason(written: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="distinct values cannot be counted exactly from"):
        Measure.model_validate(written)


def test_the_columns_of_an_aggregate_are_named_once() -> None:
    aggregate = Aggregate.model_validate(
        {
            "entity": "deal",
            "measures": {
                "deals": {"count": "rows"},
                "revenue": {"sum": "amount"},
                "largest": {"max": "amount"},
                "score": {"avg": "score"},
            },
        }
    )
    assert aggregate.columns() == ["amount", "score"]


@pytest.mark.parametrize(
    "wrong", [{"by": ["stage", "stage"]}, {"by": ["currency"], "currency": "currency"}]
)
def test_a_dimension_is_named_once(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Aggregate.model_validate({"entity": "deal", "measures": {"n": {"count": "rows"}}, **wrong})
