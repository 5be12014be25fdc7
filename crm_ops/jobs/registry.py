"""The four jobs: the one list that DAGs, the command line and the docs read; light to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import get_args

from crm_ops.base import errors
from crm_ops.catalog.schedule import JobName, Pool


@dataclass(frozen=True)
class Stage:
    """One of the stages that a job's batches are done in, in Airflow a task of its own.

    `each` is a stage that is done for each subject, `alone` one that is done for one at a time;
    `pool` is where it runs if not in the job's own.
    """

    name: str
    each: bool = False
    alone: bool = False
    pool: Pool | None = None


@dataclass(frozen=True)
class Job:
    """A job's name on the command line, its DAG, and the module that does its work.

    Without `stages` its batches may be done in any order, side by side. A stage `report`, the last
    one, is done by the task that closes the run. `part` is the optional part of the catalog that
    it is for: without it a run has nothing to do, and says so.
    """

    name: JobName
    dag_id: str
    module: str
    summary: str
    tags: tuple[str, ...]
    stages: tuple[Stage, ...] = ()
    part: str | None = None


JOBS: Mapping[JobName, Job] = MappingProxyType(
    {
        job.name: job
        for job in (
            Job(
                name="precompute_facets",
                dag_id="precompute_search_facets",
                module="crm_ops.jobs.facets",
                summary="Facet counts of every entity, so that faceted search answers at once.",
                tags=("crm-ops", "search"),
            ),
            Job(
                name="precompute_aggregates",
                dag_id="precompute_report_aggregates",
                module="crm_ops.jobs.aggregates",
                summary="Report figures, so that reports do not scan tables.",
                tags=("crm-ops", "reports"),
            ),
            Job(
                name="audit_maintenance",
                dag_id="audit_log_maintenance",
                module="crm_ops.jobs.audit",
                summary="Partitions of the audit log: created ahead, retired when expired.",
                tags=("crm-ops", "audit"),
                stages=(
                    Stage("ensure"),
                    # These two lock: side by side they would only wait for each other.
                    Stage("expire", each=True, alone=True),
                    Stage("archive", each=True, pool="workflow_cpu"),
                    Stage("verify", each=True, pool="workflow_cpu"),
                    Stage("drop", each=True, alone=True),
                    Stage("report"),
                ),
                part="audit",
            ),
            Job(
                name="warm_caches",
                dag_id="warm_caches",
                module="crm_ops.jobs.warm",
                summary="Sharing rules, facets and aggregates filled into Redis off-peak.",
                tags=("crm-ops", "cache"),
            ),
        )
    }
)


def named(name: str) -> Job:
    """The job called `name`, or an error that lists the four."""
    for job in JOBS.values():
        if job.name == name:
            return job
    raise errors.ParameterError(f"{name!r} is no job; there are {', '.join(get_args(JobName))}")


__all__ = ["JOBS", "Job", "Stage", "named"]
