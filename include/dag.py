"""Makes the DAG of a job: plan, work mapped over the batches, report.

Four DAGs that differ only in their row of the registry and their timing in the catalog.
"""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    CronTriggerTimetable,
    ExceptionRetryPolicy,
    RetryAction,
    RetryRule,
    TriggerRule,
    task,
)

from crm_ops.base import errors, settings
from crm_ops.catalog import load, yaml12
from crm_ops.catalog.schedule import JobName
from crm_ops.jobs import registry
from include import deadlines, guide, params, tasks
from include.notifier import Announce

# Another try would meet the same until a person acts.
_LASTING = (
    errors.CatalogError,
    errors.NothingSeen,
    errors.ParameterError,
    errors.PermissionMissing,
    errors.SettingsError,
)

# Its batches are steps: the second sums up what the first has done.
_ONE_BY_ONE = ("audit_maintenance",)


def make(job: JobName, doc: str | None) -> DAG:
    """The DAG of `job`; `doc` says in Markdown what it is for.

    Raises CatalogError where the catalog's timing of the jobs is wrong.
    """
    row = registry.JOBS[job]
    catalog = settings.catalog_path(os.environ)
    timing = getattr(load.jobs(catalog), job)
    made = DAG(
        row.dag_id,
        description=row.summary,
        doc_md=(doc or "") + guide.text(job=job, dag_id=row.dag_id, pool=timing.pool),
        tags=row.tags,
        # Without a start date nothing runs before the first tick after it is unpaused.
        # A tick that passed shortly before is not made up for: the next one sees all there is.
        schedule=CronTriggerTimetable(
            timing.schedule, timezone="UTC", run_immediately=timedelta(0)
        ),
        catchup=False,
        max_active_runs=1,
        dagrun_timeout=timedelta(minutes=timing.timeout_minutes),
        deadline=deadlines.alert(job, row.dag_id, timing.deadline_minutes),
        on_failure_callback=Announce(job, "failed"),
        params=params.form(job, _entities(catalog)),
        default_args={
            "owner": "crm-ops",
            "pool": timing.pool,
            "queue": timing.pool,
            "retries": 2,
            "retry_delay": timedelta(seconds=15),
            "retry_exponential_backoff": 2.0,
            "max_retry_delay": timedelta(minutes=5),
            "retry_policy": ExceptionRetryPolicy(
                [RetryRule(exception=list(_LASTING), action=RetryAction.FAIL)]
            ),
        },
    )
    # Airflow's types of `task` know neither an operator's arguments nor the task's context.
    step: Any = task
    with made:
        batches = step(tasks.plan)(job)
        # The only leaf, so that its state is the run's; it runs whatever became of the others.
        last = step(
            tasks.report, trigger_rule=TriggerRule.ALL_DONE, outlets=[Asset(f"crm_ops_{job}")]
        )()
        work = step(
            tasks.work,
            map_index_template="{{ task.op_kwargs['batch']['label'] }}",
            max_active_tis_per_dagrun=1 if job in _ONE_BY_ONE else None,
        )
        work.expand(batch=batches) >> last
    return made


def _entities(catalog: Path) -> list[str]:
    """The names of the catalog's entities, whatever else the file says."""
    document = yaml12.read(catalog.read_text(encoding="utf-8"), str(catalog))
    declared = document.value.get("entities")
    return list(declared) if isinstance(declared, dict) else []


__all__ = ["make"]
