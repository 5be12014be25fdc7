"""`crm-ops status`: the jobs, how fresh the figures are, and the audit log."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Annotated

import msgspec
import typer

from crm_ops.cli import exits, options, output, tools
from crm_ops.jobs import freshness, status


def command(
    tenant: Annotated[
        list[str] | None,
        typer.Option("--tenant", help="Only this tenant's figures, each entity's; repeatable."),
    ] = None,
    as_json: options.Json = False,
    database_url: options.DatabaseUrl = None,
    redis_url: options.RedisUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """Show how things stand; exit 3 where a job never ran or its last run failed."""
    with tools.opened(tools.settings_from(database_url, redis_url, catalog)) as opened:
        found = status.read(opened, tenant or ())
        each = freshness.read(opened, tenant or ()) if as_json or tenant else []
    if as_json:
        output.json(
            {
                **msgspec.to_builtins(found),
                "tenants": msgspec.to_builtins(each),
                "healthy": found.healthy,
            }
        )
    else:
        _show(found)
        if tenant:
            _show_tenants(each)
    raise typer.Exit(exits.DONE if found.healthy else exits.UNHEALTHY)


def _show(found: status.Status) -> None:
    _show_jobs(found)
    output.table(
        ("figures", "entity", "exact as of (UTC)", "proved (UTC)", "tenants", "rows"),
        [
            (each.kind, each.entity, each.as_of, each.proved_at, each.tenants, each.counted)
            for each in found.freshness
        ],
        numbers=2,
    )
    _show_capture(found)
    _show_audit(found)
    for name, run in found.jobs.items():
        if run is not None and run.error:
            output.note(f"{name}: {run.error}")


def _show_jobs(found: status.Status) -> None:
    never = ("never ran", None, None, None, None, None, None)
    headings = (
        "job",
        "state",
        "last run (UTC)",
        "last success (UTC)",
        "tenants",
        "rows seen",
        "figures written",
        "took ms",
    )
    rows = [
        (name, *never)
        if run is None
        else (
            name,
            run.state,
            run.started_at,
            run.last_success_at,
            run.tenants,
            run.rows_seen,
            run.figures_written,
            run.took_ms,
        )
        for name, run in found.jobs.items()
    ]
    output.table(headings, rows, numbers=4)


def _show_capture(found: status.Status) -> None:
    output.table(
        ("changes of", "captured", "oldest not applied (UTC)", "waiting"),
        [
            (each.entity, each.problem is None, each.oldest_change, each.backlog)
            for each in found.capture
        ],
        numbers=1,
    )
    for each in found.capture:
        if each.problem:
            output.note(f"{each.entity}: {each.problem}")


def _show_audit(found: status.Status) -> None:
    if found.audit is None:
        return
    headings = (
        "audit log",
        "partitions",
        "bytes",
        "rows",
        "in DEFAULT",
        "detached",
        "detached bytes",
        "runway days",
    )
    output.table(headings, [dataclasses.astuple(found.audit)], numbers=7)


def _show_tenants(found: Sequence[freshness.TenantFreshness]) -> None:
    output.table(
        (
            "tenant",
            "entity",
            "exact as of (UTC)",
            "proved (UTC)",
            "oldest not applied (UTC)",
            "waiting",
        ),
        [
            (one.tenant, one.entity, one.as_of, one.proved_at, one.oldest_change, one.backlog)
            for one in found
        ],
        numbers=1,
    )


__all__ = ["command"]
