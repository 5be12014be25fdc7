"""`crm-ops up`: servers, demo CRM, Airflow and the four jobs on this machine, from nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import sqlalchemy as sa
import typer

from crm_ops.base import database, settings
from crm_ops.catalog import load
from crm_ops.changes import install
from crm_ops.cli import exits, output, run
from crm_ops.demo import build, sizes
from crm_ops.jobs import registry
from crm_ops.local import layout, services, up
from crm_ops.schema import migrate
from crm_ops.sharing import install as sharing

# Warming counts what was never counted: run last, it finds the others' work.
_ROUNDS: tuple[Mapping[str, str], ...] = (
    {name: job.dag_id for name, job in registry.JOBS.items() if name != "warm_caches"},
    {"warm_caches": registry.JOBS["warm_caches"].dag_id},
)
# What was counted before changes were captured is not to be trusted, and the page would say so
# until these run again.
_COUNTING = {name: dag for name, dag in _ROUNDS[0].items() if name.startswith("precompute_")}


def command(
    once: Annotated[
        bool, typer.Option("--once", help="Run the four jobs once, print the table, stop.")
    ] = False,
    services_only: Annotated[
        bool, typer.Option("--services", help="Only PostgreSQL and Redis; print how to reach them.")
    ] = False,
    size: Annotated[
        str, typer.Option("--size", help=f"Of the demo CRM: {', '.join(sizes.SIZES)}.")
    ] = sizes.SMALL.name,
) -> None:
    """Start PostgreSQL, Redis, a demo CRM and Airflow, run the four jobs, stay until Ctrl-C."""
    if size not in sizes.SIZES:
        raise typer.BadParameter(f"there are {', '.join(sizes.SIZES)}", param_hint="--size")
    place = layout.make(Path.cwd())
    if services_only:
        _services(place)
    else:
        raise typer.Exit(_stack(place, sizes.SIZES[size], once=once))


def _services(place: layout.Layout) -> None:
    with services.up(place, note=_note) as started:
        for name, value in started.exports().items():
            typer.echo(f"export {name}={value}")
        output.note("up; stop it with Ctrl-C")
        started.stay()


def _stack(place: layout.Layout, size: sizes.Size, *, once: bool) -> int:
    with up.stack(
        place,
        prepare=lambda engine: _prepare(engine, size),
        inherited=os.environ,
        note=_note,
    ) as stack:
        results = [result for jobs in _ROUNDS for result in stack.run(jobs)]
        run.show(results)
        begun = _capture(stack.engine)
        if not once:
            results += stack.run(_COUNTING) if begun else []
            output.note(
                f"\nAirflow is at {stack.url}: user admin, password"
                f" {stack.services.credentials.airflow_admin}\nstop everything with Ctrl-C"
            )
            stack.services.stay()
    return exits.of_results(results)


def _prepare(engine: sa.Engine, size: sizes.Size) -> None:
    migrate.upgrade(engine)
    with output.progress() as report:
        made = build.create(engine, size=size, as_of=datetime.now(UTC).date(), progress=report)
    _note("demo CRM", "made" if made.created else "there already")


def _capture(engine: sa.Engine) -> bool:
    """Have the demo CRM's changes captured, so that the runs to come cost what changed.

    False where they are already.
    """
    declared = load.load(settings.catalog_path(os.environ)).catalog
    with database.transaction(engine) as connection:
        steps = install.plan(connection, declared)
    install.apply(engine, steps)
    sharing.apply(engine, declared)
    return bool(steps)


def _note(what: str, state: str) -> None:
    output.note(f"{what}: {state}")


__all__ = ["command"]
