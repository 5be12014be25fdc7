"""The catalog as a whole: what is counted, how long audit rows live, who may see what, and when."""

from __future__ import annotations

from typing import Any

from pydantic import (
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from crm_ops.catalog import references
from crm_ops.catalog.aggregates import Aggregate
from crm_ops.catalog.alerts import Alerts, Metrics
from crm_ops.catalog.audit import Audit
from crm_ops.catalog.entities import Entity, Tenancy
from crm_ops.catalog.facets import known_zone
from crm_ops.catalog.parts import Name, Part
from crm_ops.catalog.schedule import Jobs
from crm_ops.catalog.sharing import Sharing


class Limits(Part):
    """Bounds that keep a wrong declaration or a stuck neighbour from doing harm."""

    distinct_values_per_facet: int = Field(
        default=20_000, ge=1, description="A facet with more buckets of one tenant is refused."
    )
    statement_timeout_seconds: int = Field(
        default=600, ge=1, le=86_400, description="How long one statement may run."
    )
    lock_timeout_seconds: int = Field(
        default=2, ge=1, le=3_600, description="How long a statement may wait for a lock."
    )
    rows_per_batch: int = Field(
        default=2_000_000, ge=1, description="Tenants are put together up to so many rows."
    )
    bitmaps_from_rows: int = Field(
        default=10_000,
        ge=1,
        description="From so many rows of a tenant on, bitmaps count what a search filters.",
    )
    ledger_days: int = Field(
        default=90, ge=1, le=36_500, description="Runs and alerts are forgotten after so many days."
    )


class Catalog(Part):
    """The file `include/crm_ops.yaml`."""

    # No Literal: true would be one, as 1 equals it.
    version: int = Field(ge=1, le=1, description="The version of this format.")
    time_zone: str = Field(
        default="UTC", description="The calendar of date buckets, such as Europe/Berlin."
    )
    tenancy: Tenancy = Field(description="Whose rows there are.")
    entities: dict[Name, Entity] = Field(min_length=1, description="What is counted, by name.")
    aggregates: dict[Name, Aggregate] = Field(
        default_factory=dict, description="The figures of reports, by name."
    )
    audit: Audit | None = Field(default=None, description="The audit log, if it is kept here.")
    sharing: Sharing | None = Field(default=None, description="Who may see what, if it is warmed.")
    alerts: Alerts = Field(
        default_factory=Alerts, description="What counts as wrong, and who is told."
    )
    metrics: Metrics = Field(
        default_factory=Metrics, description="What else is emitted by Airflow's stats."
    )
    limits: Limits = Field(default_factory=Limits, description="Bounds that prevent harm.")
    jobs: Jobs = Field(description="When each job runs, how long it may take, and in which pool.")

    @field_validator("time_zone")
    @classmethod
    def _known(cls, name: str) -> str:
        return known_zone(name)

    @model_validator(mode="wrap")
    @classmethod
    def _consistent(cls, value: Any, handler: ModelWrapValidatorHandler[Catalog]) -> Catalog:
        """Tell dangling references together with whatever else is wrong."""
        found = [_dangling(keys, message) for keys, message in references.problems(value)]
        try:
            catalog = handler(value)
        except ValidationError as error:
            found = [*(_again(problem) for problem in error.errors(include_url=False)), *found]
        else:
            if not found:
                return catalog
        raise ValidationError.from_exception_data(cls.__name__, found)


def _dangling(keys: tuple[str | int, ...], message: str) -> InitErrorDetails:
    problem = PydanticCustomError("reference", "{message}", {"message": message})
    return InitErrorDetails(type=problem, loc=keys, input=None)


def _again(problem: Any) -> InitErrorDetails:
    """A problem that pydantic reported, in the form in which it takes problems."""
    return InitErrorDetails(
        type=problem["type"],
        loc=problem["loc"],
        input=problem["input"],
        ctx=problem.get("ctx", {}),
    )


__all__ = ["Catalog", "Limits"]
