"""Our schema is made, made again without a change, reviewed as SQL, and removed without a trace."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from crm_ops.base import database as databases
from crm_ops.base import errors, sql
from crm_ops.fold import positions
from crm_ops.schema import migrate

# Everything there is but PostgreSQL's own: relations, columns, defaults, constraints, indexes.
EVERYTHING = """
SELECT concat_ws(' ', n.nspname, c.relname, c.relkind, c.relpersistence, c.reloptions::text,
                 a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity,
                 a.attstorage, pg_get_expr(d.adbin, d.adrelid))
FROM pg_namespace n
JOIN pg_class c ON c.relnamespace = n.oid
LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE n.nspname !~ '^(pg_|information_schema)'
UNION ALL
SELECT concat_ws(' ', conrelid::regclass, conname, pg_get_constraintdef(oid))
FROM pg_constraint WHERE connamespace::regnamespace::text !~ '^(pg_|information_schema)'
UNION ALL
SELECT indexdef FROM pg_indexes WHERE schemaname !~ '^(pg_|information_schema)'
UNION ALL
SELECT 'schema ' || nspname FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)'
ORDER BY 1
"""


def everything(engine: sa.Engine) -> list[str]:
    with databases.transaction(engine) as connection:
        return list(sql.run(connection, EVERYTHING).scalars())


def execute(engine: sa.Engine, *statements: str) -> None:
    with databases.transaction(engine) as connection:
        for statement in statements:
            sql.run(connection, statement)


@pytest.fixture
def crm(database: sa.Engine) -> Iterator[sa.Engine]:
    """A database with a table of the CRM that nobody may touch."""
    execute(
        database,
        "CREATE SCHEMA crm",
        "CREATE TABLE crm.run (id bigint PRIMARY KEY, name text DEFAULT 'precious')",
        "INSERT INTO crm.run VALUES (1)",
    )
    yield database
    with databases.transaction(database) as connection:
        assert sql.run(connection, "SELECT name FROM crm.run").scalars().all() == ["precious"]


def test_upgrading_twice_changes_nothing(crm: sa.Engine) -> None:
    assert migrate.upgrade(crm) == migrate.head()
    once = everything(crm)
    execute(crm, "INSERT INTO crm_ops.facet_count VALUES ('lead', '1', 'status', 'new', 7)")

    assert migrate.upgrade(crm) == migrate.head()

    assert everything(crm) == once
    with databases.transaction(crm) as connection:
        assert migrate.current(connection) == migrate.head()
        assert sql.run(connection, "SELECT n FROM crm_ops.facet_count").scalar_one() == 7


def test_downgrading_leaves_nothing_of_ours(crm: sa.Engine) -> None:
    before = everything(crm)
    migrate.upgrade(crm)
    assert everything(crm) != before

    migrate.downgrade(crm)

    assert everything(crm) == before
    migrate.downgrade(crm)
    migrate.upgrade(crm)


def test_the_printed_sql_makes_what_an_upgrade_makes(
    database: sa.Engine, migrated: sa.Engine
) -> None:
    """As psql would run it: the text as it is, nothing bound."""
    with database.connect() as connection:
        raw = connection.connection.driver_connection
        assert raw is not None
        raw.execute(migrate.script())
        raw.commit()

    assert everything(database) == everything(migrated)
    with databases.transaction(database) as connection:
        migrate.require(connection)


def test_what_happened_to_bitmaps_is_kept_by_an_upgrade(database: sa.Engine) -> None:
    """Revision 0015 writes what one fold did to a facet as one row."""
    execute(database, "CREATE SCHEMA crm_ops")
    with databases.transaction(database) as connection:
        command.upgrade(migrate._config(connection), "0014")
    execute(
        database,
        "INSERT INTO crm_ops.bitmap_change (set_id, version, facet, bucket, n, went, came) VALUES"
        " (1, 5, 'state', 'new', 2, '{}', '{1,2}'), (1, 5, 'state', NULL, 0, '{2}', '{}'),"
        " (1, 5, 'state', 'won', 1, '{3,4}', '{5}'), (1, 5, '', NULL, 1, '{}', '{9}'),"
        " (1, 6, 'state', 'new', 1, '{1}', '{}'), (2, 5, 'state', 'new', 1, '{}', '{7}')",
    )

    migrate.upgrade(database)

    with databases.transaction(database) as connection:
        found = sql.run(connection, "SELECT * FROM crm_ops.bitmap_change").all()
    assert {(row.set_id, row.version, row.facet): sorted_moves(row) for row in found} == {
        (1, 5, "state"): [(None, [2], []), ("new", [], [1, 2]), ("won", [3, 4], [5])],
        (1, 5, ""): [(None, [], [9])],
        (1, 6, "state"): [("new", [1], [])],
        (2, 5, "state"): [("new", [], [7])],
    }


def sorted_moves(row: sa.Row[Any]) -> list[tuple[str | None, list[int], list[int]]]:
    """What happened to each bucket of a facet: the positions that went, and those that came."""
    change = (row.facet, row.buckets, row.went_n, row.came_n, row.went, row.came)
    found = [(bucket, list(out), list(into)) for bucket, out, into in positions.moves(change)]
    return sorted(found, key=lambda each: each[0] or "")


def test_two_upgrades_at_once_do_not_disturb_each_other(database: sa.Engine) -> None:
    done: list[str] = []
    threads = [
        threading.Thread(target=lambda: done.append(migrate.upgrade(database))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert done == [migrate.head()] * 3


def test_an_upgrade_that_fails_leaves_nothing_half_made(crm: sa.Engine) -> None:
    execute(crm, "CREATE SCHEMA crm_ops", "CREATE TABLE crm_ops.refresh (of_somebody_else text)")
    before = everything(crm)

    with pytest.raises(errors.DatabaseRefused, match='"refresh" already exists'):
        migrate.upgrade(crm)

    assert everything(crm) == before


def test_a_server_that_is_too_old_is_refused_before_anything_is_made(
    database: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(database)
    monkeypatch.setattr(migrate, "_MINIMUM_VERSION", 990_000)

    with pytest.raises(errors.SettingsError, match=r"the server is PostgreSQL \d+; .* is needed"):
        migrate.upgrade(database)

    assert everything(database) == before


class TestRequire:
    def test_this_release_s_revision_is_accepted(self, migrated: sa.Engine) -> None:
        with databases.transaction(migrated) as connection:
            migrate.require(connection)

    def test_a_database_that_was_never_migrated(self, database: sa.Engine) -> None:
        with (
            pytest.raises(
                errors.SettingsError, match=r"is at nothing and .*; run `crm-ops migrate`"
            ),
            databases.transaction(database) as connection,
        ):
            migrate.require(connection)

    def test_a_database_of_another_release(self, migrated: sa.Engine) -> None:
        execute(migrated, "UPDATE crm_ops.alembic_version SET version_num = 'future'")
        with (
            pytest.raises(errors.SettingsError, match=f"is at future and {migrate.head()} is"),
            databases.transaction(migrated) as connection,
        ):
            migrate.require(connection)
