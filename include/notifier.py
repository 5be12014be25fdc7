"""What Airflow calls when a run fails or is late: in its DAG processor, or in its triggerer.

Importable by its path, and light: what it needs is imported when it is called.
"""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any, Literal

from airflow.sdk import BaseNotifier

from crm_ops.catalog.schedule import JobName


class Announce(BaseNotifier):
    """Announces that a run of `job` failed or is late, if people were not told already."""

    def __init__(self, job: JobName, event: Literal["failed", "late"], context: Any = None) -> None:
        super().__init__(context)
        self.job = job
        self.event = event

    async def async_notify(self, context: Any) -> None:
        """Announce it from the triggerer, whose loop others need meanwhile."""
        await asyncio.to_thread(self.notify, context)

    def notify(self, context: Any) -> None:
        """Announce it."""
        from crm_ops.alerts.incident import Occasion  # noqa: PLC0415
        from include import announce, figures, links  # noqa: PLC0415

        late = self.event == "late"
        # Airflow calls for a run that failed before its deadline, too: a failure has its own alert.
        if late and context["dag_run"]["state"] in ("failed", "success"):
            return
        run = context["dag_run"]["dag_run_id"] if late else context["run_id"]
        if not late:
            figures.emit(figures.of_lost(self.job))
        announce.alone(
            Occasion(
                job=self.job,
                event=self.event,
                run=run,
                link=links.run(self.job, run),
                page=links.page(),
                reason=None if late else context.get("reason"),
                since=_moment(context["deadline"]["deadline_time"]) if late else None,
            )
        )


def _moment(given: Any) -> datetime:
    return given if isinstance(given, datetime) else datetime.fromisoformat(str(given))


__all__ = ["Announce"]
