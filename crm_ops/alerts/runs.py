"""Tells what a run of a job has to be announced for: by the ledger, and by the scheduler's word.

A run that failed because it found drift or too short a runway is announced as that, not as failed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa

from crm_ops.alerts import text
from crm_ops.alerts.incident import Incident, Occasion
from crm_ops.base import sql, statements
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.schedule import JobName
from crm_ops.jobs import registry

DRIFT = "differing_figures."
_REPAIRED = ("sharing_repaired", "repaired_tenants")


@dataclass(frozen=True)
class Run:
    """A run as the ledger has it; `failures` say by tenant, `broken` by batch what went wrong."""

    job: JobName
    state: Literal["running", "success", "partial", "failed"]
    started_by: str
    started_at: datetime
    finished_at: datetime | None
    dry_run: bool
    error: str | None
    details: Mapping[str, Any]
    failures: Mapping[str, str]
    broken: int


def of_occasion(connection: sa.Connection, occasion: Occasion) -> Run | None:
    """The run that the occasion is about; None where it never came into the ledger."""
    started_by = f"airflow {occasion.run}"
    found = _read(connection, "of_scheduler", job=occasion.job, started_by=started_by)
    return next(iter(found), None)


def last_whole(connection: sa.Connection) -> dict[str, Run]:
    """The newest finished run of each job that was asked for everything, by job."""
    return {run.job: run for run in _read(connection, "whole", jobs=list(registry.JOBS))}


def incidents(run: Run, catalog: Catalog, link: str | None = None) -> list[Incident]:
    """What a finished run has to be announced for; nothing of a dry run, somebody watches it."""
    if run.dry_run or run.finished_at is None:
        return []
    found = [*_drift(run, link), *_repairs(run, link)]
    if run.state == "partial":
        found.append(_tenants(run, link))
    if run.state == "failed" and not _explained(run, catalog):
        found.append(_failed(run, link))
    return found


def by_scheduler(occasion: Occasion, run: Run | None) -> list[Incident]:
    """What only the scheduler knows: a run that is late, or failed without a word in the ledger."""
    if run is not None and run.dry_run:
        return []
    done = run is not None and run.finished_at is not None
    if occasion.event == "late" and not done:
        return [_late(occasion)]
    # The ledger tells of any other run that has ended.
    if occasion.event == "failed" and (not done or (run is not None and run.state == "success")):
        return [_lost(occasion, run)]
    return []


def _read(connection: sa.Connection, which: str, **values: object) -> list[Run]:
    """The runs whose ids the statement `which` tells."""
    load = statements.load("crm_ops.alerts")
    ids = sql.run(connection, load[which], **values).scalars().all()
    rows = sql.run(connection, load["runs"], ids=list(ids)).mappings()
    return [Run(**row) for row in rows]


def _late(occasion: Occasion) -> Incident:
    message = text.message(
        f"{occasion.job} is late",
        {
            "Job": _job(occasion.job),
            "Run": occasion.link or occasion.run,
            "Since": text.moment(occasion.since) if occasion.since else None,
            "What to do": "its page shows what it waits for: a pool without slots, a missing"
            " worker, a lock; `crm-ops status` shows what the last runs took",
        },
    )
    return Incident("late", occasion.job, message)


def _lost(occasion: Occasion, run: Run | None) -> Incident:
    message = text.message(
        f"{occasion.job} failed",
        {
            "Job": _job(occasion.job),
            "Run": occasion.link or occasion.run,
            "Since": text.moment(run.started_at) if run else None,
            "Why": f"it did not come to its end: {occasion.reason or 'no reason is known'}",
            "What to do": "read the log of its tasks; running again does no harm, and the next"
            " run makes up for what this one missed",
        },
    )
    return Incident("failed", occasion.job, message)


def _explained(run: Run, catalog: Catalog) -> bool:
    """Whether what made the run fail is announced under a name of its own."""
    if run.broken or run.failures or run.details.get("sharing_triggers_missing"):
        return False
    runway = run.details.get("runway_days")
    short = (
        catalog.audit is not None
        and runway is not None
        and runway < catalog.audit.minimum_runway_days
    )
    return short or bool(run.details.get("differing_figures"))


def _failed(run: Run, link: str | None) -> Incident:
    message = text.message(
        f"{run.job} failed",
        {
            **_head(run, link),
            "Why": run.error,
            "What to do": "the reason names the remedy; running again does no harm, and the next"
            " run makes up for what this one missed",
        },
    )
    return Incident("failed", run.job, message)


def _tenants(run: Run, link: str | None) -> Incident:
    named = text.several(f"{tenant} ({why})" for tenant, why in sorted(run.failures.items()))
    message = text.message(
        f"{run.job}: {text.count(len(run.failures), 'tenant')} failed",
        {
            **_head(run, link),
            "Tenants": named,
            "What to do": "the other tenants were done; see what is special about these, then"
            f" `crm-ops run --task {run.job} --tenant KEY`",
        },
    )
    return Incident("tenants", run.job, message)


def _drift(run: Run, link: str | None) -> list[Incident]:
    return [
        Incident(
            "drift",
            name.removeprefix(DRIFT),
            text.message(
                f"{name.removeprefix(DRIFT)}: {text.count(figures, 'served figure')} differed"
                " from a count of the rows",
                {
                    **_head(run, link),
                    "What to do": "their tenants were counted anew; changes were made past our"
                    " triggers: docs/troubleshooting.md says how to find them, `crm-ops verify"
                    f" --entity {name.removeprefix(DRIFT)}` proves the others",
                },
            ),
        )
        for name, figures in run.details.items()
        if name.startswith(DRIFT) and figures
    ]


def _repairs(run: Run, link: str | None) -> list[Incident]:
    # What drifted is counted among the repaired, and announced as drift.
    counted = {
        name: run.details.get(name, 0)
        for name in _REPAIRED
        if not (name == "repaired_tenants" and run.details.get("differing_figures"))
    }
    done = {name: number for name, number in counted.items() if number}
    if not done:
        return []
    said = ", ".join(f"{name.replace('_', ' ')} {number:,}" for name, number in done.items())
    message = text.message(
        f"{run.job} repaired what had gone wrong unseen",
        {
            **_head(run, link),
            "Repaired": said,
            "What to do": "nothing is wrong now; writes went past our triggers:"
            " docs/troubleshooting.md says how to find them",
        },
    )
    return [Incident("repairs", run.job, message)]


def _head(run: Run, link: str | None) -> dict[str, str | None]:
    return {
        "Job": _job(run.job),
        "Run": link or run.started_by,
        "Since": text.moment(run.started_at),
    }


def _job(name: JobName) -> str:
    return f"{name} (DAG {registry.named(name).dag_id})"


__all__ = ["DRIFT", "Run", "by_scheduler", "incidents", "last_whole", "of_occasion"]
