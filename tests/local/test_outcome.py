from __future__ import annotations

import pytest
import sqlalchemy as sa

from crm_ops.base import database as databases
from crm_ops.base import rest, sql
from crm_ops.base.results import JobResult
from crm_ops.local import outcome
from crm_ops.schema import migrate

RUN_ID = "up__2026-01-01T00:00:00+00:00"
PAGE = "http://127.0.0.1:8080/dags/facets"


@pytest.fixture
def ledger(database: sa.Engine) -> sa.Engine:
    """A ledger with a run that Airflow began and one that a person began later."""
    migrate.upgrade(database)
    with databases.transaction(database) as connection:
        for started_by in (f"airflow {RUN_ID}", "the command line"):
            sql.run(
                connection,
                "INSERT INTO crm_ops.run (job, state, started_by, request, started_at, tenants,"
                " rows_seen, figures_written, took_ms) VALUES ('precompute_facets', 'success',"
                " %(by)s, '{}', now(), 3, length(%(by)s), 20, 30)",
                by=started_by,
            )
    return database


def read(ledger: sa.Engine, state: str, failed: list[str] | None = None) -> JobResult:
    run = rest.Run("facets", RUN_ID, state)
    return outcome.read(ledger, "precompute_facets", run, failed=failed or [], page=PAGE)


def update(ledger: sa.Engine, changes: str) -> None:
    with databases.transaction(ledger) as connection:
        sql.run(connection, f"UPDATE crm_ops.run SET {changes}")


def test_the_figures_are_those_of_the_run_that_airflow_began(ledger: sa.Engine) -> None:
    seen = len(f"airflow {RUN_ID}")
    assert read(ledger, "success") == JobResult("precompute_facets", "success", 3, seen, 20, 30)


def test_it_is_no_success_where_airflow_says_it_failed(ledger: sa.Engine) -> None:
    result = read(ledger, "failed", ["report"])
    assert (result.state, result.error) == ("failed", f"failed in report; see {PAGE}")
    assert result.rows_seen > 0


def test_what_the_ledger_says_went_wrong_is_told(ledger: sa.Engine) -> None:
    update(ledger, "state = 'partial', error = '1 tenant(s) failed: 7: no rows'")
    result = read(ledger, "failed", ["work", "report"])
    assert (result.state, result.error) == ("partial", "1 tenant(s) failed: 7: no rows")


@pytest.mark.parametrize("left", ["state = 'running', took_ms = NULL", "started_by = 'others'"])
def test_a_run_that_left_no_figures_failed(ledger: sa.Engine, left: str) -> None:
    update(ledger, left)
    assert read(ledger, "success").state == "failed"
    assert read(ledger, "failed", ["plan"]).error == f"failed in plan; see {PAGE}"
