"""A run that only compares: served figures with a count of the rows, tenant by tenant.

It changes no figure. A tenant of which one differs has failed, and the ledger says where.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from crm_ops.base import database, errors
from crm_ops.base.results import Done
from crm_ops.fold.verify import Difference
from crm_ops.jobs import counting, proof
from crm_ops.jobs.work import Request, Tools, Work
from crm_ops.sources import tenants


def plan(request: Request, tools: Tools, able: Iterable[str]) -> list[Work]:
    """One batch for each entity asked for, of those `able`."""
    if request.dry_run:
        raise errors.ParameterError("a verification changes no figure; leave dry_run out")
    with database.transaction(tools.engine) as connection:
        chosen = tenants.chosen(connection, tools.catalog, request.tenants)
    counting.require(chosen)
    return [
        Work(
            label=f"{name}: verify {len(chosen)} tenant(s)",
            arguments={"entity": name, "tenants": chosen, "verify": True},
        )
        for name in counting.entities(request, tools.catalog, able)
    ]


def do(arguments: Mapping[str, Any], tools: Tools) -> Done:
    """Compare one entity's figures, in our tables and in Redis; safe to repeat.

    Raises ParameterError where nothing can be compared, because changes are not captured.
    """
    counted = counting.entity(tools, arguments["entity"])
    found = proof.of_entity(counted, arguments["tenants"], tools, repair=False)
    if found.unproved:
        raise errors.ParameterError(f"{counted.name} cannot be verified: {found.unproved}")
    return Done(
        rows_seen=found.figures + found.values,
        tenants=found.tenants,
        failures=_failures(found.differences),
        details={
            "proved_tenants": found.tenants,
            "proved_figures": found.figures,
            "proved_values": found.values,
            "differing_figures": len(found.differences),
        },
    )


def refuse(request: Request, job: str) -> None:
    """Raise ParameterError where a job that has no figures is asked to verify them."""
    if request.mode == "verify":
        raise errors.ParameterError(
            f"{job} has no figures to verify; precompute_facets and precompute_aggregates have"
        )


def _failures(differences: Sequence[Difference]) -> dict[str, str]:
    of_tenant: dict[str, list[Difference]] = {}
    for each in differences:
        of_tenant.setdefault(each.tenant, []).append(each)
    return {tenant: _told(found) for tenant, found in of_tenant.items()}


_PLACES = {"redis": "Redis", "table": "our table", "bitmaps": "our bitmaps"}


def _told(found: Sequence[Difference]) -> str:
    first = found[0]
    what = " ".join(filter(None, (first.entity, first.name or "total", first.bucket)))
    return (
        f"{len(found)} figure(s) differ from a count of the rows; the first is {what} in"
        f" {_PLACES[first.place]}: {first.served or 'nothing'}"
        f" instead of {first.counted or 'nothing'}; repair with `crm-ops verify --repair`"
    )


__all__ = ["do", "plan", "refuse"]
