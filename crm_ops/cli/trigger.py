"""`crm-ops trigger`: has Airflow run a job, and waits for what became of it if asked to."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from crm_ops.base import errors, rest, settings
from crm_ops.base.rest import Airflow, Run
from crm_ops.cli import exits, options, output
from crm_ops.jobs import registry
from crm_ops.jobs.registry import Job
from crm_ops.jobs.work import Request

_EVERY_S = 1.0


def command(
    job: Annotated[str, typer.Argument(help=f"One of {', '.join(registry.JOBS)}.")],
    wait: Annotated[
        bool, typer.Option("--wait", help="Stay until the run has ended, and exit by its outcome.")
    ] = False,
    entity: options.Entities = None,
    tenant: options.Tenants = None,
    dry_run: options.DryRun = False,
    mode: options.Mode = "auto",
    as_json: options.Json = False,
    airflow_url: Annotated[
        str | None,
        typer.Option(
            "--airflow-url", help="Airflow's address; else CRM_OPS_AIRFLOW_URL.", show_default=False
        ),
    ] = None,
    airflow_user: Annotated[
        str | None,
        typer.Option(
            "--airflow-user",
            help="Airflow's user; else CRM_OPS_AIRFLOW_USER. The password is read from"
            " CRM_OPS_AIRFLOW_PASSWORD, a token in place of both from CRM_OPS_AIRFLOW_TOKEN.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Start a run in Airflow; with --wait exit 0 done, 1 failed, 4 some tenants failed."""
    row = registry.named(job)
    request = Request(tuple(entity or ()), tuple(tenant or ()), dry_run, mode)
    with _airflow(os.environ, airflow_url, airflow_user) as airflow:
        run = _start(airflow, row, request)
        link = f"{airflow.url}/dags/{run.dag_id}/runs/{run.run_id}"
        output.note(f"{row.name}: {link}")
        if not wait:
            _show(row, run, link, None, as_json=as_json)
            return
        run = _ended(airflow, run)
        figures = _figures(airflow, run)
    _show(row, run, link, figures, as_json=as_json)
    raise typer.Exit(_exit(run, figures))


def _airflow(environment: Mapping[str, str], url: str | None, user: str | None) -> Airflow:
    address = url or environment.get(settings.AIRFLOW_URL)
    if not address:
        raise errors.SettingsError(
            f"no Airflow is named; give --airflow-url, or set {settings.AIRFLOW_URL}"
        )
    token = environment.get(settings.AIRFLOW_TOKEN)
    if token and user is None:
        return Airflow(address, token, here=False)
    name = user or environment.get(settings.AIRFLOW_USER)
    password = environment.get(settings.AIRFLOW_PASSWORD)
    if not name or not password:
        raise errors.SettingsError(
            f"no login for Airflow; set {settings.AIRFLOW_TOKEN}, or {settings.AIRFLOW_USER} (or"
            f" give --airflow-user) and {settings.AIRFLOW_PASSWORD}"
        )
    return Airflow(address, rest.Login(name, password), here=False)


def _start(airflow: Airflow, job: Job, request: Request) -> Run:
    if airflow.dag(job.dag_id).is_paused:
        raise errors.AirflowError(
            f"the DAG {job.dag_id} is paused, so a run would wait; unpause it in Airflow first"
        )
    run_id = f"crm_ops__{datetime.now(UTC).isoformat()}"
    # As lists, which is what the form of the DAG takes.
    wanted = {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(request).items()
    }
    return airflow.trigger(job.dag_id, run_id, wanted)


def _ended(airflow: Airflow, run: Run) -> Run:
    """The run when it has ended; the DAG's own timeout sees to it that it does."""
    with output.progress() as report:
        while not run.ended:
            time.sleep(_EVERY_S)
            run = airflow.run(run)
            tasks = airflow.tasks(run)
            done = sum(task.state in ("success", "failed", "upstream_failed") for task in tasks)
            report(f"{run.dag_id}: tasks", done, max(len(tasks), 1))
    return run


def _figures(airflow: Airflow, run: Run) -> dict[str, Any] | None:
    """What the task `report` said of the run; None where it came to nothing."""
    key = "return_value" if run.state == "success" else "figures"
    found = airflow.xcom(run, "report", key)
    return found if isinstance(found, dict) else None


def _exit(run: Run, figures: Mapping[str, Any] | None) -> int:
    if run.state == "success":
        return exits.DONE
    return exits.PARTIAL if figures and figures["state"] == "partial" else exits.FAILED


def _show(
    job: Job, run: Run, link: str, figures: Mapping[str, Any] | None, *, as_json: bool
) -> None:
    told = dict(figures or {})
    state = told.get("state", run.state) if run.ended else run.state
    if as_json:
        rest_ = {name: value for name, value in told.items() if name not in ("job", "state")}
        output.json({"job": job.name, "run": run.run_id, "state": state, "link": link, **rest_})
        return
    columns = ("tenants", "rows_seen", "figures_written", "took_ms")
    output.table(
        ("job", "state", *(name.replace("_", " ") for name in columns)),
        [(job.name, state, *(told.get(name) for name in columns))],
        numbers=len(columns),
    )
    if told.get("error"):
        output.note(f"{job.name}: {told['error']}")
    elif run.state == "failed":
        output.note(f"{job.name}: the run failed without a report; see {link}")


__all__ = ["command"]
