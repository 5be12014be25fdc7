"""What people were told of: the open alerts and the last closed ones, and whom it reached."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec
import sqlalchemy as sa

from crm_ops.base import sql, statements

_MOST = 20


@dataclass(frozen=True)
class Delivery:
    """One message to one recipient; `phase` says whether of the beginning or of the end."""

    channel: str
    recipient: str
    phase: Literal["opened", "recovered"]
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    delivered_at: datetime | None


@dataclass(frozen=True)
class Incident:
    """One alert; `subject` is the job or the entity it is about, None as `recovered_at`: open."""

    id: int
    kind: str
    subject: str
    message: str
    opened_at: datetime
    recovered_at: datetime | None
    deliveries: tuple[Delivery, ...]


def read(connection: sa.Connection) -> tuple[Incident, ...]:
    """The open incidents, then the others, the newest of each first; no more than a page shows."""
    rows = sql.run(connection, statements.load("crm_ops.jobs")["incidents"], most=_MOST)
    return tuple(_incident(row) for row in rows.mappings())


def _incident(row: Any) -> Incident:
    deliveries = msgspec.convert(row["deliveries"], tuple[Delivery, ...])
    return Incident(**{**row, "deliveries": deliveries})


__all__ = ["Delivery", "Incident", "read"]
