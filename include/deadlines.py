"""Says that a run is late: in the log of Airflow's triggerer, which is what watches deadlines."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from airflow.sdk import BaseNotifier
from airflow.sdk.definitions.callback import AsyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference

_log = logging.getLogger(__name__)


class LateRun(BaseNotifier):
    """Logs that a DAG run is not done `minutes` after it was queued.

    Airflow calls it for a run that failed before its deadline, too: a failure is not news again.
    """

    def __init__(self, minutes: int, context: Any = None) -> None:
        super().__init__(context)
        self.minutes = minutes

    async def async_notify(self, context: Any) -> None:
        """Log it from the triggerer."""
        self.notify(context)

    def notify(self, context: Any) -> None:
        """Log it."""
        run = context["dag_run"]
        if run["state"] == "failed":
            return
        _log.error(
            "%s is late: the run %s was not done %s minutes after it was queued; its page in"
            " Airflow shows what it waits for, `crm-ops status` what the last runs took",
            run["dag_id"],
            run["dag_run_id"],
            self.minutes,
            extra={"action": "run_late", "state": run["state"]},
        )


def alert(dag_id: str, minutes: int) -> DeadlineAlert:
    """The deadline of a DAG: `minutes` after a run was queued, whoever started it."""
    return DeadlineAlert(
        name=f"{dag_id} is late",
        # A manual run may have no logical date.
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=minutes),
        callback=AsyncCallback(LateRun, kwargs={"minutes": minutes}),
    )


__all__ = ["LateRun", "alert"]
