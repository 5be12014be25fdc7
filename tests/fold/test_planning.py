"""Joins are hashed where it is said, and planned as before after it."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import sqlalchemy as sa

from crm_ops.base import database, sql
from crm_ops.fold import planning, refresh
from tests.fold import shop
from tests.fold.capturing import apply, settle
from tests.fold.shop import Order

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


def test_a_log_that_is_taken_for_empty_is_not_looped_over(migrated: sa.Engine) -> None:
    shop.build(migrated)
    apply(migrated, shop.catalog())
    with database.transaction(migrated) as connection:
        shop.put(connection, [Order(at, state="new", size=Decimal(at)) for at in range(9)])
    settle(migrated)
    with database.transaction(migrated) as connection:
        shop.put(connection, [Order(at, state="won", size=Decimal(at)) for at in range(9)])
        # As after a VACUUM beside a writer.
        empty = "SET reltuples = 0, relpages = 1000 WHERE relname LIKE '%%log\\_order%%'"
        sql.run(connection, f"UPDATE pg_class {empty} AND relkind = 'r'")
    plans: dict[str, str] = {}

    @sa.event.listens_for(migrated, "before_cursor_execute")
    def explain(_: object, cursor: Any, text: str, bound: Any, *_more: object) -> None:
        for what in ("taken_0", "folded AS"):
            if text.lstrip().startswith(f"WITH {what}"):
                with cursor.connection.cursor() as other:
                    other.execute(f"EXPLAIN {text}", bound)
                    plans[what] = "\n".join(line for (line,) in other)

    refresh.fold(migrated, shop.counted())

    # What is looked up row by row says so itself.
    assert plans["taken_0"].count("Nested Loop") == 1
    assert "Nested Loop" not in plans["folded AS"].split("CTE known")[0]


def plan(connection: sa.Connection) -> str:
    return "\n".join(sql.run(connection, _JOINED).scalars())
