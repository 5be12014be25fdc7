"""The job `warm_caches`: sharing rules, facet counts and aggregates of every tenant into Redis.

Figures that were never counted for a tenant are counted first, so that a warm cache is a full one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from crm_ops.base import database, names, results, store
from crm_ops.base.results import Done
from crm_ops.fold import aggregates as declared
from crm_ops.fold import verify
from crm_ops.fold.definition import KINDS, Kind
from crm_ops.fold.rows import Counted
from crm_ops.jobs import counting, figures, proof, verification
from crm_ops.jobs.work import Request, Tools, Work
from crm_ops.publish import latest, writer
from crm_ops.sharing import signing, warm
from crm_ops.sources import check, tenants

# Few tasks, each of them short: some seconds.
_TENANTS_PER_BATCH = 2_000
# Each night a batch proves so many of its tenants, those first whose proof is oldest: each has its
# turn within a month, and a night's work is a thirtieth of counting everything.
_NIGHTS = 30
_FEWEST_PROVED = 3


def plan(request: Request, tools: Tools) -> list[Work]:
    """Batches of tenants; each warms all entities asked for."""
    verification.refuse(request, "warm_caches")
    store.check(tools.redis)
    if tools.catalog.sharing is not None:
        signing.required(tools.signing_key)
    asked = counting.entities(request, tools.catalog, tools.catalog.entities)
    with database.transaction(tools.engine) as connection:
        check.check(connection, tools.loaded)
        chosen = tenants.chosen(connection, tools.catalog, request.tenants)
        counting.require(chosen)
        counting.require_visible(connection, tools.catalog, asked)
    starts = range(0, len(chosen), _TENANTS_PER_BATCH)
    groups = [chosen[at : at + _TENANTS_PER_BATCH] for at in starts]
    return [
        Work(
            label=f"caches: tenants {at + 1} to {at + len(group)} of {len(chosen)}",
            arguments={"entities": asked, "tenants": group},
        )
        for at, group in zip(starts, groups, strict=True)
    ]


def do(arguments: Mapping[str, Any], tools: Tools, *, dry_run: bool) -> Done:
    """Warm a batch's tenants; safe to repeat."""
    chosen: list[str] = arguments["tenants"]
    sharing, named = _sharing(tools, arguments["entities"], chosen, dry_run=dry_run)
    parts = [sharing]
    for name in arguments["entities"]:
        counted = counting.entity(tools, name)
        parts += [_figures(tools, kind, counted, chosen, dry_run=dry_run) for kind in KINDS]
        if not dry_run:
            parts.append(_proved(tools, counted, chosen))
    failed = {tenant for part in parts for tenant in part.failures}
    done = results.total(parts, tenants=len(chosen) - len(failed))
    # Sums go into the run; names stay with the batch.
    return replace(done, details={**done.details, **named})


def conclude(done: Done, request: Request, tools: Tools) -> str | None:
    """Fail where a figure had drifted, nothing guards sharing, or Redis is full."""
    if done.details.get("sharing_triggers_missing"):
        return (
            "triggers that say when sharing changes are missing or switched off, so nothing of it"
            " is remembered; install them again with `crm-ops catalog apply`"
        )
    if request.dry_run:
        return None
    if done.details.get("differing_figures"):
        return (
            f"{done.details['differing_figures']:,} served figures differed from a count of the"
            f" rows; {done.details['repaired_tenants']:,} tenants were counted anew. Changes were"
            " made past our triggers: see docs/troubleshooting.md"
        )
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
) -> tuple[Done, dict[str, Any]]:
    """What was warmed, and by name what was repaired or is wrong."""
    if tools.catalog.sharing is None:
        return Done(), {}
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
    done = Done(
        rows_seen=warmed.rules,
        figures_written=warmed.written,
        failures=warmed.failures,
        details={
            "sharing_wanted": warmed.wanted,
            "sharing_present": warmed.present,
            "sharing_bytes": warmed.bytes_written,
            "sharing_rules_broken": warmed.broken_rules,
            "sharing_repaired": len(warmed.repaired),
            "sharing_epochs_moved": warmed.moved,
            "sharing_triggers_missing": len(warmed.unguarded),
        },
    )
    return done, {
        "sharing_repairs": dict(warmed.repaired),
        "sharing_broken": [asdict(each) for each in warmed.broken],
    }


def _figures(
    tools: Tools, kind: Kind, counted: Counted, chosen: Sequence[str], *, dry_run: bool
) -> Done:
    """Publish all figures of a kind, after what was never counted is."""
    if kind == "aggregates" and not declared.of_entity(counted):
        return Done()
    never = counting.never_counted(tools, kind, counted.name, chosen)
    found = figures.count(kind, counted, never, tools, dry_run=dry_run)
    ready = [tenant for tenant in chosen if tenant not in found.failures]
    written = writer.Written()
    if not dry_run:
        written = latest.publish(
            tools.engine,
            tools.redis,
            counted,
            kind,
            ready,
            now=tools.clock(),
            everything=True,
            signing_key=tools.signing_key,
        )
    keys = _keys(kind, counted, ready)
    with store.translated(tools.redis):
        present = int(tools.redis.exists(*keys)) if keys else 0
    return Done(
        rows_seen=found.rows_seen,
        figures_written=written.values,
        failures=found.failures,
        details={
            f"{kind}_wanted": len(keys),
            f"{kind}_present": present,
            f"{kind}_bytes": written.bytes,
        },
    )


def _keys(kind: Kind, counted: Counted, chosen: Sequence[str]) -> list[str]:
    """The keys under which Redis holds the figures of some tenants."""
    if kind == "facets":
        return [names.facets_key(counted.name, tenant) for tenant in chosen]
    return [
        names.aggregates_key(name, tenant)
        for name in declared.of_entity(counted)
        for tenant in chosen
    ]


def _proved(tools: Tools, counted: Counted, chosen: Sequence[str]) -> Done:
    """Prove the figures of a few tenants, night after night of others, and repair what drifted."""
    count = max(_FEWEST_PROVED, math.ceil(len(chosen) / _NIGHTS))
    sample = verify.oldest(tools.engine, counted, chosen, count)
    found = proof.of_entity(counted, sample, tools, repair=True)
    differing = {f"differing_figures.{counted.name}": len(found.differences)}
    return Done(
        details={
            # Zero says that they agreed, a missing one that none was compared.
            **(differing if found.tenants else {}),
            "proved_tenants": found.tenants,
            "proved_figures": found.figures,
            "differing_figures": len(found.differences),
            "repaired_tenants": len(found.repaired),
        }
    )


__all__ = ["conclude", "do", "plan"]
