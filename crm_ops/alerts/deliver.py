"""Sends the messages that wait, one at a time, and records for each whether it arrived.

A message is claimed, sent, recorded. Whoever is killed between sending and recording leaves it to
be sent again: at least once. A receiver that knows a message by its id takes it once.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, Protocol

import sqlalchemy as sa

from crm_ops.alerts import text
from crm_ops.base import database, errors, sql, statements
from crm_ops.catalog import alerts
from crm_ops.catalog.alerts import Channel

_log = logging.getLogger(__name__)

# Longer than any channel takes to give up.
_LEASE = timedelta(minutes=5)
_FIRST_PAUSE = timedelta(minutes=1)
_LONGEST_PAUSE = timedelta(minutes=30)
# Whoever was not reached for a day is not helped by what was true then.
_GIVE_UP_AFTER = timedelta(hours=24)


@dataclass(frozen=True)
class Message:
    """One message as a channel sends it.

    `id` is the same at every attempt; `thread` is that of the message that opened the incident.
    """

    id: str
    thread: str
    phase: Literal["opened", "recovered"]
    incident: str
    kind: str
    subject: str
    title: str
    text: str
    opened_at: datetime
    recovered_at: datetime | None


class Send(Protocol):
    """Sends one message."""

    def __call__(self, channel: Channel, recipient: str, message: Message, /) -> None:
        """Send it; raise NotDelivered, without a secret in its text, where that fails."""


@dataclass(frozen=True)
class Delivered:
    """How many messages were delivered, failed at this attempt, and still wait."""

    delivered: int
    failed: int
    pending: int


def deliver(
    engine: sa.Engine, channels: Sequence[Channel], send: Send, clock: Callable[[], datetime]
) -> Delivered:
    """Send what is due; a channel that fails is left alone until the next call."""
    known = {(alerts.name(each), to): each for each in channels for to in each.recipients}
    delivered = 0
    down: list[str] = []
    failed = 0
    while claimed := _claim(engine, clock(), down):
        channel = known.get((claimed.channel, claimed.recipient))
        if channel is None:
            _give_up(engine, claimed, "the catalog does not name this channel any more", clock())
            continue
        try:
            send(channel, claimed.recipient, _message(claimed))
        except errors.NotDelivered as error:
            failed += 1
            down.append(claimed.channel)
            _postpone(engine, claimed, str(error), clock())
            continue
        delivered += 1
        _run(engine, "delivered", id=claimed.id, now=clock())
    with database.transaction(engine) as connection:
        pending = sql.run(connection, _sql("pending")).scalar_one()
    return Delivered(delivered, failed, int(pending))


def _claim(engine: sa.Engine, now: datetime, down: Sequence[str]) -> Any:
    with database.transaction(engine) as connection:
        values = {"now": now, "until": now + _LEASE, "skip": list(down)}
        return sql.run(connection, _sql("claim"), values).first()


def _message(claimed: Any) -> Message:
    # The database's own numbers may begin again; with the moment they do not repeat.
    thread = f"crm-ops.{claimed.alert_id}.{int(claimed.opened_at.timestamp())}"
    title, body = text.title(claimed.message), text.body(claimed.message)
    if claimed.phase == "recovered":
        title = f"Recovered: {title}"
        over = f"Over since: {text.moment(claimed.recovered_at)}"
        body = f"{over}\nOpened: {text.moment(claimed.opened_at)}\n\nIt was:\n{body}"
    return Message(
        id=f"{thread}.{claimed.phase}",
        thread=f"{thread}.opened",
        phase=claimed.phase,
        incident=claimed.incident,
        kind=claimed.kind,
        subject=claimed.subject,
        title=title,
        text=body,
        opened_at=claimed.opened_at,
        recovered_at=claimed.recovered_at if claimed.phase == "recovered" else None,
    )


def _postpone(engine: sa.Engine, claimed: Any, error: str, now: datetime) -> None:
    began = claimed.opened_at if claimed.phase == "opened" else claimed.recovered_at
    if now - began > _GIVE_UP_AFTER:
        _give_up(engine, claimed, error, now)
        return
    pause = min(_FIRST_PAUSE * 2 ** min(claimed.attempts - 1, 10), _LONGEST_PAUSE)
    _log.error(
        "an alert did not reach %s by %s at attempt %s: %s; it is tried again",
        claimed.recipient,
        claimed.channel,
        claimed.attempts,
        error,
        extra={"action": "alert_not_delivered", "incident": claimed.incident},
    )
    values = {"id": claimed.id, "state": "pending", "error": error, "next": now + pause}
    _run(engine, "not_delivered", **values)


def _give_up(engine: sa.Engine, claimed: Any, error: str, now: datetime) -> None:
    _log.error(
        "an alert to %s by %s is given up: %s",
        claimed.recipient,
        claimed.channel,
        error,
        extra={"action": "alert_given_up", "incident": claimed.incident},
    )
    _run(engine, "not_delivered", id=claimed.id, state="failed", error=error, next=now)


def _run(engine: sa.Engine, name: str, **values: Any) -> None:
    with database.transaction(engine) as connection:
        sql.run(connection, _sql(name), values)


def _sql(name: str) -> str:
    return statements.load("crm_ops.alerts")[name]


__all__ = ["Delivered", "Message", "Send", "deliver"]
