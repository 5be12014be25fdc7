"""The job `audit_maintenance`: partitions created ahead, expired ones archived and dropped.

Creation is a batch of its own and comes first: whatever stops retention, the months ahead are
there. Each table that leaves the log is a batch: detached, exported, verified, dropped, as far as
it may go by now. Partitions hold all tenants, so tenants and entities asked for do not narrow the
job.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from crm_ops.audit import apply, archiving, claims, layout, rights, summary
from crm_ops.audit import plan as planning
from crm_ops.audit.layout import Layout, Stored
from crm_ops.audit.plan import Late, Plan
from crm_ops.audit.storage import Storage
from crm_ops.base import database, errors, settings
from crm_ops.base.results import Done
from crm_ops.catalog.audit import Audit
from crm_ops.jobs import verification
from crm_ops.jobs.work import Request, Tools, Work
from crm_ops.sources import check

ENSURE = "ensure"
RETIRE = "retire"
REPORT = "report"

T = TypeVar("T", bound=Stored | Late)


def plan(request: Request, tools: Tools) -> list[Work]:
    """Ensure the months ahead; a batch for each table that leaves; the figures afterwards."""
    verification.refuse(request, "audit_maintenance")
    policy = policy_of(tools)
    with database.transaction(tools.engine) as connection:
        check.check(connection, tools.loaded)
    _, planned = look(tools)
    return [
        Work(f"{policy.table}: ensure the months ahead", {"step": ENSURE}),
        *(
            Work(
                f"{policy.table}: {each.stretch.lower:%Y-%m}, retire {each.table.name}",
                {"step": RETIRE, "table": str(each.table), "lower": each.stretch.lower.isoformat()},
            )
            for each in leaving(planned)
        ),
        Work(f"{policy.table}: report", {"step": REPORT}),
    ]


def do(arguments: Mapping[str, Any], tools: Tools, *, dry_run: bool) -> Done:
    """Do one batch, from a fresh plan; safe to repeat."""
    found, planned = look(tools)
    match arguments["step"]:
        case "ensure":
            done = _ensure(tools, planned, dry_run=dry_run)
            return Done(
                rows_seen=len(found.partitions), figures_written=sum(done.values()), details=done
            )
        case "retire":
            mine = only(planned, arguments["table"])
            done = _would(mine) if dry_run else retire(tools, mine)
            changed = done["detached_partitions"] + len(mine.archives) + done["dropped_partitions"]
            return Done(rows_seen=done["verified_rows"], figures_written=changed, details=done)
        case _:
            figures = asdict(summary.of(found, tools.clock()))
            del figures["table"]
            return Done(details=figures)


def conclude(done: Done, request: Request, tools: Tools) -> str | None:
    """Fail where the partitions ahead reach less far than the catalog demands."""
    policy = policy_of(tools)
    runway = done.details["runway_days"]
    if request.dry_run or runway >= policy.minimum_runway_days:
        return None
    return (
        f"the partitions of {policy.table} reach only {runway} days ahead, fewer than the"
        f" {policy.minimum_runway_days} of audit.minimum_runway_days; `crm-ops run --task"
        " audit_maintenance` creates what is missing and says what is in its way"
    )


def policy_of(tools: Tools) -> Audit:
    """What the catalog says of the audit log; raise ParameterError where it says nothing."""
    if tools.catalog.audit is None:
        raise errors.ParameterError(
            "the catalog declares no audit log; declare `audit`, or do not run audit_maintenance"
        )
    return tools.catalog.audit


def storage_of(tools: Tools) -> Storage:
    """The archive that this environment names by `CRM_OPS_ARCHIVE`, else the catalog."""
    named = os.environ.get(settings.ARCHIVE) or policy_of(tools).archive
    return Storage(named, Path(tools.loaded.document.file).resolve().parent)


def look(tools: Tools) -> tuple[Layout, Plan]:
    """The audit log as it is, and what is to be done; PermissionMissing where we may not do it."""
    policy = policy_of(tools)
    found = layout.look(tools.engine, policy)
    with database.transaction(tools.engine) as connection:
        rights.require(connection, found.parent.table)
        claimed = claims.read(connection, found, policy, tools.clock())
    return found, planning.make(found, policy, tools.clock(), claimed=claimed)


def leaving(planned: Plan) -> list[Stored | Late]:
    """The tables that something is to be done for, each once, the oldest first."""
    every = (*planned.expiries, *planned.late, *planned.archives, *planned.drops)
    return sorted(
        {each.table: each for each in every}.values(), key=lambda each: (each.stretch, each.table)
    )


def only(planned: Plan, table: str) -> Plan:
    """The part of a plan that concerns one table that leaves."""
    return replace(
        planned,
        expiries=_named(planned.expiries, table),
        late=_named(planned.late, table),
        archives=_named(planned.archives, table),
        drops=_named(planned.drops, table),
    )


def retire(
    tools: Tools, planned: Plan, progress: Callable[[int], None] = lambda _rows: None
) -> dict[str, int]:
    """Bring what leaves as far as it may go; `progress` hears the rows exported of each table."""
    detached = apply.detach(tools.engine, planned)
    exported = verified = file_bytes = 0
    storage = storage_of(tools)
    for each in planned.archives:
        done = archiving.export(tools.engine, storage, planned.policy, each.table, progress)
        checked = archiving.verify(
            tools.engine, storage, planned.policy, each.table, now=tools.clock()
        )
        exported += done.exported_rows + checked.exported_rows
        verified += checked.verified_rows
        file_bytes += checked.file_bytes
    dropped = apply.drop(tools.engine, planned, storage)
    return {
        "detached_partitions": detached.detached,
        "late_rows": detached.late_rows,
        "exported_rows": exported,
        "verified_rows": verified,
        "archived_bytes": file_bytes,
        "dropped_partitions": dropped.dropped,
        "dropped_rows": dropped.dropped_rows,
    }


def _ensure(tools: Tools, planned: Plan, *, dry_run: bool) -> dict[str, int]:
    if dry_run:
        moved = sum(each.rows for each in planned.creations)
        return {"created_partitions": len(planned.creations), "moved_rows": moved}
    done = apply.create(tools.engine, planned)
    return {"created_partitions": done.created, "moved_rows": done.moved_rows}


def _would(planned: Plan) -> dict[str, int]:
    """The figures of a dry run: of rows PostgreSQL's estimates."""
    return {
        "detached_partitions": len(planned.expiries),
        "late_rows": sum(each.rows for each in planned.late),
        "exported_rows": sum(each.rows for each in planned.archives),
        "verified_rows": 0,
        "archived_bytes": 0,
        "dropped_partitions": len(planned.drops),
        "dropped_rows": sum(each.rows for each in planned.drops),
    }


def _named(items: Iterable[T], table: str) -> tuple[T, ...]:
    return tuple(each for each in items if str(each.table) == table)


__all__ = [
    "ENSURE",
    "REPORT",
    "RETIRE",
    "conclude",
    "do",
    "leaving",
    "look",
    "only",
    "plan",
    "policy_of",
    "retire",
    "storage_of",
]
