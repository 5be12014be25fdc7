"""A table that is adopted while writers go on, by processes that are killed before every step."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from datetime import UTC, datetime
from typing import Any

import psycopg

from crm_ops.audit import adoption
from crm_ops.base import database, errors, sql
from crm_ops.base.sql import Relation
from crm_ops.catalog.audit import Audit

TABLE = Relation("crm", "old_log")
POLICY = Audit.model_validate(
    {"table": str(TABLE), "time": "created_at", "tenant": "company_id", "grace_days": 0}
)
_ROWS = 30_000


def adopted(url: str, seed: int) -> bool:
    """Kill an adoption before its every step; in the end each row is there once."""
    _create(url)
    context = multiprocessing.get_context("spawn")
    stop, written = context.Event(), context.Array("q", 2)
    writers = [
        context.Process(target=_write, args=(url, number, written, stop)) for number in range(2)
    ]
    for writer in writers:
        writer.start()
    killed, step, failed = 0, seed % 3, 0
    while True:
        step += 3
        process = context.Process(target=_adopt_and_die, args=(url, step))
        process.start()
        process.join()
        if process.exitcode == 0:
            break
        if process.exitcode == -signal.SIGKILL:
            killed += 1
        else:
            failed += 1
        if failed > 20:
            break
    stop.set()
    for writer in writers:
        writer.join()
    with psycopg.connect(url) as connection:
        held, distinct = connection.execute(
            f"SELECT count(*), count(DISTINCT id) FROM {TABLE}"
        ).fetchone() or (0, 0)
    partitioned = _partitioned(url)
    said = _ROWS + written[0] + written[1]
    print(
        f"adoption: killed {killed} times, {said} rows acknowledged, {held} there,"
        f" {held - distinct} doubled; partitioned: {partitioned}"
    )
    return partitioned and (held, distinct) == (said, said)


def _create(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            f"CREATE TABLE {TABLE} (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,"
            " company_id bigint, note text, created_at timestamptz NOT NULL)"
        )
        connection.execute(
            f"INSERT INTO {TABLE} (company_id, note, created_at) SELECT n % 7, repeat('x', 50),"
            f" now() - n * interval '10 minutes' FROM generate_series(1, {_ROWS}) n"
        )


def _adopt_and_die(url: str, step: int) -> None:
    """Go on with the adoption; killed before the statement of that number."""
    run, left = sql.run, step

    def counting(*given: Any, **values: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return run(*given, **values)

    sql.run = counting
    engine = database.engine(url)
    try:
        with database.transaction(engine) as connection:
            made = adoption.plan(connection, TABLE, POLICY, datetime.now(UTC))
        adoption.adopt(engine, made, POLICY)
    except errors.CrmOpsError as error:
        if not _partitioned(url):
            print(f"  an adoption failed: {str(error)[:200]}", flush=True)
            os._exit(1)
    os._exit(0)


def _partitioned(url: str) -> bool:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            "SELECT relkind = 'p' FROM pg_class WHERE oid = %s::regclass", (str(TABLE),)
        ).fetchone()
    return found == (True,)


def _write(url: str, number: int, written: Any, stop: Any) -> None:
    """Insert rows; those that were acknowledged count."""
    while not stop.is_set():
        try:
            with psycopg.connect(url, autocommit=True, connect_timeout=5) as connection:
                while not stop.is_set():
                    connection.execute(
                        f"INSERT INTO {TABLE} (company_id, note, created_at)"
                        " VALUES (%s, 'late', now())",
                        (number,),
                    )
                    written[number] += 1
                    time.sleep(0.002)
        except psycopg.Error as error:
            print(f"  a writer failed: {str(error)[:160]}", flush=True)
            time.sleep(0.1)


__all__ = ["adopted"]
