"""What all parts of the catalog are made of: the strict model, names, row filters."""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from crm_ops.base import errors, sql

_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
_PLAIN = (str, bool, int, float, type(None))


class Part(BaseModel):
    """A part of the catalog: frozen, an unknown key is an error, and nothing is converted."""

    # defer_build: Airflow parses DAG files often and needs the timing of the jobs only.
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, defer_build=True)


def _name(text: str) -> str:
    if not _NAME.fullmatch(text):
        raise ValueError(
            f"{text!r} is no name; write at most 63 small letters, digits and underscores,"
            " a letter first"
        )
    return text


def _column(name: str) -> str:
    if not sql.usable(name):
        raise ValueError(f"{name!r} cannot be a column name: it must have 1 to 63 bytes")
    return name


def _table(text: str) -> str:
    try:
        sql.Relation.parse(text)
    except errors.ParameterError as error:
        raise ValueError(str(error)) from error
    return text


def _filter(value: Any) -> Any:
    """Refuse in one sentence what the union below would refuse once for each of its members."""
    wanted = value["not"] if isinstance(value, dict) and list(value) == ["not"] else value
    if isinstance(wanted, Not):
        return value
    if wanted == []:
        raise ValueError("an empty list matches no row; name the values, or take the filter out")
    for item in wanted if isinstance(wanted, list) else [wanted]:
        if type(item) not in _PLAIN:
            raise ValueError(
                "a filter is a value, a list of values, null, or {not: ...} around one of these"
            )
        if isinstance(item, float) and not math.isfinite(item):
            raise ValueError(f"{item} is no number to filter by; write a finite one")
        if isinstance(item, str) and "\0" in item:
            raise ValueError(f"{item!r} holds a NUL character, which no text in PostgreSQL does")
    return value


Name = Annotated[
    str,
    AfterValidator(_name),
    WithJsonSchema({"type": "string", "pattern": f"^{_NAME.pattern}$"}),
]
"""What the catalog itself names: an entity, a facet, an aggregate, a measure, a dimension."""

Column = Annotated[str, AfterValidator(_column)]
"""A column of a table of the CRM, as PostgreSQL has it; any characters."""

Table = Annotated[str, AfterValidator(_table)]
"""A table of the CRM as schema.table; a part that holds a dot or a quote in double quotes."""

Scalar = str | bool | int | float


class Not(Part):
    """Every value but this one (or these), and rows without one."""

    not_: Scalar | list[Scalar | None] | None = Field(alias="not")


Where = dict[Column, Annotated[Scalar | list[Scalar | None] | Not | None, BeforeValidator(_filter)]]
"""A row filter, joined by AND: column to value, list of values, null, or {not: ...}."""


__all__ = ["Column", "Name", "Not", "Part", "Scalar", "Table", "Where"]
