"""Proves served figures, and repairs those that differ by counting their tenants anew."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from crm_ops.base import database, errors
from crm_ops.fold import refresh, verify
from crm_ops.fold import repair as mend
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
    values were missing or older there. `unproved` says why the figures could not be compared with
    the rows. Of `repaired` tenants what differed was counted anew.
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

    With `repair` the facets and aggregates that differ, of the tenants of which they do, are
    counted anew and published again.
    """
    compared = verify.compare(tools.engine, counted, chosen)
    asked = chosen if compared.unproved else compared.tenants
    redis = served.compare(tools.engine, tools.redis, counted, asked)
    differences = (*compared.differences, *redis.differences)
    wrong = sorted({each.tenant for each in differences})
    if repair and wrong:
        _repair(counted, differences, wrong, tools)
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


def _repair(
    counted: Counted, differences: Sequence[Difference], wrong: Sequence[str], tools: Tools
) -> None:
    if not mend.figures(tools.engine, counted, differences):
        verify.distrust(tools.engine, counted, wrong)
    failures: dict[str, str] = {}
    for kind in KINDS:
        missing = refresh.uncaptured(tools.engine, counted, wrong)
        failures |= figures.count(kind, counted, missing, tools, dry_run=False).failures
    if failures:
        raise errors.TenantsFailed(failures)
    # What Redis has may say of itself that it is newer than ours can be.
    spoiled = sorted({each.tenant for each in differences if each.place == "redis"})
    latest.withdraw(tools.redis, counted, spoiled)
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


__all__ = ["Proof", "of_entity", "prove"]
