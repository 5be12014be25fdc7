"""What is changed past the triggers is found by the next warming, whatever Redis has lost."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import redis
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import sql
from crm_ops.read.access import Access, Record, User
from crm_ops.schema import migrate
from crm_ops.sharing import install, warm
from crm_ops.sharing.warm import Warmed
from tests.read.test_access import SMALL
from tests.sharing import office

CATALOG = office.catalog()
KEY = b"the key of a test, not of a CRM."
NOW = datetime(2026, 1, 31, 3, 0, tzinfo=UTC)

# Who loses what by a change, and the part of the configuration that is told.
CHANGES = [
    ("1", "2", "UPDATE office.rule SET is_active = false", "rules for lead"),
    ("3", "1", "DELETE FROM office.member", "members of teams"),
    ("3", "1", "UPDATE office.member SET team_id = 8", "members of teams"),
    ("1", "1", "UPDATE office.role SET parent_id = NULL", "users, roles and default"),
    ("1", "1", "UPDATE office.user SET role_id = NULL", "users, roles and default"),
    ("2", "1", "UPDATE office.user SET is_active = false WHERE id = 2", "users, roles and default"),
]


@pytest.fixture
def engine(database: sa.Engine) -> sa.Engine:
    office.create(database)
    migrate.upgrade(database)
    install.apply(database, CATALOG)
    office.fill(database, SMALL)
    return database


@pytest.fixture
def connection(engine: sa.Engine) -> Iterator[sa.Connection]:
    with databases.autocommit(engine) as made:
        yield made


def run(engine: sa.Engine, store: redis.Redis, *, dry_run: bool = False) -> Warmed:
    return warm.warm(
        engine, store, CATALOG, ["1", "2"], ["lead"], signing_key=KEY, now=NOW, dry_run=dry_run
    )


def write(engine: sa.Engine, statement: str, *, bypassing: bool) -> None:
    with databases.transaction(engine) as connection:
        if bypassing:
            sql.run(connection, "SET LOCAL session_replication_role = replica")
        sql.run(connection, statement)


@pytest.mark.parametrize(("user", "lead", "statement", "part"), CHANGES)
def test_what_bypassed_the_triggers_is_named_and_revoked(
    engine: sa.Engine,
    connection: sa.Connection,
    store: redis.Redis,
    caplog: pytest.LogCaptureFixture,
    user: str,
    lead: str,
    statement: str,
    part: str,
) -> None:
    access = Access(connection, CATALOG)
    asked = User("1", user), Record("lead", lead)
    assert access.may(connection, *asked)
    assert run(engine, store).repaired == {}
    write(engine, statement, bypassing=True)
    store.flushall()

    assert run(engine, store, dry_run=True).repaired == {"1": [part]}
    with caplog.at_level(logging.ERROR):
        assert run(engine, store).repaired == {"1": [part]}

    assert f"the {part} of tenant 1 were changed past their triggers" in caplog.text
    assert not access.may(connection, *asked)
    again = run(engine, store)
    assert (again.repaired, again.moved) == ({}, 0)


def test_what_the_triggers_saw_is_no_repair(
    engine: sa.Engine, connection: sa.Connection, store: redis.Redis
) -> None:
    assert run(engine, store).moved == 0
    for _, _, statement, _ in CHANGES:
        office.fill(engine, SMALL)
        run(engine, store)
        write(engine, statement, bypassing=False)
        warmed = run(engine, store)
        assert (warmed.repaired, warmed.moved) == ({}, 1), statement


def test_a_tenants_default_that_bypassed_the_triggers_is_found(
    engine: sa.Engine, connection: sa.Connection, store: redis.Redis
) -> None:
    write(engine, "UPDATE office.company SET default_access = 'public_read'", bypassing=False)
    access = Access(connection, CATALOG)
    assert access.may(connection, User("1", "3"), Record("lead", "2"))
    run(engine, store)
    write(
        engine, "UPDATE office.company SET default_access = 'private' WHERE id = 1", bypassing=True
    )
    assert run(engine, store).repaired == {"1": ["users, roles and default"]}
    assert not access.may(connection, User("1", "3"), Record("lead", "2"))
