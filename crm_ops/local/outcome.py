"""What a job run by Airflow did: its figures from our ledger, its state from both."""

from __future__ import annotations

import sqlalchemy as sa

from crm_ops.base import database, rest, sql, statements
from crm_ops.base.results import JobResult


def read(engine: sa.Engine, job: str, run: rest.Run, *, failed: list[str], page: str) -> JobResult:
    """The result of a run that has ended; `failed` are its failed tasks, `page` shows it.

    It is a success only where Airflow and the ledger both say so.
    """
    with database.transaction(engine) as connection:
        row = sql.run(
            connection,
            statements.load("crm_ops.local")["run_of"],
            job=job,
            started_by=f"airflow {run.run_id}",
        ).first()
    where = f"failed in {', '.join(failed)}" if failed else "left no figures in the ledger"
    if row is None or row.state == "running":
        return JobResult(job, "failed", 0, 0, 0, 0, error=f"{where}; see {page}")
    good = row.state == "success" and run.state == "success"
    return JobResult(
        job,
        row.state if row.state != "success" or good else "failed",
        row.tenants,
        row.rows_seen,
        row.figures_written,
        row.took_ms,
        error=None if good else row.error or f"{where}; see {page}",
    )


__all__ = ["read"]
