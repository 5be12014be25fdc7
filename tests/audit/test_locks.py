from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from crm_ops.audit import apply
from crm_ops.audit.locks import Patience
from crm_ops.base import database as databases
from crm_ops.base import errors, sql
from tests.audit import logs
from tests.audit.logs import LOG

SHORT = Patience(budget_s=0.5)


@contextmanager
def reader(engine: sa.Engine, table: str = "crm.audit_log") -> Iterator[None]:
    """A report that has read the log, and whose transaction stays open."""
    with databases.transaction(engine) as connection:
        sql.run(connection, "SET application_name = 'monthly report'")
        sql.run(connection, f"SELECT count(*) FROM {table}")
        yield


@contextmanager
def writing(engine: sa.Engine) -> Iterator[list[float]]:
    """A writer at full speed; what it hands out is how long each insert took, in seconds."""
    stalls: list[float] = []
    stop = threading.Event()
    failed: list[Exception] = []

    def write() -> None:
        try:
            while not stop.is_set():
                began = time.monotonic()
                logs.add(engine, "2024-03-20")
                stalls.append(time.monotonic() - began)
        except errors.CrmOpsError as error:
            failed.append(error)

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield stalls
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed


def test_a_run_that_is_blocked_too_long_names_who_blocks_it(database: sa.Engine) -> None:
    logs.create(database)

    began = time.monotonic()
    with reader(database), pytest.raises(errors.DatabaseBusy) as caught:
        logs.ensure(database, patience=SHORT)

    assert time.monotonic() - began < 5
    message = str(caught.value)
    assert "no lock on crm.audit_log, crm.audit_log_default could be had within 0.5 s" in message
    assert "(application 'monthly report', role postgres, idle in transaction for" in message
    assert "pid " in message
    assert logs.stretches(database) == {}


def test_without_a_default_readers_are_in_nobodys_way(database: sa.Engine) -> None:
    logs.create(database, default=False)

    with reader(database):
        assert logs.ensure(database, patience=SHORT).created == 4


def test_a_reader_of_an_expired_month_blocks_its_end_and_is_named(database: sa.Engine) -> None:
    logs.create(database, ["2023-02", "2024-03"])

    with reader(database), pytest.raises(errors.DatabaseBusy, match="monthly report"):
        logs.expire(database, patience=SHORT)

    assert logs.expire(database).dropped == 1


def test_writers_of_a_table_that_the_log_refers_to_are_named(database: sa.Engine) -> None:
    logs.create(database, default=False)
    logs.run(
        database,
        "CREATE TABLE crm.company (id bigint PRIMARY KEY)",
        f"ALTER TABLE {LOG} ADD FOREIGN KEY (company_id) REFERENCES crm.company",
    )
    with databases.transaction(database) as connection:
        sql.run(connection, "SET application_name = 'import'")
        sql.run(connection, "INSERT INTO crm.company VALUES (1)")
        with pytest.raises(errors.DatabaseBusy, match="application 'import'"):
            logs.ensure(database, patience=SHORT)


def test_what_is_no_lock_is_not_tried_again(database: sa.Engine) -> None:
    logs.create(database)
    made = logs.planned(database)
    logs.run(database, f"DROP TABLE {LOG}")

    began = time.monotonic()
    with pytest.raises(errors.AuditError):
        apply.create(database, made)

    assert time.monotonic() - began < 5


def test_writers_go_on_while_everything_happens_behind_a_long_reader(database: sa.Engine) -> None:
    logs.create(database, ["2023-01", "2023-02"])
    logs.add(database, "2024-03-10", 2000)
    logs.add(database, "2023-02-10", 100)
    before = logs.count(database)
    done = threading.Event()
    release = threading.Timer(2.0, done.set)

    def read() -> None:
        with reader(database):
            done.wait()

    reading = threading.Thread(target=read)
    with writing(database) as stalls:
        reading.start()
        release.start()
        time.sleep(0.2)
        created = logs.ensure(database)
        retired = logs.expire(database)
        time.sleep(0.2)
    reading.join()
    release.join()

    assert (created.created, retired.dropped, retired.dropped_rows) == (4, 2, 100)
    assert created.moved_rows >= 2000
    assert logs.count(database) == before - 100 + len(stalls), "no acknowledged row is lost"
    assert len(stalls) > 50
    assert max(stalls) < 1.0, "nobody waited as long as the reader kept us waiting"
