"""When each job runs, how long it may take, and in which pool: read when Airflow parses a DAG."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from croniter import CroniterBadDateError, croniter
from pydantic import Field, field_validator

from crm_ops.catalog.parts import Part

Pool = Literal["workflow_io", "workflow_cpu", "workflow_default"]
JobName = Literal["precompute_facets", "precompute_aggregates", "audit_maintenance", "warm_caches"]

_ANY_MOMENT = datetime(2024, 1, 1, tzinfo=UTC)


class Timing(Part):
    """The timing of one job; its Celery queue has the name of its pool."""

    schedule: str = Field(description="Five cron fields, in UTC.")
    deadline_minutes: int = Field(
        ge=1, le=10_080, description="A run that takes longer is reported."
    )
    timeout_minutes: int = Field(ge=1, le=10_080, description="A run that takes longer is ended.")
    pool: Pool = Field(description="The Airflow pool, and the Celery queue of the same name.")

    @field_validator("schedule")
    @classmethod
    def _cron(cls, text: str) -> str:
        if len(text.split()) != 5 or not croniter.is_valid(text):
            raise ValueError(f"{text!r} is no cron schedule; write five fields such as */5 * * * *")
        try:
            croniter(text, _ANY_MOMENT).get_next()
        except CroniterBadDateError as error:
            raise ValueError(f"{text!r} names a day that never comes") from error
        return text


class Jobs(Part):
    """The timing of the four jobs."""

    precompute_facets: Timing = Field(description="When the facet counts are made exact.")
    precompute_aggregates: Timing = Field(description="When the aggregates are made exact.")
    audit_maintenance: Timing = Field(description="When the audit log's partitions are kept.")
    warm_caches: Timing = Field(description="When figures and sharing rules go to Redis.")


__all__ = ["JobName", "Jobs", "Pool", "Timing"]
