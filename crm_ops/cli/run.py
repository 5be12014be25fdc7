"""`crm-ops run`: runs any or all of the four jobs here and now, without Airflow."""

from __future__ import annotations

import getpass
import os
import time
from typing import Annotated

import msgspec
import typer

from crm_ops.base import errors, settings
from crm_ops.base.results import JobResult
from crm_ops.catalog.schedule import JobName
from crm_ops.cli import exits, options, output, tools
from crm_ops.jobs import registry, run
from crm_ops.jobs.work import Request, Tools
from crm_ops.local import interrupts


def command(
    task: Annotated[
        list[str] | None,
        typer.Option("--task", help="A job; repeat it for several. Without it all four run."),
    ] = None,
    entity: options.Entities = None,
    tenant: options.Tenants = None,
    dry_run: options.DryRun = False,
    mode: options.Mode = "auto",
    as_json: options.Json = False,
    database_url: options.DatabaseUrl = None,
    redis_url: options.RedisUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """Run the jobs; exit 0 done, 1 failed, 2 wrong call, 4 some tenants failed."""
    names = [registry.named(name).name for name in task or registry.JOBS]
    request = Request(tuple(entity or ()), tuple(tenant or ()), dry_run, mode)
    given = tools.settings_from(database_url, redis_url, catalog)
    with interrupts.as_interrupt():
        results = _run(names, request, given)
    if as_json:
        output.json({"jobs": [_row(result) for result in results]})
    else:
        show(results)
    raise typer.Exit(exits.of_results(results))


def show(results: list[JobResult]) -> None:
    """Print results as a table, then what went wrong."""
    output.table(
        ("job", "state", "tenants", "rows seen", "figures written", "took ms"),
        [(r.job, r.state, r.tenants, r.rows_seen, r.figures_written, r.took_ms) for r in results],
        numbers=4,
    )
    undeclared = {each.job: part for each in results if (part := each.details.get("undeclared"))}
    for job, part in undeclared.items():
        output.note(f"{job}: the catalog declares no `{part}`, so there is nothing to do")
    idle = [
        each.job
        for each in results
        if each.state == "success" and not each.figures_written and each.job not in undeclared
    ]
    if idle:
        output.note(f"{', '.join(idle)}: nothing to write, everything was up to date")
    wrong: dict[str, list[str]] = {}
    for result in results:
        if result.error:
            wrong.setdefault(result.error, []).append(result.job)
    for error, jobs in wrong.items():
        output.note(f"{', '.join(jobs)}: {error}")


def _run(names: list[JobName], request: Request, given: settings.Settings) -> list[JobResult]:
    results: list[JobResult] = []
    started = time.monotonic()
    try:
        with tools.opened(given) as opened:
            for name in names:
                started = time.monotonic()
                try:
                    results.append(_one(name, request, opened))
                except errors.CrmOpsError as error:
                    # A wrong call shows at the first job; what others did must still be told.
                    if not results and exits.of_error(error) == exits.USAGE:
                        raise
                    results.append(_failed(name, error, started))
    except errors.CatalogError as error:
        return [_failed(name, error, started) for name in names]
    return results


def _one(name: JobName, request: Request, opened: Tools) -> JobResult:
    with output.progress() as report:
        return run.run(
            name,
            request,
            opened,
            started_by=f"crm-ops run ({_user()})",
            progress=lambda done, of, label: report(f"{name}: {label}", done, of),
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        # A container may run as a number that no user has.
        return f"user {os.getuid()}"


def _failed(name: JobName, error: errors.CrmOpsError, started: float) -> JobResult:
    took_ms = round((time.monotonic() - started) * 1000)
    return JobResult(name, "failed", 0, 0, 0, took_ms, str(error))


def _row(result: JobResult) -> dict[str, object]:
    fields = msgspec.to_builtins(result)
    return {key: value for key, value in fields.items() if key != "details"}


__all__ = ["command", "show"]
