"""`crm-ops migrate`: our tables, or the SQL that makes them."""

from __future__ import annotations

from collections.abc import Callable

import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.schema import migrate
from tests.cli.conftest import Ended, url

Call = Callable[..., Ended]


def test_our_tables_are_made_and_a_second_time_left_alone(
    crm_ops: Call, database: sa.Engine
) -> None:
    for _ in range(2):
        ended = crm_ops("migrate", "--database-url", url(database))
        assert (ended.code, ended.out) == (0, "")
        assert ended.err == f"schema crm_ops is at revision {migrate.head()}\n"
    with databases.transaction(database) as connection:
        migrate.require(connection)


def test_the_sql_is_printed_without_a_connection(crm_ops: Call) -> None:
    ended = crm_ops("migrate", "--sql", "--database-url", "postgresql://u:s3cret@127.0.0.1:1/x")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.rstrip() == migrate.script().rstrip()
    assert "CREATE TABLE crm_ops.facet_count" in ended.out


def test_a_database_that_is_not_named_or_not_there(crm_ops: Call) -> None:
    unnamed = crm_ops("migrate")
    assert (unnamed.code, unnamed.out) == (2, "")
    assert "no database is named" in unnamed.err
    away = crm_ops("migrate", "--database-url", "postgresql://u:s3cret@127.0.0.1:1/x")
    assert (away.code, away.out) == (1, "")
    assert "cannot be reached" in away.err
    assert "s3cret" not in away.err
