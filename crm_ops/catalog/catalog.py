"""The catalog as a whole: what is counted, how long audit rows live, who may see what, and when."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from crm_ops.catalog.aggregates import Aggregate
from crm_ops.catalog.audit import Audit
from crm_ops.catalog.entities import ColumnTenancy, Entity, Tenancy
from crm_ops.catalog.facets import LinkFacet, known_zone
from crm_ops.catalog.parts import Name, Part
from crm_ops.catalog.schedule import Jobs
from crm_ops.catalog.sharing import Sharing


class Limits(Part):
    """Bounds that keep a wrong declaration or a stuck neighbour from doing harm."""

    distinct_values_per_facet: int = Field(default=20_000, ge=1)
    statement_timeout_seconds: int = Field(default=600, ge=1)
    lock_timeout_seconds: int = Field(default=2, ge=1)
    rows_per_batch: int = Field(
        default=2_000_000, ge=1, description="Tenants are put together up to so many rows."
    )


class Catalog(Part):
    """The file `include/crm_ops.yaml`."""

    version: Literal[1]
    time_zone: str = "UTC"
    tenancy: Tenancy
    entities: dict[Name, Entity] = Field(min_length=1)
    aggregates: dict[Name, Aggregate] = Field(default_factory=dict)
    audit: Audit | None = None
    sharing: Sharing | None = None
    limits: Limits = Field(default_factory=Limits)
    jobs: Jobs

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        return known_zone(name)

    @model_validator(mode="after")
    def _consistent(self) -> Catalog:
        problems = [*self._tenant_columns(), *self._aggregate_references()]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _tenant_columns(self) -> list[str]:
        wanted = isinstance(self.tenancy, ColumnTenancy)
        return [
            f"entities.{name}: "
            + ("name its tenant column" if wanted else "has a tenant column, but mode is single")
            for name, entity in self.entities.items()
            if (entity.tenant is None) == wanted
        ]

    def _aggregate_references(self) -> list[str]:
        problems = []
        for name, aggregate in self.aggregates.items():
            entity = self.entities.get(aggregate.entity)
            if entity is None:
                problems.append(
                    f"aggregates.{name}.entity: {aggregate.entity!r} is not declared; there are"
                    f" {', '.join(self.entities)}"
                )
                continue
            splits = entity.splits()
            for index, dimension in enumerate(aggregate.by):
                where = f"aggregates.{name}.by.{index}"
                if dimension not in splits:
                    problems.append(
                        f"{where}: {dimension!r} is neither a facet nor a dimension of"
                        f" {aggregate.entity}; there are {', '.join(splits)}"
                    )
                elif isinstance(splits[dimension], LinkFacet):
                    problems.append(
                        f"{where}: {dimension!r} is a link facet, in which a row counts more than"
                        " once; figures by it would not add up"
                    )
        return problems


__all__ = ["Catalog", "Limits"]
