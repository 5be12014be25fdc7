"""What all parts of the catalog are made of: the strict model, names, row filters."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from crm_ops.base import errors, sql


class Part(BaseModel):
    """A part of the catalog: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


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


Name = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,62}$")]
"""What the catalog itself names: an entity, a facet, an aggregate, a measure, a dimension."""

Column = Annotated[str, AfterValidator(_column)]
"""A column of a table of the CRM, as PostgreSQL has it; any characters."""

Table = Annotated[str, AfterValidator(_table)]
"""A table of the CRM as schema.table; a part that holds a dot or a quote in double quotes."""

Scalar = str | bool | int | float


class Not(Part):
    """Every value but this one (or these)."""

    not_: Scalar | list[Scalar] | None = Field(alias="not")


Where = dict[Column, Scalar | list[Scalar] | Not | None]
"""A row filter, joined by AND: column to value, list of values, null, or {not: ...}."""


__all__ = ["Column", "Name", "Not", "Part", "Scalar", "Table", "Where"]
