"""The job `precompute_aggregates`: exact figures of every aggregate, stored and published."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crm_ops.base.results import Done
from crm_ops.jobs import counting, figures, verification
from crm_ops.jobs.work import Request, Tools, Work


def plan(request: Request, tools: Tools) -> list[Work]:
    """The changes, and batches of tenants to count anew, of each entity that has aggregates."""
    if request.mode == "verify":
        return verification.plan(request, tools, _able(tools))
    return counting.plan(request, tools, "aggregates", _able(tools))


def do(arguments: Mapping[str, Any], tools: Tools, *, dry_run: bool) -> Done:
    """Bring a batch's figures up to date and publish what changed; safe to repeat."""
    if arguments.get("verify"):
        return verification.do(arguments, tools)
    return figures.do("aggregates", arguments, tools, dry_run=dry_run)


def conclude(_done: Done, _request: Request, _tools: Tools) -> str | None:
    """Nothing to add: figures are exact, or their batch failed."""
    return None


def _able(tools: Tools) -> set[str]:
    return {aggregate.entity for aggregate in tools.catalog.aggregates.values()}


__all__ = ["conclude", "do", "plan"]
