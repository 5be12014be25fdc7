"""Makes an unpartitioned audit table a partitioned one while writers go on.

A partitioned table is made beside it; triggers repeat every write there; what is older is copied in
batches; both are compared row for row in one snapshot; then they change names under one short lock.
Until then everything can be undone; the old table stays, under another name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from crm_ops.audit import columns, fingerprint, mirror, months, moving, rights
from crm_ops.audit.layout import Parent
from crm_ops.audit.locks import Lock, Patience, Tries
from crm_ops.audit.months import Month
from crm_ops.base import database, errors, sql, statements
from crm_ops.base.sql import Relation
from crm_ops.catalog.audit import Audit

_log = logging.getLogger(__name__)

# A batch holds its rows for some tens of milliseconds.
_BATCH_ROWS = 5_000


@dataclass(frozen=True)
class Adoption:
    """What is adopted: the months that get a partition, the estimated rows, what is in the way.

    Where something is, no month is known. `copied` rows were copied by runs before, None where none
    has begun.
    """

    table: Relation
    beside: Relation
    before: Relation
    months: tuple[Month, ...]
    rows: int
    hindrances: tuple[str, ...]
    copied: int | None


@dataclass(frozen=True)
class Adopted:
    """The rows that both tables held when they were compared, and the old table's new name."""

    rows: int
    before: Relation


def plan(connection: sa.Connection, table: Relation, policy: Audit, now: datetime) -> Adoption:
    """Look at a table, all of it, and say what adopting it takes; nothing is written."""
    found = _rows(connection, "adoption_hindrances", table, time=policy.time, key=policy.key)
    hindrances = tuple(found.scalars())
    if not sql.run(
        connection, "SELECT to_regclass(%(name)s)", name=sql.readable(table.quoted)
    ).scalar_one():
        raise errors.ParameterError(f"there is no table {table}")
    partitions: set[Month] = set()
    if not hindrances:
        partitions = _months(connection, table, policy)
        partitions.update(months.upcoming(now, policy.months_ahead))
    begun = _rows(connection, "adoption", table).first()
    estimate = sql.run(
        connection,
        "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = to_regclass(%(name)s)",
        name=sql.readable(table.quoted),
    ).scalar_one()
    return Adoption(
        table,
        _named(table, "adopting"),
        _named(table, "before"),
        tuple(sorted(partitions)),
        int(estimate),
        hindrances,
        begun.copied if begun else None,
    )


def adopt(
    engine: sa.Engine,
    adoption: Adoption,
    policy: Audit,
    patience: Patience | None = None,
    progress: Callable[[int], None] = lambda _rows: None,
) -> Adopted:
    """Do it all, from where a run before was stopped; `progress` hears the rows copied so far.

    Raises AuditError where something is in the way, or the two tables differ at the end.
    """
    if adoption.hindrances:
        raise errors.AuditError(
            f"{adoption.table} cannot be adopted: {'; '.join(adoption.hindrances)}"
        )
    with database.transaction(engine) as connection:
        rights.require(connection, adoption.table)
    tries = Tries(engine, adoption.table, patience or Patience())
    tries.run(
        lambda connection: _rows(connection, "adoption", adoption.table).first() is None,
        [Lock(adoption.table, "SHARE ROW EXCLUSIVE")],
        lambda connection: _begin(connection, adoption, policy),
    )
    with database.transaction(engine) as connection:
        rows = _rows(connection, "adoption", adoption.table).one().copied
    while copied := _copy_some(engine, adoption, policy):
        rows += copied
        progress(rows)
    failures, proven = _prove(engine, adoption, policy)
    tries.run(
        lambda _connection: True,
        [Lock(adoption.table, "ACCESS EXCLUSIVE"), Lock(adoption.beside, "ACCESS EXCLUSIVE")],
        lambda connection: _swap(connection, adoption, failures),
    )
    _log.info(
        "%s is partitioned by month; the old table is %s",
        adoption.table,
        adoption.before,
        extra={"action": "audit_adopted", "table": str(adoption.table), "rows": proven},
    )
    return Adopted(proven, adoption.before)


def undo(engine: sa.Engine, adoption: Adoption, patience: Patience | None = None) -> bool:
    """Give up an adoption that is not finished; False where none has begun."""
    done = Tries(engine, adoption.table, patience or Patience()).run(
        lambda connection: _rows(connection, "adoption", adoption.table).first() is not None,
        [Lock(adoption.table, "ACCESS EXCLUSIVE")],
        lambda connection: _undo(connection, adoption),
    )
    return bool(done)


