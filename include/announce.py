"""Looks at how things are, keeps the record of incidents, and tells people what is new or over.

It never fails a job: what cannot be evaluated or delivered is logged as an error, and the next
evaluation, minutes later, makes up for it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime

import sqlalchemy as sa

from crm_ops.alerts import deliver, evaluate, text, world
from crm_ops.alerts.deliver import Message
from crm_ops.alerts.incident import Occasion, key
from crm_ops.alerts.world import World
from crm_ops.base import database, errors, names, settings, store
from crm_ops.catalog import load
from crm_ops.catalog.alerts import Channel
from crm_ops.catalog.catalog import Catalog
from include import channels, connections

_log = logging.getLogger(__name__)

# While nothing can be recorded, the same is said once in so long.
_REPEATED_AFTER_S = 3_600


def with_tools(
    engine: sa.Engine,
    catalog: Catalog,
    occasion: Occasion,
    found: World | None,
    clock: Callable[[], datetime],
) -> None:
    """Evaluate and deliver; raise what stops the evaluation, not what stops a delivery."""
    evaluate.evaluate(engine, catalog, occasion, found, clock())
    deliver.deliver(engine, catalog.alerts.channels, channels.send, clock)


def measured(engine: sa.Engine, catalog: Catalog, clock: Callable[[], datetime]) -> World | None:
    """How things are; None, and an error in the log, where a table of the CRM cannot be read."""
    try:
        return world.read(engine, catalog, clock())
    except errors.CrmOpsError as error:
        _log.error("lag and runway are not known: %s", error, extra={"action": "alerts_failed"})
        return None


def alone(occasion: Occasion) -> None:
    """The same for whoever has nothing open; without a database or catalog people are told still.

    What then cannot be recorded is told once an hour for each incident, with no word when it is
    over.
    """
    try:
        _evaluate(occasion)
    except errors.CrmOpsError as error:
        _log.error("alerts cannot be recorded: %s", error, extra={"action": "alerts_failed"})
        _unrecorded(occasion, error)


def _evaluate(occasion: Occasion) -> None:
    catalog = load.load(settings.catalog_path(os.environ)).catalog
    engine = connections.engine(database.Limits(statement_timeout_ms=30_000))
    try:
        with_tools(engine, catalog, occasion, measured(engine, catalog, _now), _now)
    finally:
        engine.dispose()


def _unrecorded(occasion: Occasion, error: errors.CrmOpsError) -> None:
    try:
        declared = load.alerts(settings.catalog_path(os.environ)).channels
    except errors.CatalogError as wrong:
        _log.error("nobody can be told: %s", wrong, extra={"action": "alerts_failed"})
        return
    message = _message(occasion, error)
    if not _first_this_hour(message.incident):
        return
    told = [
        _sent(channel, recipient, message)
        for channel in declared
        for recipient in channel.recipients
    ]
    if declared and not any(told):
        _forget(message.incident)


def _message(occasion: Occasion, error: errors.CrmOpsError) -> Message:
    at = _now()
    late = occasion.event == "late"
    incident = key("late" if late else "failed", occasion.job)
    whole = text.message(
        f"{occasion.job} {'is late' if late else 'failed'}",
        {
            "Run": occasion.link or occasion.run,
            "Since": text.moment(at),
            "Why": occasion.reason,
            "Not recorded": f"{error}",
            "What to do": "remove what is in the way of recording; until then this is said again"
            " every hour, and nothing when it is over",
        },
    )
    name = f"crm-ops.{incident.replace(':', '.')}.{int(at.timestamp())}"
    return Message(
        id=name,
        thread=name,
        phase="opened",
        incident=incident,
        kind=incident.partition(":")[0],
        subject=occasion.job,
        title=text.title(whole),
        text=text.body(whole),
        opened_at=at,
        recovered_at=None,
    )


def _sent(channel: Channel, recipient: str, message: Message) -> bool:
    try:
        channels.send(channel, recipient, message)
    except errors.NotDelivered as failed:
        _log.error(
            "an alert did not reach %s: %s",
            recipient,
            failed,
            extra={"action": "alert_not_delivered", "incident": message.incident},
        )
        return False
    return True


def _first_this_hour(incident: str) -> bool:
    """Whether nobody was told within the hour, as Redis knows; without Redis it is said again."""
    try:
        with connections.redis() as client, store.translated(client):
            name = names.alert_key(incident)
            return bool(client.set(name, "told", nx=True, ex=_REPEATED_AFTER_S))
    except errors.CrmOpsError as error:
        _log.warning("who was told is not known: %s", error, extra={"action": "alerts_failed"})
        return True


def _forget(incident: str) -> None:
    """Nobody was reached: the next failure is to be said."""
    try:
        with connections.redis() as client, store.translated(client):
            client.unlink(names.alert_key(incident))
    except errors.CrmOpsError as error:
        _log.warning("who was told is not known: %s", error, extra={"action": "alerts_failed"})


def _now() -> datetime:
    return datetime.now(UTC)


__all__ = ["alone", "measured", "with_tools"]
