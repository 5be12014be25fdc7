"""The stages in which a table leaves the audit log: expire, archive, verify, drop.

Each takes a plan, does its part of it as far as it may go by now, and says in figures what it did;
a second time it finds nothing to do. With `dry_run` nothing is done, and the figures are what
would be: of rows PostgreSQL's estimates.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from crm_ops.audit import apply, archiving
from crm_ops.audit.layout import Stored
from crm_ops.audit.plan import Late, Plan
from crm_ops.jobs import audit_log
from crm_ops.jobs.work import Tools

T = TypeVar("T", bound=Stored | Late)

Figures = dict[str, int]
Progress = Callable[[int], None]


def expire(tools: Tools, planned: Plan, *, dry_run: bool = False) -> Figures:
    """Take what has expired off the log, and late rows of expired months out of DEFAULT."""
    if dry_run:
        late = sum(each.rows for each in planned.late)
        return {"detached_partitions": len(planned.expiries), "late_rows": late}
    done = apply.detach(tools.engine, planned)
    return {"detached_partitions": done.detached, "late_rows": done.late_rows}


def archive(
    tools: Tools,
    planned: Plan,
    *,
    dry_run: bool = False,
    progress: Progress = lambda _rows: None,
) -> Figures:
    """Write each table to a file of the archive; `progress` hears the rows written so far."""
    if dry_run:
        rows = sum(each.rows for each in planned.archives)
        return {"archived_files": len(planned.archives), "exported_rows": rows, "archived_bytes": 0}
    storage = audit_log.storage(tools)
    done = [
        archiving.export(tools.engine, storage, planned.policy, each.table, progress)
        for each in planned.archives
    ]
    return {
        "archived_files": sum(each.file_bytes > 0 for each in done),
        "exported_rows": sum(each.exported_rows for each in done),
        "archived_bytes": sum(each.file_bytes for each in done),
    }


def verify(tools: Tools, planned: Plan, *, dry_run: bool = False) -> Figures:
    """Read each file back and compare it with its table; what differs is exported again."""
    if dry_run:
        return {"verified_rows": 0, "verified_bytes": 0}
    storage = audit_log.storage(tools)
    done = [
        archiving.verify(tools.engine, storage, planned.policy, each.table, now=tools.clock())
        for each in planned.archives
    ]
    return {
        "exported_rows": sum(each.exported_rows for each in done),
        "verified_rows": sum(each.verified_rows for each in done),
        "verified_bytes": sum(each.file_bytes for each in done),
    }


def drop(tools: Tools, planned: Plan, *, dry_run: bool = False) -> Figures:
    """Drop the tables whose rows are safe, whose grace is over, and that no hold concerns."""
    if dry_run:
        rows = sum(each.rows for each in planned.drops)
        return {"dropped_partitions": len(planned.drops), "dropped_rows": rows}
    storage = audit_log.storage(tools) if planned.policy.on_expiry == "archive" else None
    done = apply.drop(tools.engine, planned, storage)
    return {"dropped_partitions": done.dropped, "dropped_rows": done.dropped_rows}


# In their order.
STAGES: dict[str, Callable[..., Figures]] = {
    "expire": expire,
    "archive": archive,
    "verify": verify,
    "drop": drop,
}


def retire(tools: Tools, planned: Plan, progress: Progress) -> Figures:
    """All stages at once; `progress` hears the rows written so far of each table."""
    total: Counter[str] = Counter()
    for name, stage in STAGES.items():
        total.update(stage(tools, planned, **({"progress": progress} if name == "archive" else {})))
    return dict(total)


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


def _named(items: Iterable[T], table: str) -> tuple[T, ...]:
    return tuple(each for each in items if str(each.table) == table)


__all__ = [
    "STAGES",
    "Figures",
    "Progress",
    "archive",
    "drop",
    "expire",
    "leaving",
    "only",
    "retire",
    "verify",
]
