"""The SQL that captures changes: a log table, one function, four statement triggers.

A pure function of a log. The triggers only append: no join, no aggregate, no figure is touched. An
error in them never reaches the CRM's statement: the entity is marked for counting anew instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

from crm_ops.base import names, sql
from crm_ops.base.names import REBUILD_MARKER
from crm_ops.base.sql import Relation
from crm_ops.changes.logs import AT, SIGN, Log

EVENTS = ("insert", "update", "delete", "truncate")

_ROWS = {
    "insert": "REFERENCING NEW TABLE AS new_rows",
    "update": "REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows",
    "delete": "REFERENCING OLD TABLE AS old_rows",
    "truncate": "",
}


def table(log: Log) -> str:
    """Create the log; a row is as wide as what is counted."""
    columns = [f"{sql.identifier(column)} {type_}" for column, type_ in log.columns.items()]
    own = [
        f"{sql.identifier(SIGN)} smallint NOT NULL",
        f"{sql.identifier(AT)} timestamptz NOT NULL",
    ]
    return f"CREATE TABLE {log.relation.quoted} (\n  {', '.join([*own, *columns])}\n)"


def columns(log: Log) -> dict[str, str]:
    """The columns that a log has, with their types."""
    return {SIGN: "smallint", AT: "timestamp with time zone", **log.columns}


def altered(log: Log, existing: Mapping[str, str]) -> Iterator[str]:
    """Give an existing log the columns it needs now and take away the others."""
    own = {SIGN, AT}
    gone = [c for c, type_ in existing.items() if c not in own and log.columns.get(c) != type_]
    new = [column for column, type_ in log.columns.items() if existing.get(column) != type_]
    for column in gone:
        yield f"ALTER TABLE {log.relation.quoted} DROP COLUMN {sql.identifier(column)}"
    for column in new:
        yield (
            f"ALTER TABLE {log.relation.quoted} ADD COLUMN {sql.identifier(column)}"
            f" {log.columns[column]}"
        )


def function(log: Log) -> str:
    """Create the triggers' function, which runs with our rights and a fixed search path."""
    columns = list(log.columns)
    into = ", ".join(sql.identifier(column) for column in (SIGN, AT, *columns))
    # All as the log has it, in its order: nothing is computed once more on the way.
    taken = "".join(f", r.{sql.identifier(c)}::{log.columns[c]}" for c in columns)
    taken = f"::smallint, statement_timestamp(){taken}"
    new = f"SELECT 1{taken} FROM new_rows AS r WHERE {log.condition}"
    old = f"SELECT -1{taken} FROM old_rows AS r WHERE {log.condition}"
    insert = f"INSERT INTO {log.relation.quoted} ({into})"
    marker = f"INSERT INTO {REBUILD_MARKER.quoted} (entity, reason) VALUES"
    entity = sql.literal(log.entity)
    body = f"""
BEGIN
  BEGIN
    IF TG_OP = 'INSERT' THEN
      {insert} {new};
    ELSIF TG_OP = 'DELETE' THEN
      {insert} {old};
    ELSIF TG_OP = 'UPDATE' THEN
      {insert} {old} UNION ALL {new};
    ELSE
      {marker} ({entity}, {sql.literal(f"{log.source} was truncated")});
    END IF;
  EXCEPTION WHEN OTHERS THEN
    BEGIN
      {marker} ({entity}, {sql.literal(f"a change of {log.source} was not logged: ")} || SQLERRM);
    EXCEPTION WHEN OTHERS THEN
      RAISE WARNING 'crm_ops could not log a change: {"%%"}', SQLERRM;
    END;
  END;
  RETURN NULL;
END
"""
    return (
        f"CREATE OR REPLACE FUNCTION {log.relation.quoted}() RETURNS trigger LANGUAGE plpgsql"
        f" SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS"
        f" {sql.literal(sql.readable(body))}"
    )


def filters_as(log: Log, body: str) -> bool:
    """Whether a function of this `body` logs the same rows as the log's own would."""
    return sql.readable(f"FROM old_rows AS r WHERE {log.condition};") in body


def triggers(log: Log, table: Relation | None = None) -> Iterator[str]:
    """Create or replace the triggers on the log's source, or on `table`, a partition of it.

    Each waits for the table's writers and keeps new ones out. A statement fires the triggers of the
    table that it names: through the whole table the whole's, by a partition's name the partition's.
    """
    for event in EVENTS:
        name = sql.identifier(names.bounded("crm_ops", log.relation.name, event))
        on = (table or log.source).quoted
        yield (
            f"CREATE OR REPLACE TRIGGER {name} AFTER {event.upper()} ON {on}"
            f" {_ROWS[event]} FOR EACH STATEMENT EXECUTE FUNCTION {log.relation.quoted}()"
        )


def unhooked(relation: Relation) -> str:
    """Take a log's function and, with it, its triggers away; needs no right on their tables."""
    return f"DROP FUNCTION IF EXISTS {relation.quoted}() CASCADE"


def removal(relation: Relation) -> Iterator[str]:
    """Take a log with its function and triggers away."""
    yield unhooked(relation)
    yield f"DROP TABLE IF EXISTS {relation.quoted}"


def checksum(log: Log) -> str:
    """Tells one version of a log's SQL from another."""
    text = "\n".join([table(log), function(log), *triggers(log)])
    return hashlib.sha256(text.encode()).hexdigest()


__all__ = [
    "EVENTS",
    "altered",
    "checksum",
    "columns",
    "filters_as",
    "function",
    "removal",
    "table",
    "triggers",
    "unhooked",
]
