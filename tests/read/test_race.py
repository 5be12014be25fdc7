"""Threads that ask while others grant and revoke; `make drill` does it at length."""

from __future__ import annotations

import threading
import time

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import sql
from crm_ops.read.access import Access, Record, User
from crm_ops.schema import migrate
from crm_ops.sharing import install, lookup
from tests.read.test_access import SMALL
from tests.sharing import office

CATALOG = office.catalog()
USER, LEAD = User("1", "3"), Record("lead", "1")
GRANT = "INSERT INTO office.member VALUES (7, 3)"
REVOKE = "DELETE FROM office.member"


@pytest.fixture
def engine(database: sa.Engine) -> sa.Engine:
    office.create(database)
    migrate.upgrade(database)
    install.apply(database, CATALOG)
    office.fill(database, SMALL)
    return database


def write(engine: sa.Engine, statement: str) -> None:
    with databases.transaction(engine) as connection:
        sql.run(connection, statement)


def test_no_check_that_began_after_a_revocation_grants(engine: sa.Engine) -> None:
    with databases.autocommit(engine) as connection:
        access = Access(connection, CATALOG)
    until = time.monotonic() + 3
    # Even while the revocation is acknowledged.
    state = [1]
    checks, stale, grants = [], [], []

    def ask() -> None:
        with databases.autocommit(engine) as connection:
            while time.monotonic() < until:
                before = state[0]
                granted = access.may(connection, USER, LEAD)
                if before == state[0] and before % 2 == 0:
                    checks.append(before)
                    if granted:
                        stale.append(before)
                elif granted:
                    grants.append(before)

    readers = [threading.Thread(target=ask) for _ in range(3)]
    for reader in readers:
        reader.start()
    while time.monotonic() < until:
        write(engine, REVOKE)
        state[0] += 1
        time.sleep(0.01)
        state[0] += 1
        write(engine, GRANT)
        time.sleep(0.01)
    for reader in readers:
        reader.join()
    assert checks
    assert grants
    assert stale == []


def test_a_herd_that_misses_reads_the_configuration_once(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with databases.autocommit(engine) as connection:
        access = Access(connection, CATALOG)
    read = []
    really = lookup.everything

    def everything(*given: object) -> object:
        read.append(1)
        time.sleep(0.2)
        return really(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(lookup, "everything", everything)
    answers = []

    def ask() -> None:
        with databases.autocommit(engine) as connection:
            answers.append(access.may(connection, USER, LEAD))

    herd = [threading.Thread(target=ask) for _ in range(8)]
    for each in herd:
        each.start()
    for each in herd:
        each.join()
    assert answers == [True] * 8
    assert len(read) == 1
