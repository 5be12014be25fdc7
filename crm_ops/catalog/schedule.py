"""When each job runs, how long it may take, and in which pool: read when Airflow parses a DAG."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from crm_ops.catalog.parts import Part

Pool = Literal["workflow_io", "workflow_cpu", "workflow_default"]
JobName = Literal["precompute_facets", "precompute_aggregates", "audit_maintenance", "warm_caches"]


class Timing(Part):
    """The timing of one job; its Celery queue has the name of its pool."""

    schedule: str
    deadline_minutes: int = Field(ge=1)
    timeout_minutes: int = Field(ge=1)
    pool: Pool

    @field_validator("schedule")
    @classmethod
    def _cron(cls, text: str) -> str:
        # Imported here: the only use, and an unchanged schedule need not pay for it at parse time.
        from croniter import croniter  # noqa: PLC0415

        if len(text.split()) != 5 or not croniter.is_valid(text):
            raise ValueError(f"{text!r} is no cron schedule; write five fields such as */5 * * * *")
        return text


class Jobs(Part):
    """The timing of the four jobs."""

    precompute_facets: Timing
    precompute_aggregates: Timing
    audit_maintenance: Timing
    warm_caches: Timing


__all__ = ["JobName", "Jobs", "Pool", "Timing"]
