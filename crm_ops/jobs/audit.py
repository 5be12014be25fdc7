"""The job `audit_maintenance`: audit-log partitions created ahead, expired ones retired.

Creation is a batch of its own and comes first: whatever stops retention, the months ahead are
there. Partitions hold all tenants, so tenants and entities asked for do not narrow the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from crm_ops.audit import apply, layout, rights, summary
from crm_ops.audit import plan as planning
from crm_ops.base import database, errors
from crm_ops.base.results import Done
from crm_ops.catalog.audit import Audit
from crm_ops.jobs.work import Request, Tools, Work
from crm_ops.sources import check

CREATE = "create"
RETIRE = "retire"


def plan(_request: Request, tools: Tools) -> list[Work]:
    """Two batches: create, then retire."""
    policy = _policy(tools)
    with database.transaction(tools.engine) as connection:
        check.check(connection, tools.loaded)
        rights.require(connection, layout.read(connection, policy).parent.table)
    return [
        Work(label=f"{policy.table}: create partitions ahead", arguments={"step": CREATE}),
        Work(label=f"{policy.table}: retire expired partitions", arguments={"step": RETIRE}),
    ]


def do(arguments: Mapping[str, Any], tools: Tools, *, dry_run: bool) -> Done:
    """Do one step of a fresh plan; safe to repeat."""
    policy = _policy(tools)
    found, planned = _plan(tools, policy)
    if arguments["step"] == CREATE:
        done = _create(tools, planned, dry_run=dry_run)
        return Done(
            rows_seen=len(found.partitions), figures_written=sum(done.values()), details=done
        )
    done = _retire(tools, planned, dry_run=dry_run)
    after = found if dry_run else _plan(tools, policy)[0]
    figures = asdict(summary.of(after, tools.clock()))
    del figures["table"]
    return Done(figures_written=sum(done.values()), details={**figures, **done})


def conclude(done: Done, request: Request, tools: Tools) -> str | None:
    """Fail where the partitions ahead reach less far than the catalog demands."""
    policy = _policy(tools)
    runway = done.details["runway_days"]
    if request.dry_run or runway >= policy.minimum_runway_days:
        return None
    return (
        f"the partitions of {policy.table} reach only {runway} days ahead, fewer than the"
        f" {policy.minimum_runway_days} of audit.minimum_runway_days; `crm-ops run --task"
        " audit_maintenance` creates what is missing and says what is in its way"
    )


def _policy(tools: Tools) -> Audit:
    if tools.catalog.audit is None:
        raise errors.ParameterError(
            "the catalog declares no audit log; declare `audit`, or do not run audit_maintenance"
        )
    return tools.catalog.audit


def _plan(tools: Tools, policy: Audit) -> tuple[layout.Layout, planning.Plan]:
    with database.transaction(tools.engine) as connection:
        found = layout.read(connection, policy)
    return found, planning.make(found, policy, tools.clock())


def _create(tools: Tools, planned: planning.Plan, *, dry_run: bool) -> dict[str, int]:
    if dry_run:
        moved = sum(each.rows for each in planned.creations)
        return {"created_partitions": len(planned.creations), "moved_rows": moved}
    done = apply.create(tools.engine, planned)
    return {"created_partitions": done.created, "moved_rows": done.moved_rows}


def _retire(tools: Tools, planned: planning.Plan, *, dry_run: bool) -> dict[str, int]:
    if dry_run:
        detached, dropped = len(planned.expiries), len(planned.drops)
    else:
        done = apply.retire(tools.engine, planned)
        detached, dropped = done.detached, done.dropped
    return {"detached_partitions": detached, "dropped_partitions": dropped}


__all__ = ["CREATE", "RETIRE", "conclude", "do", "plan"]
