"""A captured table and its partitions: each has triggers of its own, if PostgreSQL lets it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from crm_ops.base import errors, sql, statements
from crm_ops.changes import state
from crm_ops.changes.logs import Log

# An ordinary and a partitioned table; a foreign one tells no trigger which rows changed.
_TABLES = ("r", "p")


def of(connection: sa.Connection, log: Log) -> Sequence[sa.Row[Any]]:
    """The log's source and its partitions: schema, name, kind, allowed, role."""
    return sql.run(
        connection,
        statements.load("crm_ops.changes")["members"],
        source=sql.readable(log.source.quoted),
    ).all()


def refuse(connection: sa.Connection, wanted: Sequence[Log]) -> None:
    """Refuse what PostgreSQL would refuse, or would not tell us of, before anything is written."""
    problems = [
        f"entities.{log.entity}: {problem}"
        for log in wanted
        for problem in _problems(connection, log)
    ]
    if problems:
        raise errors.CatalogError(problems)


def _problems(connection: sa.Connection, log: Log) -> Iterator[str]:
    for member in of(connection, log):
        table = f"{member.schema}.{member.name}"
        if member.kind not in _TABLES:
            yield f"{table} is no table, and has no changes to capture; declare `capture: none`"
        elif not member.allowed:
            yield (
                f"the role {member.role} may not create triggers on {table}; grant it TRIGGER, or"
                " declare `capture: none`"
            )
    found = state.shape(connection, log)
    if found.replicated and found.wrong is not None:
        yield found.wrong


__all__ = ["of", "refuse"]
