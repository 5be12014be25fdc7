"""Takes a partition off its parent, and notes it as ours in the same transaction."""

from __future__ import annotations

import logging

import sqlalchemy as sa

from crm_ops.audit import layout
from crm_ops.audit.layout import Stored
from crm_ops.audit.locks import Lock, Tries
from crm_ops.audit.plan import Plan
from crm_ops.base import errors, sql, statements

_log = logging.getLogger(__name__)


def detach(tries: Tries, plan: Plan, expired: Stored) -> bool:
    """Detach a partition, mark it and record it; False where it was not attached any more.

    Rows that come late for it go to DEFAULT. Raises AuditError where its bounds have changed.
    """
    locks = [Lock(plan.parent.table, "ACCESS EXCLUSIVE")]
    if plan.default is not None:
        locks.append(Lock(plan.default, "ACCESS EXCLUSIVE"))
    locks.append(Lock(expired.table, "ACCESS EXCLUSIVE"))
    done = tries.run(
        lambda connection: _retirable(connection, plan, expired),
        locks,
        lambda connection: _detach(connection, plan, expired),
    )
    if done:
        _log.info(
            "%s detached from %s",
            expired.table,
            plan.parent.table,
            extra={"action": "audit_detached", "table": str(expired.table)},
        )
    return bool(done)


def finalize(tries: Tries, plan: Plan, pending: Stored) -> bool:
    """Complete a DETACH CONCURRENTLY that was interrupted; False where nothing is pending.

    The table is left to whoever began to detach it: it gets no mark of ours.
    """
    locks = [
        Lock(plan.parent.table, "SHARE UPDATE EXCLUSIVE"),
        Lock(pending.table, "ACCESS EXCLUSIVE"),
    ]
    done = tries.run(
        lambda connection: _interrupted(connection, plan, pending),
        locks,
        lambda connection: _finalize(connection, plan, pending),
    )
    if done:
        _log.warning(
            "%s: an interrupted DETACH CONCURRENTLY was finalized; its rows are in it alone",
            pending.table,
            extra={"action": "audit_finalized", "table": str(pending.table)},
        )
    return bool(done)


def _retirable(connection: sa.Connection, plan: Plan, expired: Stored) -> bool:
    """Whether it is as planned, and not the last: whatever was planned, a newer one must stay."""
    if not _attached(connection, plan, expired):
        return False
    standing = layout.attached(connection, plan.parent).values()
    if all(each.stretch.upper <= expired.stretch.upper for each in standing if not each.pending):
        raise errors.AuditError(
            f"{expired.table} is the newest partition of {plan.parent.table} by now and stays"
        )
    return True


def _interrupted(connection: sa.Connection, plan: Plan, pending: Stored) -> bool:
    """Whether it is half detached and nobody is at work on it: FINALIZE would overtake them."""
    if not _attached(connection, plan, pending):
        return False
    return not sql.run(connection, statements.load("crm_ops.audit")["detaching"]).scalar_one()


def _attached(connection: sa.Connection, plan: Plan, planned: Stored) -> bool:
    """Whether it is still as planned; what somebody has changed meanwhile is not touched."""
    found = layout.attached(connection, plan.parent).get(planned.table)
    if found is None:
        return False
    if (found.pending, found.stretch) != (planned.pending, planned.stretch):
        raise errors.AuditError(
            f"the partitions of {plan.parent.table} have changed since they were planned, and"
            f" {planned.table} is another now; run it again"
        )
    return True


def _detach(connection: sa.Connection, plan: Plan, expired: Stored) -> bool:
    _alter(connection, plan, f"DETACH PARTITION {expired.table.quoted}")
    note(connection, plan, expired)
    return True


def note(connection: sa.Connection, plan: Plan, expired: Stored) -> None:
    """Mark a table that is off the parent as ours and record it, in the caller's transaction."""
    mark = sql.literal(layout.mark(plan.parent.table))
    sql.run(connection, f"COMMENT ON TABLE {expired.table.quoted} IS {mark}")
    sql.run(
        connection,
        statements.load("crm_ops.audit")["record_detached"],
        parent_schema=plan.parent.table.schema,
        parent_name=plan.parent.table.name,
        schema=expired.table.schema,
        name=expired.table.name,
        lower=expired.stretch.lower,
        upper=expired.stretch.upper,
        bytes=expired.bytes,
    )


def _finalize(connection: sa.Connection, plan: Plan, pending: Stored) -> bool:
    _alter(connection, plan, f"DETACH PARTITION {pending.table.quoted} FINALIZE")
    return True


def _alter(connection: sa.Connection, plan: Plan, action: str) -> None:
    sql.run(connection, f"ALTER TABLE {plan.parent.table.quoted} {action}")


__all__ = ["detach", "finalize", "note"]
