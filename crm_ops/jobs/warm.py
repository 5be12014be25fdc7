"""The job `warm_caches`: sharing rules, facet counts and aggregates of every tenant into Redis.

Figures that were never counted for a tenant are counted first, so that a warm cache is a full one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_ops.base import database, names, results, store
from crm_ops.base.results import Done
from crm_ops.fold import aggregates as declared
from crm_ops.fold import rebuild
from crm_ops.fold.rows import Counted
from crm_ops.jobs import counting
from crm_ops.jobs.work import Request, Tools, Work
from crm_ops.publish import aggregates, facets
from crm_ops.sharing import signing, warm
from crm_ops.sources import check, tenants

# Few tasks, each of them short: some seconds.
_TENANTS_PER_BATCH = 2_000


def plan(request: Request, tools: Tools) -> list[Work]:
    """Batches of tenants; each warms all entities asked for."""
    store.check(tools.redis)
    signing.required(tools.signing_key)
    asked = counting.entities(request, tools.catalog, tools.catalog.entities)
    with database.transaction(tools.engine) as connection:
        check.check(connection, tools.loaded)
        chosen = tenants.chosen(connection, tools.catalog, request.tenants)
    counting.require(chosen)
    starts = range(0, len(chosen), _TENANTS_PER_BATCH)
    groups = [chosen[at : at + _TENANTS_PER_BATCH] for at in starts]
    return [
        Work(
            label=f"tenants {at + 1} to {at + len(group)} of {len(chosen)}",
            arguments={"entities": asked, "tenants": group},
        )
        for at, group in zip(starts, groups, strict=True)
    ]


def do(arguments: Mapping[str, Any], tools: Tools, *, dry_run: bool) -> Done:
    """Warm a batch's tenants; safe to repeat."""
    chosen: list[str] = arguments["tenants"]
    parts = [_sharing(tools, arguments["entities"], chosen, dry_run=dry_run)]
    for name in arguments["entities"]:
        counted = counting.entity(tools, name)
        parts.append(_facets(tools, counted, chosen, dry_run=dry_run))
        parts.append(_aggregates(tools, counted, chosen, dry_run=dry_run))
    failed = {tenant for part in parts for tenant in part.failures}
    return results.total(parts, tenants=len(chosen) - len(failed))


def conclude(done: Done, request: Request, tools: Tools) -> str | None:
    """Fail where Redis does not hold what was written, or nothing guards what is remembered."""
    if done.details.get("sharing_triggers_missing"):
        return (
            "triggers that say when sharing changes are missing or switched off, so nothing of it"
            " is remembered; install them again with `crm-ops catalog apply`"
        )
    if request.dry_run:
        return None
    lacking = [
        f"{done.details[f'{kind}_present']:,} of {done.details[f'{kind}_wanted']:,} {kind} values"
        for kind in ("sharing", "facets", "aggregates")
        if done.details.get(f"{kind}_present", 0) < done.details.get(f"{kind}_wanted", 0)
    ]
    if not lacking:
        return None
    return (
        f"Redis at {store.address(tools.redis)} holds only {', '.join(lacking)} right after they"
        " were written; see its maxmemory and eviction policy"
    )


def _sharing(
    tools: Tools, entities: Sequence[str], chosen: Sequence[str], *, dry_run: bool
) -> Done:
    warmed = warm.warm(
        tools.engine,
        tools.redis,
        tools.catalog,
        chosen,
        entities,
        signing_key=tools.signing_key,
        now=tools.clock(),
        dry_run=dry_run,
    )
    return Done(
        rows_seen=warmed.rules,
        figures_written=warmed.written,
        failures=warmed.failures,
        details={
            "sharing_wanted": warmed.pairs,
            "sharing_present": warmed.present,
            "sharing_bytes": warmed.bytes_written,
            "sharing_rules_broken": warmed.broken_rules,
            "sharing_repaired": len(warmed.repaired),
            "sharing_triggers_missing": len(warmed.unguarded),
        },
    )


def _facets(tools: Tools, counted: Counted, chosen: Sequence[str], *, dry_run: bool) -> Done:
    never = counting.never_counted(tools, "facets", counted.name, chosen)
    found = rebuild.facet_counts(tools.engine, counted, never, dry_run=dry_run)
    ready = [tenant for tenant in chosen if tenant not in found.failures]
    keys = [names.facets_key(counted.name, tenant) for tenant in ready]
    values = size = 0
    if not dry_run:
        written = facets.publish(
            tools.engine, tools.redis, counted.name, counted.entity, ready, now=tools.clock()
        )
        values, size = written.values, written.bytes
    return _published("facets", found, values, size, keys, tools)


def _aggregates(tools: Tools, counted: Counted, chosen: Sequence[str], *, dry_run: bool) -> Done:
    named = list(declared.of_entity(counted))
    if not named:
        return Done()
    never = counting.never_counted(tools, "aggregates", counted.name, chosen)
    found = rebuild.aggregate_figures(tools.engine, counted, never, dry_run=dry_run)
    ready = [tenant for tenant in chosen if tenant not in found.failures]
    keys = [names.aggregates_key(name, tenant) for name in named for tenant in ready]
    values = size = 0
    for name in () if dry_run else named:
        written = aggregates.publish(
            tools.engine, tools.redis, name, counted.name, ready, now=tools.clock()
        )
        values, size = values + written.values, size + written.bytes
    return _published("aggregates", found, values, size, keys, tools)


def _published(
    kind: str, found: rebuild.Rebuilt, values: int, size: int, keys: Sequence[str], tools: Tools
) -> Done:
    with store.translated(tools.redis):
        present = int(tools.redis.exists(*keys)) if keys else 0
    return Done(
        rows_seen=found.rows_seen,
        figures_written=values,
        failures=found.failures,
        details={f"{kind}_wanted": len(keys), f"{kind}_present": present, f"{kind}_bytes": size},
    )


__all__ = ["conclude", "do", "plan"]