def _undo(connection: sa.Connection, adoption: Adoption) -> bool:
    mirror.remove(connection, adoption.table, adoption.beside)
    sql.run(connection, f"DROP TABLE {adoption.beside.quoted}")
    _rows(connection, "adoption_end", adoption.table)
    return True


def _begin(connection: sa.Connection, adoption: Adoption, policy: Audit) -> bool:
    """The table beside, empty, with all that the old one has but its triggers; and the mirror."""
    source, target = adoption.table, adoption.beside
    time, key = sql.identifier(policy.time), sql.identifier(policy.key)
    likes = ("DEFAULTS", "CONSTRAINTS", "GENERATED", "IDENTITY", "STORAGE", "COMPRESSION")
    included = " ".join(f"INCLUDING {each}" for each in (*likes, "COMMENTS", "STATISTICS"))
    sql.run(
        connection,
        f"CREATE TABLE {target.quoted} (LIKE {source.quoted} {included},"
        f" PRIMARY KEY ({key}, {time})) PARTITION BY RANGE ({time})",
    )
    for kind, name, definition, holder in _carried(connection, source):
        if kind == "index":
            at = definition.index(f" ON {holder} ")
            rest = definition[at + len(f" ON {holder} ") :]
            unique = "UNIQUE " if definition.startswith("CREATE UNIQUE") else ""
            sql.run(connection, f"CREATE {unique}INDEX ON {target.quoted} {_escaped(rest)}")
        elif kind == "key":
            constraint = sql.identifier(name)
            sql.run(
                connection,
                f"ALTER TABLE {target.quoted} ADD CONSTRAINT {constraint} {_escaped(definition)}",
            )
        elif kind == "grant":
            sql.run(connection, _grant(target, _escaped(name), definition))
    _partitions(connection, adoption, policy)
    owner = sql.run(
        connection,
        "SELECT pg_get_userbyid(relowner) FROM pg_class WHERE oid = to_regclass(%(name)s)",
        name=sql.readable(source.quoted),
    ).scalar_one()
    sql.run(connection, f"ALTER TABLE {target.quoted} OWNER TO {sql.identifier(owner)}")
    shape = columns.read(connection, source, policy.time)
    names = [each.name for each in shape if not each.generated]
    mirror.install(connection, source, target, names, policy.key)
    _rows(connection, "adoption_begin", source)
    return True


def _partitions(connection: sa.Connection, adoption: Adoption, policy: Audit) -> None:
    kind = sql.run(
        connection,
        "SELECT format_type(atttypid, NULL) FROM pg_attribute"
        " WHERE attrelid = to_regclass(%(name)s) AND attname = %(time)s",
        name=sql.readable(adoption.table.quoted),
        time=policy.time,
    ).scalar_one()
    parent = Parent(adoption.beside, "", policy.time, kind, row_security=False)
    schema, name = adoption.table.schema, adoption.table.name[:40]
    for month in adoption.months:
        lower, upper = moving.bound(parent, month.stretch)
        child = Relation(schema, f"{name}_p{month.year:04}{month.month:02}")
        sql.run(
            connection,
            f"CREATE TABLE {child.quoted} PARTITION OF {adoption.beside.quoted}"
            f" FOR VALUES FROM ({lower}) TO ({upper})",
        )
    default = Relation(schema, f"{name}_default")
    sql.run(
        connection, f"CREATE TABLE {default.quoted} PARTITION OF {adoption.beside.quoted} DEFAULT"
    )


def _copy_some(engine: sa.Engine, adoption: Adoption, policy: Audit) -> int:
    """Copy the next rows by key; return how many. What the mirror has brought is left as it is.

    The rows are locked for the moment: a delete waits, and its own mirror then finds the copy.
    """
    key = sql.identifier(policy.key)
    with database.transaction(engine) as connection:
        shape = columns.read(connection, adoption.table, policy.time)
        type_ = next(each.type for each in shape if each.name == policy.key)
        names = ", ".join(sql.identifier(each.name) for each in shape if not each.generated)
        begun = _rows(connection, "adoption", adoption.table).one()
        beyond = f"WHERE {key} > %(position)s::{_escaped(type_)}" if begun.position else ""
        last = sql.run(
            connection,
            f"WITH batch AS MATERIALIZED (SELECT {names} FROM {adoption.table.quoted} {beyond}"
            f" ORDER BY {key} LIMIT {_BATCH_ROWS} FOR SHARE), copied AS ("
            f"INSERT INTO {adoption.beside.quoted} ({names}) OVERRIDING SYSTEM VALUE"
            f" SELECT {names} FROM batch ON CONFLICT DO NOTHING)"
            " SELECT count(*) AS held,"
            f" (SELECT {key}::text FROM batch ORDER BY batch.{key} DESC LIMIT 1) AS position"
            " FROM batch",
            position=begun.position,
        ).one()
        if last.held:
            _rows(
                connection,
                "adoption_advance",
                adoption.table,
                position=last.position,
                copied=last.held,
            )
    return int(last.held)


