"""Tenants and entities: whose rows there are, and which rows are counted."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Discriminator, Field, model_validator

from crm_ops.catalog.facets import Facet, SingleValued
from crm_ops.catalog.parts import Column, Name, Part, Table, Where
from crm_ops.catalog.search import Search


class ColumnTenancy(Part):
    """Every row names its tenant; the tenants are the rows of a table."""

    mode: Literal["column"]
    table: Table = Field(description="The table of tenants, as schema.table.")
    key: Column = Field(default="id", description="Its column that entities' rows refer to.")
    where: Where = Field(default_factory=dict, description="Which of its rows are active tenants.")
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
    name: str = Field(
        default="main", min_length=1, description="The name that figures are kept under."
    )


Tenancy = Annotated[ColumnTenancy | SingleTenancy, Discriminator("mode")]


class Entity(Part):
    """A countable kind of record, and the facets it is split by."""

    table: Table = Field(description="The table of its rows, as schema.table.")
    key: Column = Field(default="id", description="The column that identifies a row.")
    tenant: Column | None = Field(
        default=None, description="The column that names a row's tenant; needed in mode column."
    )
    where: Where = Field(default_factory=dict, description="Which rows count, such as no deleted.")
    created: Column | None = Field(default=None, description="When a row came to be.")
    updated: Column | None = Field(default=None, description="When a row last changed.")
    owner: Column | None = Field(default=None, description="The user whom a row belongs to.")
    capture: Literal["trigger", "none"] = Field(
        default="trigger",
        description="How changes are learnt: by triggers, or not at all (every run counts anew).",
    )
    fresh_within_minutes: int | None = Field(
        default=None,
        ge=1,
        le=525_600,
        description="Its figures may lag so far behind the rows; else what alerts says.",
    )
    facets: dict[Name, Facet] = Field(
        default_factory=dict, description="The ways to split its rows that a search shows."
    )
    dimensions: dict[Name, SingleValued] = Field(
        default_factory=dict, description="Splits for aggregates that are not shown as facets."
    )
    search: Search = Field(
        default_factory=Search, description="What a search shows, sorts by and looks for."
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
