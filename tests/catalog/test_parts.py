"""Names, tables, columns and row filters as the catalog writes them."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from crm_ops.catalog.parts import Column, Name, Not, Table, Where

FILTER: TypeAdapter[Where] = TypeAdapter(Where)


@pytest.mark.parametrize(
    "where",
    [
        {"is_active": True},
        {"status": "new", "score": 3, "rate": 0.5},
        {"status": ["new", "open", None]},
        {"deleted_at": None},
        {'odd name, with % and "': "x"},
    ],
)
def test_a_filter_is_kept_as_it_is_written(where: dict[str, Any]) -> None:
    found = FILTER.validate_python(where)
    assert found == where
    assert [type(value) for value in found.values()] == [type(value) for value in where.values()]


def test_a_filter_may_be_turned_around() -> None:
    found = FILTER.validate_python({"status": {"not": ["lost", None]}})
    assert found == {"status": Not.model_validate({"not": ["lost", None]})}


@pytest.mark.parametrize(
    "value",
    [
        [],
        {"not": []},
        {"nott": 1},
        {"not": 1, "or": 2},
        {"not": {"not": 1}},
        [["new"]],
        float("nan"),
        "a\0b",
    ],
)
def test_what_is_no_filter_is_refused_in_one_sentence(value: object) -> None:
    with pytest.raises(ValidationError) as caught:
        FILTER.validate_python({"status": value})
    (problem,) = caught.value.errors()
    assert problem["loc"] == ("status",)


@pytest.mark.parametrize("name", ["Lead", "1st", "", "a-b", "x" * 64, "größe", "lead\n"])
def test_a_name_is_small_letters_digits_and_underscores(name: str) -> None:
    with pytest.raises(ValidationError, match="is no name"):
        TypeAdapter(Name).validate_python(name)


@pytest.mark.parametrize("name", ["", "ö" * 32, "a\0b"])
def test_what_postgresql_cannot_hold_is_no_column(name: str) -> None:
    with pytest.raises(ValidationError, match="cannot be a column name"):
        TypeAdapter(Column).validate_python(name)


@pytest.mark.parametrize("name", ["lead", "a.b.c", ".lead", "crm.", 'crm."x', ""])
def test_a_table_is_named_with_its_schema(name: str) -> None:
    with pytest.raises(ValidationError, match=r"write schema\.table"):
        TypeAdapter(Table).validate_python(name)
