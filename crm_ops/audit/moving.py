"""Moves rows out of DEFAULT into a partition that is not attached yet, in the caller's transaction.

The caller holds both tables locked and attaches before it commits: no reader misses a row.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC
from typing import Any

import sqlalchemy as sa

from crm_ops.audit.layout import Parent
from crm_ops.audit.stretch import Stretch
from crm_ops.base import errors, sql, statements
from crm_ops.base.sql import Relation

_SWITCH_ON = {"O": "ENABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}


def waiting(connection: sa.Connection, parent: Parent, default: Relation, part: Stretch) -> int:
    """How many rows of `part` are in DEFAULT."""
    return int(
        sql.run(
            connection, f"SELECT count(*) FROM {default.quoted} WHERE {_within(parent, part)}"
        ).scalar_one()
    )


def move(
    connection: sa.Connection, parent: Parent, default: Relation, target: Relation, part: Stretch
) -> int:
    """Move the rows of `part` from DEFAULT to `target`; return how many."""
    if not waiting(connection, parent, default, part):
        return 0
    _refuse_referenced(connection, parent, default)
    columns = ", ".join(
        sql.identifier(name) for name in _rows(connection, "columns", parent.table).scalars()
    )
    with _triggers_off(connection, default):
        return sql.run(
            connection,
            f"WITH moved AS (DELETE FROM {default.quoted} WHERE {_within(parent, part)}"
            f" RETURNING {columns})"
            f" INSERT INTO {target.quoted} ({columns}) OVERRIDING SYSTEM VALUE"
            f" SELECT {columns} FROM moved",
        ).rowcount


def bound(parent: Parent, part: Stretch) -> tuple[str, str]:
    """The ends of `part` as SQL literals of the time column's type, in UTC."""
    lower, upper = part.lower.astimezone(UTC), part.upper.astimezone(UTC)
    if parent.type == "date":
        return sql.literal(lower.date().isoformat()), sql.literal(upper.date().isoformat())
    if parent.type == "timestamp without time zone":
        lower, upper = lower.replace(tzinfo=None), upper.replace(tzinfo=None)
    return sql.literal(lower.isoformat(" ")), sql.literal(upper.isoformat(" "))


def _within(parent: Parent, part: Stretch) -> str:
    column = sql.identifier(parent.column)
    lower, upper = bound(parent, part)
    return f"{column} >= {lower} AND {column} < {upper}"


def _refuse_referenced(connection: sa.Connection, parent: Parent, default: Relation) -> None:
    """A foreign key would take the move for a delete: refuse it, or delete along with it."""
    others = _rows(connection, "referencing", parent.table).scalars().all()
    if others:
        raise errors.AuditError(
            f"rows wait in {default}, and foreign keys of {', '.join(others)} lead to"
            f" {parent.table}; move the rows by hand, or drop those keys"
        )


@contextmanager
def _triggers_off(connection: sa.Connection, default: Relation) -> Iterator[None]:
    """To the table's own triggers a moved row is not deleted: many audit logs refuse deletes.

    The transaction holds the table in ACCESS EXCLUSIVE mode: nobody else is without them.
    """
    triggers = _rows(connection, "triggers", default).all()
    for trigger in triggers:
        sql.run(connection, _alter(default, "DISABLE", trigger.name))
    yield
    for trigger in triggers:
        sql.run(connection, _alter(default, _SWITCH_ON[trigger.enabled], trigger.name))


def _alter(table: Relation, switch: str, trigger: str) -> str:
    return f"ALTER TABLE ONLY {table.quoted} {switch} TRIGGER {sql.identifier(trigger)}"


def _rows(connection: sa.Connection, statement: str, table: Relation) -> sa.CursorResult[Any]:
    return sql.run(
        connection,
        statements.load("crm_ops.audit")[statement],
        schema=table.schema,
        name=table.name,
    )


__all__ = ["bound", "move", "waiting"]
