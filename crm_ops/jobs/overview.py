"""Everything the page in Airflow shows at a glance, as of one moment. It only reads.

`status` is what `crm-ops status` prints, read the same way: the two agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from crm_ops.audit import timeline
from crm_ops.base import database
from crm_ops.catalog.schedule import JobName
from crm_ops.jobs import caches, failures, incidents, status, trend
from crm_ops.jobs.work import Sight
from crm_ops.schema import migrate


@dataclass(frozen=True)
class Overview:
    """How things stand, how they went, and who was told, as of `read_at`.

    `failed` are the tenants of each job's last run that failed; a job without any is left out.
    """

    read_at: datetime
    healthy: bool
    status: status.Status
    trend: Mapping[JobName, tuple[trend.Point, ...]]
    failed: Mapping[JobName, failures.Failed]
    timeline: tuple[timeline.Stage, ...]
    minimum_runway_days: int | None
    caches: caches.Caches
    incidents: tuple[incidents.Incident, ...]


def read(sight: Sight) -> Overview:
    """Read all of it in one snapshot; raise SettingsError where our tables are not as needed."""
    with database.transaction(sight.engine, isolation="REPEATABLE READ") as connection:
        migrate.require(connection)
        log = status.audit_log(connection, sight)
        found = status.within(connection, sight, log)
        last = {run.id: name for name, run in found.jobs.items() if run is not None}
        failed = failures.read(connection, last)
        policy = sight.catalog.audit
        stages = timeline.read(connection, policy, log) if policy and log else ()
        return Overview(
            read_at=sight.clock(),
            healthy=found.healthy,
            status=found,
            trend=trend.read(connection),
            failed={last[run]: each for run, each in failed.items()},
            timeline=stages,
            minimum_runway_days=policy.minimum_runway_days if policy else None,
            caches=caches.read(connection),
            incidents=incidents.read(connection),
        )


__all__ = ["Overview", "read"]
