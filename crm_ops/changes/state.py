"""Tells whether an entity's change log holds every change since its figures were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from crm_ops.base import sql, statements
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.entities import ColumnTenancy
from crm_ops.changes import ddl, logs
from crm_ops.changes.logs import AT, Log

APPLY = "run `crm-ops catalog apply`"


@dataclass(frozen=True)
class State:
    """An entity's logs, and what is wrong with them.

    `unusable` says why changes are not captured at all; `spoiled` why changes were missed although
    they are captured again: the entity must be set aside and counted anew.
    """

    logs: tuple[Log, ...]
    unusable: str | None
    spoiled: str | None

    @property
    def foldable(self) -> bool:
        """Whether the figures can be brought up to date by the log alone."""
        return self.unusable is None and self.spoiled is None


@dataclass(frozen=True)
class Shape:
    """What must not change unseen, as a checksum, and why capture is `wrong` as it is, or None.

    `hooked` says that triggers of ours are on the table or a partition, `astray` that some are on
    another table, `replicated` that logical replication writes past them.
    """

    checksum: str
    wrong: str | None
    hooked: bool
    astray: bool
    replicated: bool


@dataclass(frozen=True)
class Backlog:
    """Changes that are not yet in the figures: how many log rows, and when the oldest was made."""

    rows: int
    oldest: datetime | None


def read(connection: sa.Connection, catalog: Catalog, name: str) -> State:
    """How the capture of the entity called `name` stands; only reads."""
    if catalog.entities[name].capture == "none":
        return State((), "the catalog says `capture: none`", None)
    tenancy = catalog.tenancy
    wanted = tuple(logs.read(connection, catalog, name))
    if len(wanted) > 1 and isinstance(tenancy, ColumnTenancy) and tenancy.setting is not None:
        # Whom a changed link belongs to is seen by a join, for which each tenant would be asked.
        return State(wanted, "it has link facets, and row-level security shows one tenant", None)
    load = statements.load("crm_ops.changes")
    known = {row.log: row for row in sql.run(connection, load["captures"], entity=name)}
    spoiled: list[str] = []
    for log in wanted:
        applied = known.get(log.relation.name)
        if applied is None:
            return State(wanted, f"changes of {log.source} are not captured; {APPLY}", None)
        if applied.definition != ddl.checksum(log):
            return State(wanted, f"the catalog's changes are not applied; {APPLY}", None)
        found = shape(connection, log)
        if found.wrong is not None:
            return State(wanted, found.wrong, None)
        if found.checksum != applied.shape:
            spoiled.append(f"{log.source} was rewritten, or its triggers were switched off")
    markers = sql.run(connection, load["markers"], entity=name)
    spoiled += [row.reason for row in markers]
    return State(wanted, None, "; ".join(spoiled) or None)


def shape(connection: sa.Connection, log: Log, watched: Sequence[str] | None = None) -> Shape:
    """What a log's source and our triggers look like.

    `watched` are the columns to look at, by default those that the log needs.
    """
    row = sql.run(
        connection,
        statements.load("crm_ops.changes")["shape"],
        source=sql.readable(log.source.quoted),
        log=sql.readable(log.relation.quoted),
        columns=list(log.watched if watched is None else watched),
        events=len(ddl.EVENTS),
    ).one()
    return Shape(row.checksum, _wrong(log, row), row.in_force > 0, row.strays > 0, row.replicated)


def _wrong(log: Log, row: sa.Row[Any]) -> str | None:
    """Why not every change of a log's source is logged, or not only its changes."""
    if row.replicated:
        return (
            f"logical replication writes into {log.source}, which fires no trigger of ours;"
            " declare `capture: none`"
        )
    if dict(row.columns) != ddl.columns(log):
        return f"the log of {log.source} is gone, or not as it was made; {APPLY}"
    if row.strays:
        return f"a table that is no part of {log.source} writes into its log; {APPLY}"
    if row.in_force != row.needed:
        return (
            f"a trigger of ours on {log.source}, or on a partition of it, is missing or switched"
            f" off; {APPLY}"
        )
    return None


def set_aside(connection: sa.Connection, state: State) -> None:
    """Forget what the log holds and how it was spoiled: the entity is counted anew after this.

    `connection` holds the entity's exclusive lock.
    """
    load = statements.load("crm_ops.changes")
    entity = state.logs[0].entity
    sql.run(connection, load["uncapture"], entity=entity)
    sql.run(connection, load["clear_markers"], entity=entity)
    for log in state.logs:
        sql.run(connection, f"DELETE FROM {log.relation.quoted}")
        found = shape(connection, log)
        sql.run(connection, load["reshape"], log=log.relation.name, shape=found.checksum)


def backlog(connection: sa.Connection, state: State) -> Backlog:
    """What is not yet in the figures."""
    parts = [
        sql.run(
            connection,
            f"SELECT count(*) AS n, min({sql.identifier(AT)}) AS at FROM {log.relation.quoted}",
        ).one()
        for log in (state.logs if state.unusable is None else ())
    ]
    moments = [part.at for part in parts if part.at is not None]
    return Backlog(sum(part.n for part in parts), min(moments, default=None))


__all__ = ["Backlog", "Shape", "State", "backlog", "read", "set_aside", "shape"]
