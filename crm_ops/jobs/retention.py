"""Forgets old runs and alerts, so that the ledger does not grow for ever."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa

from crm_ops.base import database, sql, statements

# So many rows in each transaction: short, and nobody waits on them.
_ROWS = 1_000


@dataclass(frozen=True)
class Forgotten:
    """How many runs (with their batches) and alerts (with their deliveries) went."""

    runs: int
    alerts: int


def forget(engine: sa.Engine, *, keep_days: int, now: datetime) -> Forgotten:
    """Delete what is older than `keep_days`, a thousand at a time; safe to stop and to repeat.

    The newest run and the newest success of each job stay, and alerts that are open.
    """
    before = now - timedelta(days=keep_days)
    return Forgotten(
        runs=_all(engine, "forget_runs", before), alerts=_all(engine, "forget_alerts", before)
    )


def _all(engine: sa.Engine, name: str, before: datetime) -> int:
    statement = statements.load("crm_ops.jobs")[name]
    total = 0
    while True:
        with database.transaction(engine) as connection:
            gone = sql.run(connection, statement, before=before, rows=_ROWS).rowcount
        total += gone
        if gone < _ROWS:
            return total


__all__ = ["Forgotten", "forget"]
