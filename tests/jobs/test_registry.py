"""Four jobs, known by the same names to the command line, the catalog and Airflow."""

from __future__ import annotations

import importlib
from typing import get_args

import pytest

from crm_ops.base import errors
from crm_ops.catalog.schedule import JobName, Jobs
from crm_ops.jobs import registry


def test_the_four_jobs_and_their_dags() -> None:
    assert {job.name: job.dag_id for job in registry.JOBS.values()} == {
        "precompute_facets": "precompute_search_facets",
        "precompute_aggregates": "precompute_report_aggregates",
        "audit_maintenance": "audit_log_maintenance",
        "warm_caches": "warm_caches",
    }
    assert tuple(registry.JOBS) == get_args(JobName) == tuple(Jobs.model_fields)


@pytest.mark.parametrize("job", registry.JOBS.values(), ids=registry.JOBS)
def test_a_job_s_module_does_its_three_steps(job: registry.Job) -> None:
    module = importlib.import_module(job.module)
    assert all(callable(getattr(module, step)) for step in ("plan", "do", "conclude"))
    assert job.summary
    assert "crm-ops" in job.tags


def test_an_unknown_job_is_told_the_four() -> None:
    with pytest.raises(
        errors.ParameterError, match="'precompute' is no job; there are precompute_"
    ):
        registry.named("precompute")
