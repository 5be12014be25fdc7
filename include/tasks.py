"""The tasks of every DAG: plan the run, do one batch of it or one stage, report.

Airflow imports this module whenever it parses a DAG file, so what a job needs (drivers, hooks, the
library) is imported when a task runs.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from airflow.sdk import Asset
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from crm_ops.base import errors
from crm_ops.jobs import registry

_log = logging.getLogger(__name__)

RUN_ID = "ledger_run_id"
FIGURES = "figures"
REPORT = "report"
SUBJECT = "subject"


def plan(job: str, params: Mapping[str, Any], run_id: str, ti: Any) -> list[dict[str, Any]]:
    """Open a run of `job` in the ledger and return its batches; the work is mapped over them.

    Of a job in stages it returns, for each subject, its batch of each stage; the batch of a stage
    that is done once is pushed as the XCom with the stage's name. The ledger's id of the run is
    pushed as the XCom `ledger_run_id`. Raises ParameterError where a
    parameter names what is not there, and what else stops the job before it began.
    """
    from crm_ops.jobs import run  # noqa: PLC0415
    from include import tools  # noqa: PLC0415

    with tools.opened(os.environ) as opened:
        planned = run.plan(job, _request(params), opened, started_by=f"airflow {run_id}")
    ti.xcom_push(key=RUN_ID, value=planned.run_id)
    _log.info(
        "%s: %s batch(es)",
        job,
        len(planned.batches),
        extra={"action": "job_planned", RUN_ID: planned.run_id},
    )
    if not registry.named(job).stages:
        return [asdict(batch) for batch in planned.batches]
    subjects: dict[str, dict[str, Any]] = {}
    for batch in planned.batches:
        if batch.subject is None:
            ti.xcom_push(key=batch.stage, value=asdict(batch))
        else:
            of_stage = subjects.setdefault(batch.subject, {SUBJECT: batch.subject})
            of_stage[str(batch.stage)] = asdict(batch)
    return list(subjects.values())


def stage(name: str, ti: Any) -> dict[str, Any]:
    """Do the one batch of a stage as `work` does; skipped where the plan found nothing to do."""
    batch = ti.xcom_pull(task_ids="plan", key=name)
    if batch is None:
        raise AirflowSkipException("there is nothing to do; the log of the task `plan` says why")
    return work(batch)


def stage_of(name: str, batches: Mapping[str, Any]) -> dict[str, Any]:
    """Do the batch of a stage of one subject as `work` does."""
    return work(batches[name])


def work(batch: Mapping[str, Any]) -> dict[str, Any]:
    """Do one batch and return what it did, in numbers; safe to repeat.

    Raises TenantsFailed where some tenants failed, after the others were done.
    """
    from crm_ops.jobs import run  # noqa: PLC0415
    from crm_ops.jobs.work import Batch  # noqa: PLC0415
    from include import tools  # noqa: PLC0415

    with tools.opened(os.environ) as opened:
        done = asdict(run.do(Batch(**batch), opened))
    _log.info("%s: %s", batch["label"], done, extra={"action": "batch_figures"})
    return done


def report(
    params: Mapping[str, Any],
    ti: Any,
    run_id: str,
    outlets: list[Asset],
    outlet_events: Mapping[Asset, Any],
    asset_state_store: Mapping[Asset, Any],
) -> dict[str, Any]:
    """Close the run in the ledger, tell what it did, return its figures; fail if part of it failed.

    Where the job has a stage `report`, its batch is done first.
    The DAG's asset is updated with the figures, except by a dry run, which changed nothing.
    """
    from crm_ops.jobs import run  # noqa: PLC0415
    from include import telling, tools  # noqa: PLC0415

    ledger_id = ti.xcom_pull(task_ids="plan", key=RUN_ID)
    if ledger_id is None:
        raise AirflowFailException("the run was not planned; the log of the task `plan` says why")
    own = ti.xcom_pull(task_ids="plan", key=REPORT)
    if own is not None:
        work(own)
    with tools.opened(os.environ) as opened:
        result = run.report(ledger_id, opened)
        found = telling.reported(opened, result, ledger_id=ledger_id, run_id=run_id)
    _log.info(
        "%s: %s tenants, %s rows seen, %s figures written, %s ms",
        result.job,
        result.tenants,
        result.rows_seen,
        result.figures_written,
        result.took_ms,
        extra={"action": "job_figures", RUN_ID: ledger_id, "details": dict(result.details)},
    )
    figures = asdict(result)
    if result.state != "success":
        # A task that fails returns nothing, and yet some tenants may have been served.
        ti.xcom_push(key=FIGURES, value=figures)
        # Another try would read the same from the ledger: the batches had theirs.
        raise AirflowFailException(result.error)
    if params["dry_run"]:
        outlets.clear()
    if found is not None:
        telling.remember(found, outlets, asset_state_store)
    for asset in outlets:
        outlet_events[asset].extra = figures
    return figures


def _request(params: Mapping[str, Any]) -> Any:
    """What a run is asked, from the trigger form; the form sends null where nothing is chosen."""
    from crm_ops.jobs.work import Request  # noqa: PLC0415

    known = Request.__dataclass_fields__
    unknown = sorted(set(params) - set(known))
    if unknown:
        raise errors.ParameterError(
            f"there is no parameter {', '.join(unknown)}; there are {', '.join(known)}"
        )
    return Request(
        entities=tuple(params["entities"] or ()),
        tenants=tuple(params["tenants"] or ()),
        dry_run=params["dry_run"],
        mode=params["mode"],
    )


__all__ = ["FIGURES", "REPORT", "RUN_ID", "SUBJECT", "plan", "report", "stage", "stage_of", "work"]
