"""Tells what a run did: figures to Airflow's stats, alerts to people, freshness to its asset."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from airflow.sdk import Asset

from crm_ops.alerts import world
from crm_ops.alerts.incident import Occasion
from crm_ops.alerts.world import World
from crm_ops.base import errors
from crm_ops.base.results import JobResult
from crm_ops.catalog.schedule import JobName
from crm_ops.jobs import ledger
from crm_ops.jobs.work import Tools
from include import announce, figures, links
from include.figures import Figure

_log = logging.getLogger(__name__)

FRESHNESS = "freshness"


def reported(tools: Tools, result: JobResult, *, ledger_id: int, run_id: str) -> World | None:
    """Emit and announce; what fails here is logged and does not change what became of the run.

    Returns how things are, None where that could not be measured.
    """
    job = cast("JobName", result.job)
    occasion = Occasion(
        job=job, event="reported", run=run_id, link=links.run(job, run_id), page=links.page()
    )
    found = announce.measured(tools.engine, tools.catalog, tools.clock)
    try:
        figures.emit(_of_run(tools, result, ledger_id))
        if found is not None:
            figures.emit(_of_world(tools, found))
        announce.with_tools(tools.engine, tools.catalog, occasion, found, tools.clock)
    except errors.CrmOpsError as error:
        _log.error("the run could not be told of: %s", error, extra={"action": "telling_failed"})
    return found


def remember(found: World, assets: Iterable[Asset], states: Mapping[Asset, Any]) -> None:
    """Keep the last freshness in the state of the run's assets, where Airflow shows it."""
    state = {
        "measured_at": _text(found.at),
        "lag_seconds": {name: round(lag.seconds(found.at)) for name, lag in found.lags.items()},
        "changes_waiting": {name: lag.backlog for name, lag in found.lags.items()},
        "runway_days": found.runway_days,
    }
    for asset in assets:
        states[asset].set(FRESHNESS, state)


def _of_run(tools: Tools, result: JobResult, ledger_id: int) -> Iterable[Figure]:
    """The figures of a run, unless it was asked for a part only or for nothing to be written."""
    _, asked = ledger.asked(tools.engine, ledger_id)
    if asked.dry_run or asked.entities or asked.tenants:
        return ()
    failed = {
        tenant for each in ledger.outcomes(tools.engine, ledger_id) for tenant in each.failures
    }
    return figures.of_run(result, len(failed), tools.clock())


def _of_world(tools: Tools, found: World) -> Iterable[Figure]:
    yield from figures.of_world(found)
    if tools.catalog.metrics.tenants:
        yield from figures.of_tenants(world.of_tenants(tools.engine, found))


def _text(at: datetime) -> str:
    return at.isoformat(timespec="seconds")


__all__ = ["FRESHNESS", "remember", "reported"]
