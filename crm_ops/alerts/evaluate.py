"""Compares what is wrong with what is known to be: opens what is new, closes what is over.

Safe to repeat and beside itself: an incident is open once by a unique index, and only the one who
opens or closes it adds messages, in the same transaction.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from crm_ops.alerts import runs, world
from crm_ops.alerts.incident import Incident, Occasion, key
from crm_ops.alerts.runs import Run
from crm_ops.alerts.world import World
from crm_ops.base import database, sql, statements
from crm_ops.catalog import alerts
from crm_ops.catalog.catalog import Catalog

_log = logging.getLogger(__name__)

# These are measured at every evaluation; the others are told by the runs of a job.
_MEASURED = ("stale", "runway")


@dataclass(frozen=True)
class Evaluated:
    """The keys of the incidents that were opened, and of those that were closed."""

    opened: tuple[str, ...] = ()
    recovered: tuple[str, ...] = ()


def evaluate(
    engine: sa.Engine,
    catalog: Catalog,
    occasion: Occasion,
    found: World | None,
    now: datetime,
) -> Evaluated:
    """Bring the record of incidents up to what the ledger, the scheduler and the world say.

    Where the world could not be measured, what it told before stands.

    Incidents of runs are opened for the run of the occasion alone: another job's may be about to
    try again. They are closed by the newest run that was asked for everything.
    """
    with database.transaction(engine) as connection:
        run = runs.of_occasion(connection, occasion)
        measured = world.incidents(found, catalog, occasion.page) if found else []
        told = runs.incidents(run, catalog, occasion.link) if run else []
        wrong = [*measured, *told, *runs.by_scheduler(occasion, run)]
        standing = {each.key for each in measured} if found else None
        recovered = _close(connection, catalog, standing, now)
        opened = _open(connection, catalog, wrong, now)
    for incident in opened:
        _log.error(incident.message, extra={"action": "alert_opened", "incident": incident.key})
    for name in recovered:
        _log.info("%s is over", name, extra={"action": "alert_recovered", "incident": name})
    return Evaluated(tuple(each.key for each in opened), recovered)


def _open(
    connection: sa.Connection, catalog: Catalog, wrong: Iterable[Incident], now: datetime
) -> list[Incident]:
    load = statements.load("crm_ops.alerts")
    opened = []
    # In order of their keys, so that two evaluations cannot wait for each other.
    for incident in sorted(wrong, key=lambda each: each.key):
        row = sql.run(
            connection,
            load["open"],
            incident=incident.key,
            kind=incident.kind,
            subject=incident.subject,
            message=incident.message,
            now=now,
        ).first()
        if row is None:
            continue
        opened.append(incident)
        for channel in catalog.alerts.channels:
            for recipient in channel.recipients:
                sql.run(
                    connection,
                    load["announce"],
                    alert_id=row.id,
                    channel=alerts.name(channel),
                    recipient=recipient,
                    now=now,
                )
    return opened


def _close(
    connection: sa.Connection, catalog: Catalog, measured: AbstractSet[str] | None, now: datetime
) -> tuple[str, ...]:
    load = statements.load("crm_ops.alerts")
    last = runs.last_whole(connection)
    told = {job: {each.key for each in runs.incidents(run, catalog)} for job, run in last.items()}
    closed = []
    for alert in sql.run(connection, load["standing"]).all():
        if alert.kind in _MEASURED:
            over = measured is not None and alert.incident not in measured
        elif alert.kind == "drift":
            over = _proved_since(alert, last.values())
        else:
            over = _succeeded_since(alert, last, told)
        if over and sql.run(connection, load["recover"], id=alert.id, now=now).first():
            closed.append(alert.incident)
    return tuple(closed)


def _proved_since(alert: Any, last: Iterable[Run]) -> bool:
    """Whether an entity's figures were compared after the drift was announced, and all agreed."""
    name = f"{runs.DRIFT}{alert.subject}"
    return any(run.details.get(name) == 0 and _ended_since(run, alert) for run in last)


def _succeeded_since(alert: Any, last: Mapping[str, Run], told: Mapping[str, set[str]]) -> bool:
    """Whether a later run of the job neither failed nor says the same again."""
    run = last.get(alert.subject)
    if run is None or not _ended_since(run, alert):
        return False
    return told[run.job].isdisjoint({alert.incident, key("failed", run.job)})


def _ended_since(run: Run, alert: Any) -> bool:
    return run.finished_at is not None and run.finished_at > alert.opened_at


__all__ = ["Evaluated", "evaluate"]
