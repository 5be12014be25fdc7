"""The job `audit_maintenance`: partitions created ahead, expired ones archived and dropped.

Creation is a stage of its own and comes first: whatever stops retention, the months ahead are
there. Each table that leaves the log then goes through the stages of retirement, as far as it may
go by now. Partitions hold all tenants, so tenants and entities asked for do not narrow the job.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from crm_ops.audit import apply, manifest, summary
from crm_ops.audit.layout import Stored
from crm_ops.audit.plan import Late, Plan
from crm_ops.base import database, errors
from crm_ops.base.results import Done
from crm_ops.base.sql import Relation
from crm_ops.jobs import audit_log, retirement, verification
from crm_ops.jobs.retirement import Figures, leaving
from crm_ops.jobs.work import Request, Tools, Work
from crm_ops.sources import check

ENSURE = "ensure"
REPORT = "report"

# The figures of retirement that count tables or files that came to be, or went.
_CHANGED = ("detached_partitions", "archived_files", "dropped_partitions")


def plan(request: Request, tools: Tools) -> list[Work]:
    """Ensure the months ahead; the stages of each table that leaves; the figures afterwards."""
    verification.refuse(request, "audit_maintenance")
    log = audit_log.policy(tools).table
    with database.transaction(tools.engine) as connection:
        check.check(connection, tools.loaded)
    _, planned = audit_log.look(tools)
    return [
        Work(f"{log}: ensure the months ahead", {"stage": ENSURE}, ENSURE),
        *(_work(log, each, stage) for each in leaving(planned) for stage in retirement.STAGES),
        Work(f"{log}: report", {"stage": REPORT}, REPORT),
    ]


def do(arguments: Mapping[str, Any], tools: Tools, *, dry_run: bool) -> Done:
    """Do one batch, from a fresh plan; safe to repeat."""
    found, planned = audit_log.look(tools)
    match arguments["stage"]:
        case "ensure":
            done = _ensure(tools, planned, dry_run=dry_run)
            return Done(len(found.partitions), sum(done.values()), details=done)
        case "report":
            figures = asdict(summary.of(found, tools.clock()))
            del figures["table"]
            return Done(details=figures)
        case stage:
            mine = retirement.only(planned, arguments["table"])
            done = retirement.STAGES[stage](tools, mine, dry_run=dry_run)
            changed = sum(done.get(name, 0) for name in _CHANGED)
            return Done(done.get("verified_rows", 0), changed, details=done)


def conclude(done: Done, request: Request, tools: Tools) -> str | None:
    """Fail where the months ahead or the archive are not as the catalog demands."""
    if request.dry_run:
        return None
    troubles = [_short(done, tools), _no_archive(tools)]
    return "; ".join(filter(None, troubles)) or None


def _short(done: Done, tools: Tools) -> str | None:
    policy = audit_log.policy(tools)
    runway = done.details["runway_days"]
    if runway >= policy.minimum_runway_days:
        return None
    return (
        f"the partitions of {policy.table} reach only {runway} days ahead, fewer than the"
        f" {policy.minimum_runway_days} of audit.minimum_runway_days; `crm-ops run --task"
        " audit_maintenance` creates what is missing and says what is in its way"
    )


def _no_archive(tools: Tools) -> str | None:
    """The first run begins the archive, each later one looks for it: before a month needs it."""
    policy = audit_log.policy(tools)
    if policy.on_expiry != "archive":
        return None
    try:
        manifest.publish(tools.engine, Relation.parse(policy.table), audit_log.storage(tools))
    except (errors.AuditError, errors.SettingsError) as error:
        return str(error)
    return None


def _ensure(tools: Tools, planned: Plan, *, dry_run: bool) -> Figures:
    if dry_run:
        moved = sum(each.rows for each in planned.creations)
        return {"created_partitions": len(planned.creations), "moved_rows": moved}
    done = apply.create(tools.engine, planned)
    return {"created_partitions": done.created, "moved_rows": done.moved_rows}


def _work(log: str, each: Stored | Late, stage: str) -> Work:
    """One stage of one table that leaves."""
    month = f"{each.stretch.lower:%Y-%m}"
    return Work(
        f"{log}: {month}, {stage} {each.table.name}",
        {"stage": stage, "table": str(each.table)},
        stage,
        f"{month}, {each.table.name}",
    )


__all__ = ["ENSURE", "REPORT", "conclude", "do", "plan"]
