"""The deadline of a DAG: Airflow's triggerer announces a run that is not done in time."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

from crm_ops.catalog.schedule import JobName
from include.notifier import Announce


def alert(job: JobName, dag_id: str, minutes: int) -> DeadlineAlert:
    """The deadline of a DAG: `minutes` after a run was queued, whoever started it."""
    return DeadlineAlert(
        name=f"{dag_id} is late",
        # A manual run may have no logical date.
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=minutes),
        callback=AsyncCallback(Announce, kwargs={"job": job, "event": "late"}),
    )


__all__ = ["alert"]
