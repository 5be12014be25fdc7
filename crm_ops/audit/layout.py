"""The audit log as it is: what it is partitioned by, its partitions, what waits in DEFAULT.

Bounds come from the system catalog; names decide nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import sqlalchemy as sa

from crm_ops.audit import blockers, naming
from crm_ops.audit.record import State
from crm_ops.audit.stretch import Stretch
from crm_ops.base import database, errors, sql, statements
from crm_ops.base.sql import Relation
from crm_ops.catalog.audit import Audit

_TYPES = ("timestamp with time zone", "timestamp without time zone", "date")


@dataclass(frozen=True)
class Parent:
    """The partitioned table itself; `type` is its time column's."""

    table: Relation
    owner: str
    column: str
    type: str
    row_security: bool
    tablespace: str | None = None


@dataclass(frozen=True)
class Stored:
    """A table that holds rows of one stretch: a partition, or one that we detached.

    `rows` is PostgreSQL's estimate, `bytes` include indexes. A `pending` partition is half detached
    by an interrupted DETACH CONCURRENTLY. `state` and `since` are of what we detached, or restored
    from its archive.
    """

    table: Relation
    stretch: Stretch
    rows: int
    bytes: int
    foreign: bool = False
    pending: bool = False
    state: State | None = None
    since: datetime | None = None


@dataclass(frozen=True)
class Default:
    """The DEFAULT partition: its rows, and how many of them are of each UTC day.

    Rows without a time, or of no day between the years 1 and 9999, are in `rows` alone.
    """

    table: Relation
    bytes: int
    rows: int
    days: tuple[tuple[date, int], ...]


@dataclass(frozen=True)
class Layout:
    """What there is, as of `read_at` on PostgreSQL's clock.

    `names` are the names beginning as ours do that a new partition cannot have.
    """

    parent: Parent
    partitions: tuple[Stored, ...]
    default: Default | None
    detached: tuple[Stored, ...]
    names: frozenset[str]
    read_at: datetime


def read(connection: sa.Connection, policy: Audit) -> Layout:
    """Read the layout of the policy's table; raise AuditError where it cannot be maintained.

    Counts the rows of DEFAULT, which takes a scan of it.
    """
    table = Relation.parse(policy.table)
    parent, read_at = _parent(connection, table, policy.time)
    found = _partitions(connection, parent)
    default = next((row for row in found if row["is_default"]), None)
    return Layout(
        parent=parent,
        partitions=tuple(_stored(row) for row in found if not row["is_default"]),
        default=None if default is None else _default(connection, parent, default),
        detached=detached(connection, table),
        names=frozenset(
            row["relname"]
            for row in _rows(connection, "names", table, prefix=naming.prefix(table.name))
        ),
        read_at=read_at,
    )


def look(engine: sa.Engine, policy: Audit) -> Layout:
    """Read the layout; where a lock is in the way, the DatabaseBusy says whose."""
    try:
        with database.transaction(engine) as connection:
            return read(connection, policy)
    except errors.DatabaseBusy as busy:
        table = Relation.parse(policy.table)
        with database.transaction(engine) as connection:
            held = blockers.read(connection, [(table, "ACCESS SHARE")])
        raise errors.DatabaseBusy(
            f"the audit log {table} could not be looked at: {blockers.told(held)}"
        ) from busy


def parent_of(connection: sa.Connection, policy: Audit) -> Parent:
    """The partitioned table alone; raise AuditError as `read` does."""
    return _parent(connection, Relation.parse(policy.table), policy.time)[0]


def attached(connection: sa.Connection, parent: Parent) -> dict[Relation, Stored]:
    """The partitions by table, without DEFAULT: what a step looks at again before it acts."""
    rows = _partitions(connection, parent)
    stored = [_stored(row) for row in rows if not row["is_default"]]
    return {each.table: each for each in stored}


def detached(connection: sa.Connection, parent: Relation) -> tuple[Stored, ...]:
    """The tables that we detached from `parent` and that are there, attached to nothing.

    Their `state` says how far each has come.
    """
    rows = _rows(connection, "detached", parent, mark=mark(parent))
    return tuple(_stored(row) for row in rows)


def mark(parent: Relation) -> str:
    """The comment that a table carries which we detached from `parent`: it makes the table ours."""
    return f"detached from {parent} by crm-ops"


def _parent(connection: sa.Connection, table: Relation, column: str) -> tuple[Parent, datetime]:
    row = next(iter(_rows(connection, "parent", table)), None)
    if row is None:
        raise errors.AuditError(
            f"the audit log {table} does not exist; correct audit.table in the catalog"
        )
    if row["relkind"] != "p" or row["strategy"] != "r":
        raise errors.AuditError(
            f"the audit log {table} is not partitioned by range; partition it by range of"
            f" {column}, or leave audit out of the catalog"
        )
    if row["key_columns"] != 1 or row["key_column"] != column:
        raise errors.AuditError(
            f"the audit log {table} is not partitioned by the column {column} alone; correct"
            " audit.time in the catalog"
        )
    if row["key_type"] not in _TYPES:
        raise errors.AuditError(
            f"the audit log {table} is partitioned by {column}, which is of the type"
            f" {row['key_type']}; months need one of {', '.join(_TYPES)}"
        )
    return (
        Parent(
            table, row["owner"], column, row["key_type"], row["row_security"], row["tablespace"]
        ),
        row["read_at"],
    )


def _partitions(connection: sa.Connection, parent: Parent) -> list[dict[str, Any]]:
    return _rows(connection, "partitions", parent.table, type=parent.type)


def _stored(row: dict[str, Any]) -> Stored:
    return Stored(
        table=Relation(row["schema"], row["name"]),
        stretch=Stretch(row["lower"], row["upper"]),
        rows=row["rows"],
        bytes=row["bytes"],
        foreign=row.get("relkind") == "f",
        pending=row.get("pending", False),
        state=row["state"],
        since=row["since"],
    )


def _default(connection: sa.Connection, parent: Parent, row: dict[str, Any]) -> Default:
    table = Relation(row["schema"], row["name"])
    column = sql.identifier(parent.column)
    aware = parent.type == _TYPES[0]
    utc = f"{column} AT TIME ZONE 'UTC'" if aware else f"{column}::timestamp"
    sql.run(connection, statements.load("crm_ops.audit")["show_every_row"])
    counted = sql.run(
        connection,
        "SELECT CASE WHEN moment >= '0001-01-01' AND moment < '9999-12-31' THEN moment::date END"
        f" AS day, count(*) AS held FROM (SELECT {utc} AS moment FROM {table.quoted}) AS row"
        " GROUP BY 1 ORDER BY 1",
    )
    days: list[tuple[date | None, int]] = [(each.day, each.held) for each in counted]
    return Default(
        table=table,
        bytes=row["bytes"],
        rows=sum(held for _, held in days),
        days=tuple((day, held) for day, held in days if day is not None),
    )


def _rows(
    connection: sa.Connection, statement: str, table: Relation, **more: str
) -> list[dict[str, Any]]:
    found = sql.run(
        connection,
        statements.load("crm_ops.audit")[statement],
        schema=table.schema,
        name=table.name,
        **more,
    )
    return [dict(row) for row in found.mappings()]


__all__ = [
    "Default",
    "Layout",
    "Parent",
    "Stored",
    "attached",
    "detached",
    "look",
    "mark",
    "parent_of",
    "read",
]
