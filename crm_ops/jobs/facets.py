"""The job `precompute_facets`: exact facet counts of every entity, stored and published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_ops.base.results import Done
from crm_ops.jobs import counting, figures, verification
from crm_ops.jobs.work import Request, Tools, Work


def plan(request: Request, tools: Tools) -> list[Work]:
    """The changes, and batches of tenants to count anew, of each entity."""
    if request.mode == "verify":
        return verification.plan(request, tools, tools.catalog.entities)
    return counting.plan(request, tools, "facets", tools.catalog.entities)


def do(arguments: Mapping[str, Any], tools: Tools, *, dry_run: bool) -> Done:
    """Bring a batch's figures up to date and publish what changed; safe to repeat."""
    if arguments.get("verify"):
        return verification.do(arguments, tools)
    return figures.do("facets", arguments, tools, dry_run=dry_run)


def conclude(_done: Done, _request: Request, _tools: Tools) -> str | None:
    """Nothing to add: figures are exact, or their batch failed."""
    return None


__all__ = ["conclude", "do", "plan"]
