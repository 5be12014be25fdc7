from __future__ import annotations

import multiprocessing
import os
import signal
import threading

import sqlalchemy as sa

from crm_ops.audit import apply
from crm_ops.base import database as databases
from crm_ops.base import errors, sql
from crm_ops.base.sql import Relation
from tests.audit import logs
from tests.audit.logs import policy


def maintain(engine: sa.Engine, table: Relation) -> None:
    declared = policy(table=table, months_ahead=1)
    logs.ensure(engine, declared)
    logs.expire(engine, declared)


def maintain_and_die(url: str, table: Relation, statement: int) -> None:
    """Maintain in a process of its own that is killed before its statement of that number."""
    run, left = sql.run, statement

    def counting(*given: object, **values: object) -> object:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return run(*given, **values)  # type: ignore[arg-type]

    sql.run = counting  # type: ignore[assignment]
    maintain(databases.engine(url), table)
    os._exit(0)


def test_killed_before_any_statement_the_next_run_finishes_and_no_row_is_lost(
    database: sa.Engine,
) -> None:
    url = database.url.render_as_string(hide_password=False)
    killed, statement = True, 0
    while killed:
        statement += 1
        table = Relation("crm", f"log_{statement}")
        logs.create(database, ["2023-02"], table=table)
        logs.add(database, "2023-02-10", 5, table)
        logs.add(database, "2024-03-10", 20, table)

        process = multiprocessing.get_context("fork").Process(
            target=maintain_and_die, args=(url, table, statement)
        )
        process.start()
        process.join()
        killed = process.exitcode == -signal.SIGKILL
        assert killed or process.exitcode == 0
        assert logs.count(database, table) in (20, 25)
        maintain(database, table)

        assert sorted(logs.stretches(database, policy(table=table))) == [
            f"log_{statement}_p202403",
            f"log_{statement}_p202404",
        ]
        assert logs.count(database, table) == 20
        assert logs.state(database, f"crm.log_{statement}_p202302") == ("dropped", 5)
    assert statement > 50


def test_two_runs_at_once_do_what_one_does(database: sa.Engine) -> None:
    logs.create(database, ["2023-01", "2023-02"])
    logs.add(database, "2024-03-10", 500)
    made = logs.planned(database)
    done: list[apply.Created | logs.Retired] = []
    failed: list[Exception] = []

    def work() -> None:
        try:
            done.append(apply.create(database, made))
            done.append(logs.retire(database, logs.planned(database)))
        except errors.CrmOpsError as error:
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not failed
    created = [each for each in done if isinstance(each, apply.Created)]
    retired = [each for each in done if isinstance(each, logs.Retired)]
    assert sum(each.created for each in created) == 4
    assert sum(each.moved_rows for each in created) == 500
    assert sum(each.dropped for each in retired) == 2
    assert logs.count(database) == 500


def test_retention_does_not_wait_for_creation(database: sa.Engine) -> None:
    logs.create(database, ["2023-02", "2024-02"])

    assert logs.expire(database).dropped == 1
    assert sorted(logs.stretches(database)) == ["audit_log_p202402"]
