"""Joins are hashed where it is said, and planned as before after it."""

from __future__ import annotations

import sqlalchemy as sa

from crm_ops.base import database, sql
from crm_ops.fold import planning

_JOINED = "EXPLAIN SELECT FROM generate_series(1, 2) AS a JOIN generate_series(1, 2) AS b ON a = b"


def test_joins_are_hashed_within_and_planned_as_before_after(migrated: sa.Engine) -> None:
    with database.transaction(migrated) as connection:
        sql.run(connection, "SET LOCAL enable_hashjoin = off")
        sql.run(connection, "SET LOCAL enable_mergejoin = off")
        assert "Nested Loop" in plan(connection)
        sql.run(connection, "SET LOCAL enable_hashjoin = on")
        with planning.hashed(connection):
            assert "Hash Join" in plan(connection)
        sql.run(connection, "SET LOCAL enable_hashjoin = off")
        assert "Nested Loop" in plan(connection)


def plan(connection: sa.Connection) -> str:
    return "\n".join(sql.run(connection, _JOINED).scalars())
