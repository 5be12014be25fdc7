"""The job `precompute_aggregates`: exact figures of every aggregate, stored and published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_ops.base.results import Done
from crm_ops.fold import aggregates as declared
from crm_ops.fold import rebuild
from crm_ops.jobs import counting
from crm_ops.jobs.work import Request, Tools, Work
from crm_ops.publish import aggregates


def plan(request: Request, tools: Tools) -> list[Work]:
    """Batches of tenants of each entity that has aggregates."""
    return counting.plan(request, tools, "aggregates", _able(tools))


def do(arguments: Mapping[str, Any], tools: Tools, *, dry_run: bool) -> Done:
    """Count a batch's tenants and publish what was counted; safe to repeat."""
    counted = counting.entity(tools, arguments["entity"])
    found = rebuild.aggregate_figures(tools.engine, counted, arguments["tenants"], dry_run=dry_run)
    values = size = 0
    for name in () if dry_run else declared.of_entity(counted):
        published = aggregates.publish(
            tools.engine, tools.redis, name, counted.name, found.tenants, now=tools.clock()
        )
        values, size = values + published.values, size + published.bytes
    return Done(
        rows_seen=found.rows_seen,
        figures_written=found.figures_written,
        tenants=len(found.tenants),
        failures=found.failures,
        details={
            f"rows.{counted.name}": found.rows_seen,
            "published_values": values,
            "published_bytes": size,
        },
    )


def conclude(_done: Done, _request: Request, _tools: Tools) -> str | None:
    """Nothing to add: figures are exact, or their batch failed."""
    return None


def _able(tools: Tools) -> set[str]:
    return {aggregate.entity for aggregate in tools.catalog.aggregates.values()}


__all__ = ["conclude", "do", "plan"]
