"""Puts rows that came late for an expired month aside: out of DEFAULT, into a table of their own.

The table is as if it had been detached: its rows are archived as a further part of their month.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa

from crm_ops.audit import creation, detachment, layout, moving
from crm_ops.audit.layout import Stored
from crm_ops.audit.locks import Lock, Tries
from crm_ops.audit.plan import Late, Plan
from crm_ops.base.sql import Relation

_log = logging.getLogger(__name__)


def collect(tries: Tries, plan: Plan, late: Late) -> int | None:
    """Move the late rows into their table, mark and record it; None where none wait any more."""
    if plan.default is None:
        return None
    default = plan.default
    moved = tries.run(
        lambda connection: _needed(connection, plan, default, late),
        [Lock(default, "ACCESS EXCLUSIVE")],
        lambda connection: _collect(connection, plan, default, late),
    )
    if moved is not None:
        _log.info(
            "%s: %s late rows put aside",
            late.table,
            moved,
            extra={"action": "audit_late", "table": str(late.table), "rows": moved},
        )
    return moved


def _needed(connection: sa.Connection, plan: Plan, default: Relation, late: Late) -> bool:
    """Whether rows wait, and a run before this one has not taken the name already."""
    known = {each.table for each in layout.detached(connection, plan.parent.table)}
    return late.table not in known and bool(
        moving.waiting(connection, plan.parent, default, late.stretch)
    )


def _collect(connection: sa.Connection, plan: Plan, default: Relation, late: Late) -> int:
    creation.make(connection, plan.parent, late.table)
    moved = moving.move(connection, plan.parent, default, late.table, late.stretch)
    detachment.note(connection, plan, Stored(late.table, late.stretch, moved, 0))
    return moved


__all__ = ["collect"]
