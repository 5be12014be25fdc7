"""Our own record of every job run: what it was asked, saw, did, took, and what went wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from crm_ops.base import database, errors, sql, statements
from crm_ops.base.results import Done, JobResult, State
from crm_ops.jobs import registry
from crm_ops.jobs.work import Batch, Request, Work

# No job may run this long (the catalog's timeouts are shorter): what is open longer was killed.
LOST_AFTER = timedelta(hours=24)


@dataclass(frozen=True)
class Outcome:
    """One batch as the ledger has it; `error` is None unless the batch as a whole failed."""

    number: int
    label: str
    state: Literal["waiting", "running", "success", "partial", "failed"]
    tenants: int
    rows_seen: int
    figures_written: int
    failures: Mapping[str, str]
    details: Mapping[str, Any]
    error: str | None


@dataclass(frozen=True)
class LastRun:
    """The newest run of a job; `last_success_at` is None where there was none."""

    id: int
    job: str
    state: Literal["running", "success", "partial", "failed"]
    started_by: str
    started_at: datetime
    finished_at: datetime | None
    tenants: int
    rows_seen: int
    figures_written: int
    took_ms: int | None
    error: str | None
    details: Mapping[str, Any]
    last_success_at: datetime | None


def begin(engine: sa.Engine, job: str, request: Request, *, started_by: str, now: datetime) -> int:
    """Open a run and return its id; runs of this job that never ended are closed as failed."""
    with database.transaction(engine) as connection:
        sql.run(
            connection,
            _sql("close_lost"),
            job=job,
            now=now,
            before=now - LOST_AFTER,
            airflow=started_by.startswith("airflow "),
        )
        return int(
            sql.run(
                connection,
                _sql("begin_run"),
                job=job,
                started_by=started_by,
                request=_json(asdict(request)),
                now=now,
            ).scalar_one()
        )


@contextmanager
def alive(engine: sa.Engine, run_id: int) -> Iterator[None]:
    """Hold a lock for as long as this process is at the run: once it is gone, all can see that."""
    with database.held(engine, f"run:{run_id}"):
        with database.transaction(engine) as connection:
            sql.run(connection, _sql("hold_run"), run_id=run_id)
        yield


def add(
    engine: sa.Engine, job: str, run_id: int, work: Sequence[Work], *, dry_run: bool
) -> list[Batch]:
    """Store the planned batches of a run, numbered in order."""
    batches = [
        Batch(
            job,
            run_id,
            number,
            piece.label,
            piece.arguments,
            dry_run,
            piece.stage,
            piece.subject,
        )
        for number, piece in enumerate(work, start=1)
    ]
    with database.transaction(engine) as connection:
        for batch in batches:
            sql.run(
                connection,
                _sql("add_batch"),
                run_id=run_id,
                number=batch.number,
                label=batch.label,
                work=_json(batch.arguments),
            )
    return batches


def begin_batch(engine: sa.Engine, batch: Batch, *, now: datetime) -> None:
    """Note that a batch is being tried."""
    with database.transaction(engine) as connection:
        sql.run(connection, _sql("begin_batch"), run_id=batch.run_id, number=batch.number, now=now)


def finish_batch(
    engine: sa.Engine, batch: Batch, done: Done, *, error: str | None, now: datetime
) -> None:
    """Store what a batch did; `error` says why it failed as a whole."""
    with database.transaction(engine) as connection:
        sql.run(
            connection,
            _sql("finish_batch"),
            run_id=batch.run_id,
            number=batch.number,
            state="failed" if error else "partial" if done.failures else "success",
            tenants=done.tenants,
            rows_seen=done.rows_seen,
            figures_written=done.figures_written,
            failures=_json(done.failures),
            details=_json(done.details),
            error=error,
            now=now,
        )


def outcomes(engine: sa.Engine, run_id: int) -> list[Outcome]:
    """The batches of a run as the ledger has them, in order."""
    with database.transaction(engine) as connection:
        rows = sql.run(connection, _sql("batches"), run_id=run_id).mappings()
        return [Outcome(**row) for row in rows]


def asked(engine: sa.Engine, run_id: int) -> tuple[str, Request]:
    """The job of a run and what it was asked to do."""
    with database.transaction(engine) as connection:
        row = sql.run(connection, _sql("request_of"), run_id=run_id).first()
    if row is None:
        raise errors.ParameterError(f"the ledger has no run {run_id}")
    return str(row.job), msgspec.convert(row.request, Request)


def finish(
    engine: sa.Engine,
    run_id: int,
    done: Done,
    *,
    state: State,
    error: str | None,
    now: datetime,
) -> JobResult:
    """Close a run with the sums of its batches."""
    with database.transaction(engine) as connection:
        row = sql.run(
            connection,
            _sql("finish_run"),
            run_id=run_id,
            state=state,
            tenants=done.tenants,
            rows_seen=done.rows_seen,
            figures_written=done.figures_written,
            error=error,
            details=_json(done.details),
            now=now,
        ).one()
    return JobResult(
        job=row.job,
        state=state,
        tenants=done.tenants,
        rows_seen=done.rows_seen,
        figures_written=done.figures_written,
        took_ms=row.took_ms,
        error=error,
        details=done.details,
    )


def interrupt(engine: sa.Engine, run_id: int, done: Done, *, error: str, now: datetime) -> None:
    """Close a run that is broken off with what it did so far; one that has ended is left alone."""
    with database.transaction(engine) as connection:
        sql.run(
            connection,
            _sql("interrupt_run"),
            run_id=run_id,
            tenants=done.tenants,
            rows_seen=done.rows_seen,
            figures_written=done.figures_written,
            details=_json(done.details),
            error=error,
            now=now,
        )


def last_runs(engine: sa.Engine) -> dict[str, LastRun]:
    """The newest run of each job, by job."""
    with database.transaction(engine) as connection:
        return newest(connection)


def newest(connection: sa.Connection) -> dict[str, LastRun]:
    """The newest run of each job, by job, as the caller's transaction sees it."""
    rows = sql.run(connection, _sql("last_runs"), jobs=list(registry.JOBS)).mappings()
    return {row["job"]: LastRun(**row) for row in rows}


def _sql(name: str) -> str:
    return statements.load("crm_ops.jobs")[name]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


__all__ = [
    "LastRun",
    "Outcome",
    "add",
    "alive",
    "asked",
    "begin",
    "begin_batch",
    "finish",
    "finish_batch",
    "interrupt",
    "last_runs",
    "newest",
    "outcomes",
]
