"""Proves served figures, and repairs those that differ by counting their tenants anew."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from crm_ops.base import database
from crm_ops.fold import refresh, verify
from crm_ops.fold.definition import KINDS
from crm_ops.fold.rows import Counted
from crm_ops.fold.verify import Difference
from crm_ops.jobs import counting, figures
from crm_ops.jobs.work import Request, Tools
from crm_ops.publish import latest
from crm_ops.publish import verify as served
from crm_ops.sources import tenants


@dataclass(frozen=True)
class Proof:
    """What was compared for one entity.

    `figures` were compared with a count of the rows, `values` of Redis with the figures; `behind`
    values were missing or older there. `unproved` says why nothing could be compared. `repaired`
    tenants were counted anew.
    """

    entity: str
    tenants: int
    figures: int
    values: int
    behind: int
    differences: tuple[Difference, ...]
    unproved: str | None
    repaired: tuple[str, ...]


def prove(
    request: Request, tools: Tools, *, share: float = 1.0, repair: bool = False
) -> list[Proof]:
    """Compare the figures asked for, of a random `share` of the tenants."""
    with database.transaction(tools.engine) as connection:
        chosen = tenants.chosen(connection, tools.catalog, request.tenants)
    counting.require(chosen)
    wanted = max(1, round(len(chosen) * share))
    sample = sorted(random.sample(chosen, wanted), key=chosen.index)
    return [
        of_entity(counting.entity(tools, name), sample, tools, repair=repair)
        for name in counting.entities(request, tools.catalog, tools.catalog.entities)
    ]


def of_entity(counted: Counted, chosen: Sequence[str], tools: Tools, *, repair: bool) -> Proof:
    """Compare the figures of some tenants of an entity with the rows, and Redis with the figures.

    With `repair` tenants of which a figure differs are counted anew and published again.
    """
    compared = verify.compare(tools.engine, counted, chosen)
    redis = served.compare(tools.engine, tools.redis, counted, compared.tenants)
    differences = (*compared.differences, *redis.differences)
    wrong = sorted({each.tenant for each in differences})
    if repair and wrong:
        verify.distrust(tools.engine, counted, wrong)
        missing = refresh.uncaptured(tools.engine, counted, wrong)
        figures.count("facets", counted, missing, tools, dry_run=False)
        for kind in KINDS:
            latest.publish(
                tools.engine,
                tools.redis,
                counted,
                kind,
                wrong,
                now=tools.clock(),
                everything=True,
                signing_key=tools.signing_key,
            )
    return Proof(
        counted.name,
        len(compared.tenants),
        compared.figures,
        redis.values,
        redis.behind,
        differences,
        compared.unproved,
        tuple(wrong) if repair else (),
    )


__all__ = ["Proof", "of_entity", "prove"]
