"""The rights that maintenance needs, looked at before anything is written."""

from __future__ import annotations

import sqlalchemy as sa

from crm_ops.base import errors, sql, statements
from crm_ops.base.sql import Relation


def require(connection: sa.Connection, table: Relation) -> None:
    """Raise PermissionMissing where our role may not maintain `table`, naming all that it lacks.

    PostgreSQL lets only a table's owner attach and detach: the role must own the audit log and its
    partitions (or be a member of the role that does) and may create tables in its schema.
    """
    missing = (
        sql.run(
            connection,
            statements.load("crm_ops.audit")["missing_rights"],
            schema=table.schema,
            name=table.name,
        )
        .scalars()
        .all()
    )
    if missing:
        role = sql.run(connection, "SELECT current_user").scalar_one()
        raise errors.PermissionMissing(
            f"the database role {role!r} may not maintain the audit log {table}: it needs"
            f" {'; '.join(missing)}; grant it as in docs/permissions.md"
        )


__all__ = ["require"]
