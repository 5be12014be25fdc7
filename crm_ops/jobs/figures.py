"""Does one batch of a counting job: folds the changes or counts tenants anew, then publishes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from crm_ops.base.results import Done
from crm_ops.fold import rebuild, refresh
from crm_ops.fold.definition import Kind
from crm_ops.fold.rebuild import Rebuilt
from crm_ops.fold.rows import Counted
from crm_ops.jobs import counting
from crm_ops.jobs.work import Tools
from crm_ops.publish import latest
from crm_ops.publish.writer import Written

_REBUILDS = {"facets": rebuild.facet_counts, "aggregates": rebuild.aggregate_figures}


def do(kind: Kind, arguments: Mapping[str, Any], tools: Tools, *, dry_run: bool) -> Done:
    """Do one batch; safe to repeat."""
    counted = counting.entity(tools, arguments["entity"])
    tenants: list[str] = arguments["tenants"]
    if arguments.get("fold"):
        return _fold(kind, counted, tenants, arguments["leavers"], tools, dry_run=dry_run)
    found = count(kind, counted, tenants, tools, dry_run=dry_run)
    written = _publish(kind, counted, found.tenants, tools, dry_run=dry_run)
    return _done(counted, found, len(found.tenants), written, {})


def count(
    kind: Kind, counted: Counted, tenants: Sequence[str], tools: Tools, *, dry_run: bool
) -> Rebuilt:
    """Count tenants anew; where changes are captured, both kinds of figures."""
    return _REBUILDS[kind](tools.engine, counted, tenants, dry_run=dry_run)


def _fold(
    kind: Kind,
    counted: Counted,
    tenants: Sequence[str],
    leavers: Sequence[str],
    tools: Tools,
    *,
    dry_run: bool,
) -> Done:
    folded = refresh.fold(tools.engine, counted, dry_run=dry_run)
    drained = folded.drained
    # Between plan and now the log may have been spoiled; then nothing of it was applied.
    anew = tenants if folded.set_aside or folded.unusable else drained.distrusted
    again = count(
        kind, counted, [each for each in anew if each in set(tenants)], tools, dry_run=dry_run
    )
    if leavers and not dry_run:
        latest.withdraw(tools.redis, counted, leavers)
        refresh.forget(tools.engine, counted, leavers)
    exact = [tenant for tenant in tenants if tenant not in again.failures]
    written = _publish(kind, counted, exact, tools, dry_run=dry_run)
    seen = Rebuilt(
        drained.changes + again.rows_seen,
        drained.figures + again.figures_written,
        again.tenants,
        again.failures,
    )
    missing = set(refresh.uncaptured(tools.engine, counted, tenants))
    served = sum(1 for tenant in exact if tenant not in missing)
    details = {
        "changes": drained.changes,
        "touched_tenants": len(drained.tenants),
        "recounted_tenants": drained.recounted,
        "repaired_tenants": len(drained.repairs),
    }
    return _done(counted, seen, served, written, details)


def _publish(
    kind: Kind, counted: Counted, tenants: Sequence[str], tools: Tools, *, dry_run: bool
) -> Written:
    if dry_run:
        return Written()
    return latest.publish(
        tools.engine,
        tools.redis,
        counted,
        kind,
        tenants,
        now=tools.clock(),
        signing_key=tools.signing_key,
    )


def _done(
    counted: Counted, found: Rebuilt, tenants: int, written: Written, details: Mapping[str, int]
) -> Done:
    return Done(
        rows_seen=found.rows_seen,
        figures_written=found.figures_written,
        tenants=tenants,
        failures=found.failures,
        details={
            f"rows.{counted.name}": found.rows_seen,
            "published_values": written.values,
            "published_bytes": written.bytes,
            **details,
        },
    )


__all__ = ["count", "do"]
