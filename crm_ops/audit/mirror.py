"""Triggers that repeat every write to one table in another, in the writer's own transaction.

They never break a write: what cannot be repeated is counted by a sequence, and who relies on the
mirror looks at it.
"""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from crm_ops.base import sql
from crm_ops.base.sql import Relation

_NAME = "crm_ops_mirror"


def install(
    connection: sa.Connection, source: Relation, target: Relation, columns: Sequence[str], key: str
) -> None:
    """Mirror `source` to `target` from now on; the caller holds `source` locked against writers."""
    names = ", ".join(sql.identifier(name) for name in columns)
    own = sql.identifier(key)
    gone = f"DELETE FROM {target.quoted} AS kept USING old_rows WHERE kept.{own} = old_rows.{own};"
    come = (
        f"INSERT INTO {target.quoted} ({names}) OVERRIDING SYSTEM VALUE"
        f" SELECT {names} FROM new_rows ON CONFLICT DO NOTHING;"
    )
    referencing = {"INSERT": "NEW TABLE AS new_rows", "DELETE": "OLD TABLE AS old_rows"}
    referencing["UPDATE"] = f"{referencing['DELETE']} {referencing['INSERT']}"
    bodies = {"INSERT": come, "DELETE": gone, "UPDATE": gone + come}
    for event, body in {**bodies, "TRUNCATE": f"TRUNCATE {target.quoted};"}.items():
        function = _function(target, event)
        text = sql.readable(
            f"BEGIN BEGIN {body} EXCEPTION WHEN OTHERS THEN"
            " PERFORM nextval('crm_ops.audit_mirror_failure'); END; RETURN NULL; END"
        )
        sql.run(
            connection,
            f"CREATE OR REPLACE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql"
            f" SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS {sql.literal(text)}",
        )
        sql.run(connection, f"REVOKE ALL ON FUNCTION {function}() FROM PUBLIC")
        rows = f" REFERENCING {referencing[event]}" if event in referencing else ""
        sql.run(
            connection,
            f"CREATE TRIGGER {_trigger(event)} AFTER {event} ON {source.quoted}{rows}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {function}()",
        )


def remove(connection: sa.Connection, source: Relation, target: Relation) -> None:
    """Mirror no more; nothing where it was never installed."""
    for event in ("INSERT", "UPDATE", "DELETE", "TRUNCATE"):
        sql.run(connection, f"DROP TRIGGER IF EXISTS {_trigger(event)} ON {source.quoted}")
        sql.run(connection, f"DROP FUNCTION IF EXISTS {_function(target, event)}()")


def _trigger(event: str) -> str:
    return sql.identifier(f"{_NAME}_{event.lower()}")


def _function(target: Relation, event: str) -> str:
    return Relation("crm_ops", f"mirror_{event.lower()}_{target.name[:40]}").quoted


__all__ = ["install", "remove"]
