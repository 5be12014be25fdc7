"""Makes the DAG of a job: plan, work mapped over the batches or done in stages, report.

Four DAGs that differ only in their row of the registry and their timing in the catalog.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
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
    task_group,
)

from crm_ops.base import errors, settings
from crm_ops.catalog import load, yaml12
from crm_ops.catalog.schedule import JobName
from crm_ops.jobs import registry
from crm_ops.jobs.registry import Stage
from include import deadlines, guide, params, tasks
from include.notifier import Announce

# Another try would meet the same until a person acts.
_LASTING = (
    errors.CatalogError,
    errors.Drift,
    errors.NothingSeen,
    errors.ParameterError,
    errors.PermissionMissing,
    errors.SettingsError,
)


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
    with made:
        planned = _task(tasks.plan)(job)
        # The only leaf, so that its state is the run's; it runs whatever became of the others.
        last = _task(
            tasks.report, trigger_rule=TriggerRule.ALL_DONE, outlets=[Asset(f"crm_ops_{job}")]
        )()
        if row.stages:
            _in_stages(row.stages, planned) >> last
        else:
            work = _task(tasks.work, map_index_template="{{ task.op_kwargs['batch']['label'] }}")
            work.expand(batch=planned) >> last
    return made


def _in_stages(stages: Sequence[Stage], planned: Any) -> Any:
    """The stages that are done once, one after another; then those of each subject, in parallel.

    What became of the former does not matter to the latter: each is for its own sake.
    """
    before = planned
    for stage in stages:
        if not stage.each and stage.name != tasks.REPORT:
            done = _task(tasks.stage, **_of_stage(stage))(stage.name)
            before = before >> done

    @task_group(group_id="retire", prefix_group_id=False)
    def subject(batches: Any) -> None:
        former = None
        for stage in stages:
            if stage.each:
                rule = TriggerRule.ALL_SUCCESS if former else TriggerRule.ALL_DONE_MIN_ONE_SUCCESS
                made = _task(
                    tasks.stage_of,
                    trigger_rule=rule,
                    map_index_template="{{ task.op_kwargs['batches']['subject'] }}",
                    max_active_tis_per_dagrun=1 if stage.alone else None,
                    **_of_stage(stage),
                )(name=stage.name, batches=batches)
                former = made if former is None else former >> made

    return before >> subject.expand(batches=planned)


def _of_stage(stage: Stage) -> dict[str, Any]:
    pool = {"pool": stage.pool, "queue": stage.pool} if stage.pool else {}
    return {"task_id": stage.name, **pool}


def _task(does: Callable[..., object], **arguments: Any) -> Any:
    """Airflow's types of `task` know neither an operator's arguments nor the task's context."""
    decorator: Any = task
    return decorator(**arguments)(does)


def _entities(catalog: Path) -> list[str]:
    """The names of the catalog's entities, whatever else the file says."""
    document = yaml12.read(catalog.read_text(encoding="utf-8"), str(catalog))
    declared = document.value.get("entities")
    return list(declared) if isinstance(declared, dict) else []


__all__ = ["make"]
