"""Runs a job: plan its batches, do each, report. The command line does it at once, Airflow by task.

Neither a tenant nor a batch that fails stops the others; the report then fails, naming them.
Everything is in the ledger before it is told.
"""

from __future__ import annotations

import importlib
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, cast

from crm_ops.base import database, errors, results
from crm_ops.base.results import Done, JobResult, State
from crm_ops.jobs import ledger, registry, retention
from crm_ops.jobs.work import Batch, Plan, Request, Tools, Work
from crm_ops.schema import migrate

_log = logging.getLogger(__name__)

# The job that every catalog runs at night prunes the ledger.
_FORGETS = "warm_caches"


class Job(Protocol):
    """What a job's module offers."""

    def plan(self, request: Request, tools: Tools) -> Sequence[Work]:
        """Cut the request into batches; raise where the request or the database is wrong."""

    def do(self, arguments: Any, tools: Tools, *, dry_run: bool) -> Done:
        """Do one batch; safe to repeat."""

    def conclude(self, done: Done, request: Request, tools: Tools) -> str | None:
        """Say what is wrong with the whole although every batch succeeded, or None."""


def plan(job: str, request: Request, tools: Tools, *, started_by: str) -> Plan:
    """Open a run in the ledger and store its batches; a plan that fails closes it as failed."""
    return _plan(_begin(job, request, tools, started_by=started_by), job, request, tools)


def _begin(job: str, request: Request, tools: Tools, *, started_by: str) -> int:
    registry.named(job)
    with database.transaction(tools.engine) as connection:
        migrate.require(connection)
    return ledger.begin(tools.engine, job, request, started_by=started_by, now=tools.clock())


def _plan(run_id: int, job: str, request: Request, tools: Tools) -> Plan:
    work = _module(job)
    try:
        pieces = [] if undeclared(job, tools) else work.plan(request, tools)
        batches = ledger.add(tools.engine, job, run_id, pieces, dry_run=request.dry_run)
    except errors.CrmOpsError as error:
        ledger.finish(
            tools.engine, run_id, Done(), state="failed", error=str(error), now=tools.clock()
        )
        raise
    return Plan(run_id, tuple(batches))


def do(batch: Batch, tools: Tools) -> Done:
    """Do one batch and store what it did.

    Raises at the end if a tenant failed: TenantsFailed, or Drift where figures were only compared.
    """
    ledger.begin_batch(tools.engine, batch, now=tools.clock())
    try:
        done = _module(batch.job).do(batch.arguments, tools, dry_run=batch.dry_run)
    except errors.CrmOpsError as error:
        ledger.finish_batch(tools.engine, batch, Done(), error=str(error), now=tools.clock())
        raise
    ledger.finish_batch(tools.engine, batch, done, error=None, now=tools.clock())
    _log.info(
        "%s: %s rows seen, %s figures written",
        batch.label,
        done.rows_seen,
        done.figures_written,
        extra={
            "action": "batch_done",
            "job": batch.job,
            "run_id": batch.run_id,
            "details": dict(done.details),
        },
    )
    if done.failures:
        failed = errors.TenantsFailed(done.failures)
        # Another try would find the same figures.
        raise errors.Drift(str(failed)) if batch.arguments.get("verify") else failed
    return done


def report(run_id: int, tools: Tools) -> JobResult:
    """Close a run with the sums of its batches; the result's state says how it went."""
    job, request = ledger.asked(tools.engine, run_id)
    outcomes = ledger.outcomes(tools.engine, run_id)
    done = _total(outcomes)
    broken = [
        f"{each.label}: {each.error or 'did not finish'}"
        for each in outcomes
        if each.state not in ("success", "partial")
    ]
    error: str | None = None
    state: State = "success"
    if broken:
        state, error = "failed", "; ".join(broken)
    elif done.failures:
        state, error = "partial", str(errors.TenantsFailed(done.failures))
    elif part := undeclared(job, tools):
        done = Done(details={"undeclared": part})
    else:
        error = _module(job).conclude(done, request, tools)
        state = "failed" if error else "success"
    result = ledger.finish(tools.engine, run_id, done, state=state, error=error, now=tools.clock())
    if job == _FORGETS and not request.dry_run:
        keep_days = tools.catalog.limits.ledger_days
        retention.forget(tools.engine, keep_days=keep_days, now=tools.clock())
    _log.log(
        logging.INFO if state == "success" else logging.ERROR,
        "%s: %s",
        job,
        error or state,
        extra={"action": "job_reported", "job": job, "run_id": run_id, "state": state},
    )
    return result


def run(
    job: str,
    request: Request,
    tools: Tools,
    *,
    started_by: str,
    progress: Callable[[int, int, str], None] | None = None,
) -> JobResult:
    """Plan, do and report in one process; `progress` hears (done, all, label of the next batch).

    The ledger tells at once of a run that is broken off, and whoever looks of one that is killed.
    """
    run_id = _begin(job, request, tools, started_by=started_by)
    with ledger.alive(tools.engine, run_id), _told_if_broken_off(run_id, tools):
        _do_all(_plan(run_id, job, request, tools), tools, progress)
        return report(run_id, tools)


def _do_all(planned: Plan, tools: Tools, progress: Callable[[int, int, str], None] | None) -> None:
    for number, batch in enumerate(planned.batches):
        if progress is not None:
            progress(number, len(planned.batches), batch.label)
        try:
            do(batch, tools)
        except errors.CrmOpsError as error:
            # It is in the ledger; the report below fails with it after the others were done.
            _log.warning("%s: %s", batch.label, error, extra={"action": "batch_failed"})


@contextmanager
def _told_if_broken_off(run_id: int, tools: Tools) -> Iterator[None]:
    """Close the run in the ledger where this process is asked to end, or has to."""
    try:
        yield
    except errors.CrmOpsError:
        raise
    except BaseException as error:
        done = _total(ledger.outcomes(tools.engine, run_id))
        why = f"it was broken off: {type(error).__name__} {error}".rstrip()
        ledger.interrupt(tools.engine, run_id, done, error=why, now=tools.clock())
        raise


def undeclared(job: str, tools: Tools) -> str | None:
    """The part of the catalog that the job is for, where the catalog does not declare it."""
    part = registry.named(job).part
    return part if part and getattr(tools.catalog, part) is None else None


def _module(job: str) -> Job:
    return cast("Job", importlib.import_module(registry.named(job).module))


def _total(outcomes: Sequence[ledger.Outcome]) -> Done:
    """The sums of a run's batches; a label begins with what it counts, of the same tenants."""
    parts = (
        Done(each.rows_seen, each.figures_written, each.tenants, each.failures, each.details)
        for each in outcomes
    )
    by_entity: Counter[str] = Counter()
    for each in outcomes:
        by_entity[each.label.partition(":")[0]] += each.tenants
    return results.total(parts, tenants=max(by_entity.values(), default=0))


__all__ = ["do", "plan", "report", "run", "undeclared"]