def _prove(engine: sa.Engine, adoption: Adoption, policy: Audit) -> tuple[int, int]:
    """Compare both tables in one snapshot; return the mirror's failures so far, and the rows."""
    with database.transaction(engine, isolation="REPEATABLE READ") as connection:
        failures = int(_rows(connection, "mirror_failures", adoption.table).scalar_one())
        shape = columns.read(connection, adoption.table, policy.time)
        old = fingerprint.of_table(connection, adoption.table, shape, policy.time)
        new = fingerprint.of_table(connection, adoption.beside, shape, policy.time)
    if old != new:
        raise errors.AuditError(
            f"{adoption.beside} holds {new.rows} rows and {adoption.table} {old.rows}, or others;"
            " nothing was changed: undo it with --undo, and begin again"
        )
    return failures, old.rows


def _swap(connection: sa.Connection, adoption: Adoption, failures: int) -> bool:
    """Change the names, and hand over sequences and triggers; the locks keep everybody out."""
    source, target, before = adoption.table, adoption.beside, adoption.before
    now = int(_rows(connection, "mirror_failures", source).scalar_one())
    if now != failures:
        raise errors.AuditError(
            f"{now - failures} writes could not be mirrored to {target}; nothing was changed:"
            " undo it with --undo, and begin again"
        )
    carried = _carried(connection, source)
    mirror.remove(connection, source, target)
    sql.run(connection, f"ALTER TABLE {source.quoted} RENAME TO {sql.identifier(before.name)}")
    sql.run(connection, f"ALTER TABLE {target.quoted} RENAME TO {sql.identifier(source.name)}")
    for kind, name, definition, holder in carried:
        if kind == "trigger":
            sql.run(connection, _escaped(definition))
            if holder == "D":
                trigger = sql.identifier(name)
                sql.run(connection, f"ALTER TABLE {source.quoted} DISABLE TRIGGER {trigger}")
        elif kind == "sequence" and holder:
            sql.run(
                connection,
                "SELECT setval(pg_get_serial_sequence(%(table)s, %(column)s), last_value,"
                f" is_called) FROM {_escaped(definition)}",
                table=sql.readable(source.quoted),
                column=name,
            )
        elif kind == "sequence":
            column = f"{source.quoted}.{sql.identifier(name)}"
            sql.run(connection, f"ALTER SEQUENCE {_escaped(definition)} OWNED BY {column}")
    _rows(connection, "adoption_end", source)
    return True


def _grant(target: Relation, grantee: str, privilege: str) -> str:
    what, _, option = privilege.partition(" WITH ")
    return f"GRANT {what} ON {target.quoted} TO {grantee}{' WITH ' + option if option else ''}"


def _months(connection: sa.Connection, table: Relation, policy: Audit) -> set[Month]:
    time = f"{sql.identifier(policy.time)}::timestamptz AT TIME ZONE 'UTC'"
    found = sql.run(
        connection,
        f"SELECT DISTINCT extract(year FROM moment)::int AS year, extract(month FROM moment)::int"
        f" AS month FROM (SELECT {time} AS moment FROM {table.quoted}) AS row"
        " WHERE moment >= '0001-01-01' AND moment < '9999-12-01'",
    )
    return {Month(row.year, row.month) for row in found}


def _carried(connection: sa.Connection, table: Relation) -> list[tuple[str, str, str, str]]:
    return [tuple(row) for row in _rows(connection, "adoption_carried", table)]


def _escaped(text: str) -> str:
    """A text that PostgreSQL wrote itself, for `sql.run`."""
    return text.replace("%", "%%")


def _named(table: Relation, what: str) -> Relation:
    return Relation(table.schema, f"{table.name[:48]}_{what}")


def _rows(
    connection: sa.Connection, statement: str, table: Relation, **more: object
) -> sa.CursorResult[Any]:
    return sql.run(
        connection,
        statements.load("crm_ops.audit", "archive.sql")[statement],
        schema=table.schema,
        name=table.name,
        **more,
    )


__all__ = ["Adopted", "Adoption", "adopt", "plan", "undo"]
