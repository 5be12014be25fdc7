"""The job `precompute_facets`: exact facet counts of every entity, stored and published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_ops.base.results import Done
from crm_ops.fold import rebuild
from crm_ops.jobs import counting
from crm_ops.jobs.work import Request, Tools, Work
from crm_ops.publish import facets, writer


def plan(request: Request, tools: Tools) -> list[Work]:
    """Batches of tenants of each entity."""
    return counting.plan(request, tools, "facets", tools.catalog.entities)


def do(arguments: Mapping[str, Any], tools: Tools, *, dry_run: bool) -> Done:
    """Count a batch's tenants and publish what was counted; safe to repeat."""
    counted = counting.entity(tools, arguments["entity"])
    found = rebuild.facet_counts(tools.engine, counted, arguments["tenants"], dry_run=dry_run)
    published = (
        writer.Written()
        if dry_run
        else facets.publish(
            tools.engine,
            tools.redis,
            counted.name,
            counted.entity,
            found.tenants,
            now=tools.clock(),
        )
    )
    return Done(
        rows_seen=found.rows_seen,
        figures_written=found.figures_written,
        tenants=len(found.tenants),
        failures=found.failures,
        details={
            f"rows.{counted.name}": found.rows_seen,
            "published_values": published.values,
            "published_bytes": published.bytes,
        },
    )


def conclude(_done: Done, _request: Request, _tools: Tools) -> str | None:
    """Nothing to add: figures are exact, or their batch failed."""
    return None


__all__ = ["conclude", "do", "plan"]
