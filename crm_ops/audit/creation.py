"""Creates one planned partition and moves the rows that wait for it: in one transaction, or not.

The parent is locked against writers first, though readers go on: an insert already on its way to
DEFAULT would fail once its month is attached.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa

from crm_ops.audit import layout, moving
from crm_ops.audit.layout import Parent
from crm_ops.audit.locks import Lock, Tries
from crm_ops.audit.plan import Creation, Plan
from crm_ops.base import database, errors, sql, statements
from crm_ops.base.sql import Relation

_log = logging.getLogger(__name__)

# Writers wait meanwhile. ATTACH looks at every row of DEFAULT, some 10 million in this time. A
# CHECK there would spare it that, but break the write of a row for that month until it is attached.
_LONGEST_STATEMENT_MS = 2_000

# What ATTACH asks of a partition. It adds indexes, keys and row triggers by itself; an identity
# stays the parent's. No CHECK to spare it the scan: it looks at no more than the rows just moved.
_LIKE = " ".join(
    f"INCLUDING {what}"
    for what in ("DEFAULTS", "CONSTRAINTS", "GENERATED", "STORAGE", "COMPRESSION")
)


def create(engine: sa.Engine, tries: Tries, plan: Plan, creation: Creation) -> int | None:
    """Create and attach a partition; return the rows moved, or None where it was there already.

    Raises AuditError where more rows wait than may be moved at once, or the layout has changed.
    """
    locks = [Lock(plan.parent.table, "SHARE ROW EXCLUSIVE")]
    if plan.default is not None:
        _refuse_too_many(engine, plan, plan.default, creation)
        locks.append(Lock(plan.default, "ACCESS EXCLUSIVE"))
    try:
        moved = tries.run(
            lambda connection: _needed(connection, plan, creation),
            locks,
            lambda connection: _create(connection, plan, creation),
        )
    except errors.DatabaseBusy as busy:
        if not database.was_stopped(busy):
            raise
        raise errors.DatabaseBusy(
            f"{creation.table} could not be created within {_LONGEST_STATEMENT_MS} ms, and writers"
            f" would wait longer: PostgreSQL reads all of {plan.default or 'the log'} meanwhile;"
            " bring the rows there that no month takes elsewhere, and run it again"
        ) from busy
    if moved is not None:
        _log.info(
            "%s created, %s rows moved into it",
            creation.table,
            moved,
            extra={"action": "audit_created", "table": str(creation.table), "rows": moved},
        )
    return moved


def make(
    connection: sa.Connection, parent: Parent, table: Relation, *, indexes: bool = False
) -> None:
    """A table as the parent's, its owner's, and closed: rights are asked of the parent alone.

    With `indexes` it has them before it has rows, so that ATTACH need not build them.
    """
    like = f"{_LIKE} INCLUDING INDEXES" if indexes else _LIKE
    space = f" TABLESPACE {sql.identifier(parent.tablespace)}" if parent.tablespace else ""
    sql.run(connection, f"CREATE TABLE {table.quoted} (LIKE {parent.table.quoted} {like}){space}")
    sql.run(connection, f"ALTER TABLE {table.quoted} OWNER TO {sql.identifier(parent.owner)}")
    if parent.row_security:
        # Without a policy nobody but the owner reads it by its own name; the parent's policies hold
        # for what is read through the parent.
        sql.run(connection, f"ALTER TABLE {table.quoted} ENABLE ROW LEVEL SECURITY")


def _refuse_too_many(engine: sa.Engine, plan: Plan, default: Relation, creation: Creation) -> None:
    """Count before locking: with more rows than planned writers would wait too long."""
    with database.transaction(engine) as connection:
        sql.run(connection, _sql("show_every_row"))
        rows = moving.waiting(connection, plan.parent, default, creation.stretch)
    if rows > plan.most_moved:
        lower, upper = creation.stretch.lower, creation.stretch.upper
        raise errors.AuditError(
            f"{rows} rows of {lower:%Y-%m-%d %H:%M} to {upper:%Y-%m-%d %H:%M} UTC wait in {default}"
            f" and writers would wait while they move: at most {plan.most_moved} are moved at once."
            " The next run moves several days in parts; partition a day that holds more by hand, by"
            " hours"
        )


def _needed(connection: sa.Connection, plan: Plan, creation: Creation) -> bool:
    existing = layout.attached(connection, plan.parent).values()
    missing = creation.stretch.without(each.stretch for each in existing)
    if missing and missing != (creation.stretch,):
        raise errors.AuditError(
            f"the partitions of {plan.parent.table} have changed since they were planned, and"
            f" {creation.table} is missing in part only; run it again"
        )
    return bool(missing)


def _create(connection: sa.Connection, plan: Plan, creation: Creation) -> int:
    sql.run(connection, _sql("statement_timeout"), statement_timeout_ms=_LONGEST_STATEMENT_MS)
    make(connection, plan.parent, creation.table)
    moved = 0
    if plan.default is not None:
        moved = moving.move(connection, plan.parent, plan.default, creation.table, creation.stretch)
    lower, upper = moving.bound(plan.parent, creation.stretch)
    sql.run(
        connection,
        f"ALTER TABLE {plan.parent.table.quoted} ATTACH PARTITION {creation.table.quoted}"
        f" FOR VALUES FROM ({lower}) TO ({upper})",
    )
    return moved


def _sql(name: str) -> str:
    return statements.load("crm_ops.audit")[name]


__all__ = ["create", "make"]
