"""Drops a table that we detached, after looking again under lock that nothing speaks against it.

It must be ours and alone, its grace over, no hold may concern a row of it, and where the catalog
says archive its rows must be exactly those that were verified there, in a file that still is.
"""

from __future__ import annotations

import logging

import sqlalchemy as sa

from crm_ops.audit import columns, fingerprint, holds, layout, manifest, record
from crm_ops.audit.layout import Stored
from crm_ops.audit.locks import Lock, Tries
from crm_ops.audit.plan import Late, Plan
from crm_ops.audit.record import Record
from crm_ops.audit.storage import Storage
from crm_ops.base import database, errors, sql, statements
from crm_ops.base.sql import Relation

_log = logging.getLogger(__name__)


class _Changed(errors.AuditError):
    """Rows were written into a detached table after it was archived."""

    def __init__(self, table: Relation, archived: Record) -> None:
        super().__init__(
            f"{table} has changed since it was archived: it stays, and is archived again by the"
            " next run"
        )
        self.archived = archived


def drop(
    engine: sa.Engine, tries: Tries, plan: Plan, storage: Storage | None, leaving: Stored | Late
) -> int | None:
    """Drop a detached table and record its number of rows.

    None where it is not ours any more, or a hold concerns it. What is not in the archive as it was
    verified is sent back to be exported, and AuditError says so.
    """
    archived = None
    if plan.policy.on_expiry == "archive":
        archived = _in_archive(engine, plan, storage, leaving)
        if archived is None:
            return None
    locks = [Lock(leaving.table, "ACCESS EXCLUSIVE")]
    try:
        rows = tries.run(
            lambda connection: _ours(connection, plan, leaving),
            locks,
            lambda connection: _drop(connection, plan, leaving, archived),
        )
    except _Changed as changed:
        _back(engine, changed.archived)
        raise
    if rows is not None:
        _log.info(
            "%s dropped with %s rows",
            leaving.table,
            rows,
            extra={"action": "audit_dropped", "table": str(leaving.table), "rows": rows},
        )
    return rows


def _in_archive(
    engine: sa.Engine, plan: Plan, storage: Storage | None, leaving: Stored | Late
) -> Record | None:
    """Its record, where it is verified and its file is what it was; None if it is not verified."""
    with database.transaction(engine) as connection:
        found = record.read(connection, plan.parent.table, leaving.table)
    if found is None or found.state != "verified" or found.file is None:
        return None
    if storage is None:
        raise errors.SettingsError("no archive is open, and without one nothing can be dropped")
    manifest.publish(engine, plan.parent.table, storage)
    if storage.sha256(found.file) == found.sha256:
        return found
    _back(engine, found)
    raise errors.AuditError(
        f"{found.file} in the archive {storage.url} is not what was written there: {leaving.table}"
        " stays, and is archived again by the next run"
    )


def _back(engine: sa.Engine, found: Record) -> None:
    with database.transaction(engine) as connection:
        record.again(connection, found.id)


def _ours(connection: sa.Connection, plan: Plan, leaving: Stored | Late) -> bool:
    """Whether it is still the table that we detached, attached to nothing."""
    return any(
        (found.table, found.stretch) == (leaving.table, leaving.stretch)
        for found in layout.detached(connection, plan.parent.table)
    )


def _drop(
    connection: sa.Connection, plan: Plan, leaving: Stored | Late, archived: Record | None
) -> int | None:
    if not _ours(connection, plan, leaving):
        return None
    # Also its own partitions, where it has some: nobody writes between the checksum and the drop.
    sql.run(connection, f"LOCK TABLE {leaving.table.quoted} IN ACCESS EXCLUSIVE MODE")
    shape = columns.read(connection, leaving.table, plan.policy.time)
    if archived is not None:
        now = record.read(connection, plan.parent.table, leaving.table)
        if now != archived:
            return None
        found = fingerprint.of_table(connection, leaving.table, shape, plan.policy.time)
        if (found.rows, found.checksum) != (archived.rows, archived.checksum):
            raise _Changed(leaving.table, archived)
        rows = found.rows
    else:
        rows = int(sql.run(connection, f"SELECT count(*) FROM {leaving.table.quoted}").scalar_one())
    holds.lock(connection)
    if held := holds.on(connection, plan.policy, leaving.table):
        _log.warning(
            "%s is not dropped: legal hold %s",
            leaving.table,
            ", ".join(str(each) for each in held),
            extra={"action": "audit_held", "table": str(leaving.table)},
        )
        return None
    _drop_unless_held(connection, plan, leaving)
    sql.run(
        connection,
        statements.load("crm_ops.audit")["record_dropped"],
        parent_schema=plan.parent.table.schema,
        parent_name=plan.parent.table.name,
        schema=leaving.table.schema,
        name=leaving.table.name,
        rows=rows,
    )
    return rows


def _drop_unless_held(connection: sa.Connection, plan: Plan, leaving: Stored | Late) -> None:
    """The statement that drops asks for holds itself: no way leads to a drop past them."""
    held = sql.readable(holds.held_by(plan.policy, leaving.table))
    body = (
        f"BEGIN IF EXISTS (SELECT {held}) THEN"
        " RAISE EXCEPTION 'a legal hold concerns it'; END IF;"
        f" DROP TABLE {sql.readable(leaving.table.quoted)}; END"
    )
    sql.run(connection, f"DO {sql.literal(body)}")


__all__ = ["drop"]
