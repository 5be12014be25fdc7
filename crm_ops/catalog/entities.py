"""Tenants and entities: whose rows there are, and which rows are counted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, model_validator

from crm_ops.catalog.facets import Facet, SingleValued
from crm_ops.catalog.parts import Column, Name, Part, Table, Where


class ColumnTenancy(Part):
    """Every row names its tenant; the tenants are the rows of a table."""

    mode: Literal["column"]
    table: Table
    key: Column = "id"
    where: Where = Field(default_factory=dict)
    null_tenant: str | None = Field(
        default=None,
        min_length=1,
        description="The tenant that rows without one are counted under; without it they are not.",
    )
    setting: str | None = Field(
        default=None,
        pattern=r"^[a-z_][a-z0-9_]*\.[a-z_][a-z0-9_]*$",
        description="The setting that their row-level security reads, such as app.tenant_id.",
    )


class SingleTenancy(Part):
    """The whole CRM belongs to one company."""

    mode: Literal["single"]
    name: str = Field(default="main", min_length=1)


Tenancy = Annotated[ColumnTenancy | SingleTenancy, Discriminator("mode")]


class Entity(Part):
    """A countable kind of record, and the facets it is split by."""

    table: Table
    key: Column = "id"
    tenant: Column | None = None
    where: Where = Field(default_factory=dict)
    created: Column | None = None
    updated: Column | None = None
    owner: Column | None = None
    facets: dict[Name, Facet] = Field(default_factory=dict)
    dimensions: dict[Name, SingleValued] = Field(
        default_factory=dict, description="Splits for aggregates that are not shown as facets."
    )

    @model_validator(mode="after")
    def _one_meaning(self) -> Entity:
        both = sorted(set(self.facets) & set(self.dimensions))
        if both:
            raise ValueError(f"{', '.join(both)}: declared as a facet and as a dimension; keep one")
        return self

    def splits(self) -> dict[str, Facet]:
        """Facets and dimensions together, by name."""
        return {**self.facets, **self.dimensions}


__all__ = ["ColumnTenancy", "Entity", "SingleTenancy", "Tenancy"]
