"""Drops a table that we detached, after looking again under lock that it is ours and alone."""

from __future__ import annotations

import logging

import sqlalchemy as sa

from crm_ops.audit import layout
from crm_ops.audit.layout import Stored
from crm_ops.audit.locks import Lock, Tries
from crm_ops.audit.plan import Plan
from crm_ops.base import sql, statements

_log = logging.getLogger(__name__)


def drop(tries: Tries, plan: Plan, expired: Stored) -> int | None:
    """Drop a detached table and record its number of rows; None where it is not ours any more."""
    locks = [Lock(expired.table, "ACCESS EXCLUSIVE")]
    rows = tries.run(
        lambda connection: _ours(connection, plan, expired),
        locks,
        lambda connection: _drop(connection, plan, expired),
    )
    if rows is not None:
        _log.info(
            "%s dropped with %s rows",
            expired.table,
            rows,
            extra={"action": "audit_dropped", "table": str(expired.table), "rows": rows},
        )
    return rows


def _ours(connection: sa.Connection, plan: Plan, expired: Stored) -> bool:
    """Whether it is still the table that we detached, attached to nothing."""
    return any(
        (found.table, found.stretch) == (expired.table, expired.stretch)
        for found in layout.detached(connection, plan.parent.table)
    )


def _drop(connection: sa.Connection, plan: Plan, expired: Stored) -> int | None:
    if not _ours(connection, plan, expired):
        return None
    rows = int(sql.run(connection, f"SELECT count(*) FROM {expired.table.quoted}").scalar_one())
    sql.run(connection, f"DROP TABLE {expired.table.quoted}")
    sql.run(
        connection,
        statements.load("crm_ops.audit")["record_dropped"],
        parent_schema=plan.parent.table.schema,
        parent_name=plan.parent.table.name,
        schema=expired.table.schema,
        name=expired.table.name,
        rows=rows,
    )
    return rows


__all__ = ["drop"]
