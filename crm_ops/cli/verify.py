"""`crm-ops verify`: proves served figures by counting from scratch."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from crm_ops.cli import exits, options, output, tools
from crm_ops.jobs import proof
from crm_ops.jobs.proof import Proof
from crm_ops.jobs.work import Request

_SHOWN = 50


def command(
    entity: options.Entities = None,
    tenant: options.Tenants = None,
    sample: Annotated[
        float,
        typer.Option("--sample", min=0, max=100, help="Only so many percent of the tenants."),
    ] = 100.0,
    repair: Annotated[
        bool, typer.Option("--repair", help="Count anew the facets and aggregates that differ.")
    ] = False,
    as_json: options.Json = False,
    database_url: options.DatabaseUrl = None,
    redis_url: options.RedisUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """Compare figures, in our tables and in Redis, with the rows; exit 3 where one differs.

    Also where an entity whose changes should be captured cannot be proved because they are not.
    """
    request = Request(tuple(entity or ()), tuple(tenant or ()))
    with tools.opened(tools.settings_from(database_url, redis_url, catalog)) as opened:
        proofs = proof.prove(request, opened, share=sample / 100, repair=repair)
        declared = opened.catalog.entities
    drift = any(each.differences for each in proofs)
    missed = any(each.unproved and declared[each.entity].capture == "trigger" for each in proofs)
    if as_json:
        output.json({"drift": drift, "entities": msgspec.to_builtins(proofs)})
    else:
        _show(proofs)
    raise typer.Exit(exits.UNHEALTHY if drift or missed else exits.DONE)


def _show(proofs: list[Proof]) -> None:
    output.table(
        ("entity", "state", "tenants", "figures", "values in Redis", "behind", "differing"),
        [
            (
                each.entity,
                "drift" if each.differences else "not proved" if each.unproved else "exact",
                each.tenants,
                each.figures,
                each.values,
                each.behind,
                len(each.differences),
            )
            for each in proofs
        ],
        numbers=5,
    )
    cells = [cell for each in proofs for cell in each.differences]
    if cells:
        output.table(
            ("entity", "tenant", "place", "of", "bucket", "served", "right"),
            [
                (c.entity, c.tenant, c.place, c.name or "total", c.bucket, c.served, c.counted)
                for c in cells[:_SHOWN]
            ],
            numbers=2,
        )
    if len(cells) > _SHOWN:
        output.note(f"and {len(cells) - _SHOWN:,} more; --json shows all")
    for each in proofs:
        if each.unproved:
            output.note(f"{each.entity}: not proved: {each.unproved}")
        if each.repaired:
            output.note(f"{each.entity}: counted anew: {', '.join(each.repaired)}")


__all__ = ["command"]
