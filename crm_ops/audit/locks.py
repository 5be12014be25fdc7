"""Locks on live tables, taken so that nobody waits long for us: a short try, a pause, a budget.

Whoever writes queues behind a lock that we wait for, so a try is given up after a moment and made
again. What a try did is rolled back with it.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeVar

import psycopg
import sqlalchemy as sa
from sqlalchemy import exc

from crm_ops.audit import blockers
from crm_ops.base import database, errors, sql, statements
from crm_ops.base.sql import Relation

_log = logging.getLogger(__name__)

T = TypeVar("T")

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 2.0


@dataclass(frozen=True)
class Lock:
    """A table and the mode it is locked in, itself alone without its partitions."""

    table: Relation
    mode: Literal["SHARE UPDATE EXCLUSIVE", "SHARE ROW EXCLUSIVE", "ACCESS EXCLUSIVE"]


@dataclass(frozen=True)
class Patience:
    """How long one try waits for its locks, and how long all tries of a run take together.

    The wait is well below PostgreSQL's deadlock_timeout, beyond which it would cancel autovacuum.
    """

    wait_ms: int = 50
    budget_s: float = 60.0


class Tries:
    """The tries of one run on one audit log; its budget begins when it is made."""

    def __init__(self, engine: sa.Engine, log: Relation, patience: Patience) -> None:
        self._engine = engine
        self._log = log
        self._patience = patience
        self._ends_at = time.monotonic() + patience.budget_s

    def run(
        self,
        needed: Callable[[sa.Connection], bool],
        locks: Sequence[Lock],
        step: Callable[[sa.Connection], T],
    ) -> T | None:
        """Run `step` in a transaction of its own that holds `locks`, taken in their order.

        `needed` is asked in it before anything is locked; where it says no, the answer is None.
        Two runs never meet: each also holds the audit log's advisory lock. Raises DatabaseBusy with
        those in the way once the budget is used up.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return self._once(needed, locks, step)
            except errors.DatabaseBusy as busy:
                if not _was_lock(busy):
                    raise
                if time.monotonic() + pause_s > self._ends_at:
                    raise self._exhausted(locks) from busy
                _log.debug("%s: %s", self._log, busy, extra={"action": "audit_lock_retry"})
            time.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - no secret hangs on it
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)

    def _once(
        self,
        needed: Callable[[sa.Connection], bool],
        locks: Sequence[Lock],
        step: Callable[[sa.Connection], T],
    ) -> T | None:
        with database.transaction(self._engine) as connection:
            sql.run(connection, _sql("show_every_row"))
            _wait_at_most(connection, self._patience.wait_ms / 1000)
            database.lock(connection, f"audit:{self._log}")
            if not needed(connection):
                return None
            until = time.monotonic() + self._patience.wait_ms / 1000
            for lock in locks:
                # Together no longer than one wait: those behind the first wait for all of them.
                _wait_at_most(connection, until - time.monotonic())
                sql.run(connection, f"LOCK TABLE ONLY {lock.table.quoted} IN {lock.mode} MODE")
            _wait_at_most(connection, until - time.monotonic())
            return step(connection)

    def _exhausted(self, locks: Sequence[Lock]) -> errors.DatabaseBusy:
        with database.transaction(self._engine) as connection:
            held = blockers.read(connection, [(lock.table, lock.mode) for lock in locks])
        tables = ", ".join(str(lock.table) for lock in locks)
        return errors.DatabaseBusy(
            f"no lock on {tables} could be had within {self._patience.budget_s:g} s:"
            f" {blockers.told(held)}; the next run goes on from here"
        )


def _wait_at_most(connection: sa.Connection, seconds: float) -> None:
    # 0 would mean for ever.
    sql.run(connection, _sql("lock_timeout"), lock_timeout_ms=max(1, int(seconds * 1000)))


def _was_lock(busy: errors.DatabaseBusy) -> bool:
    """Whether it was a lock that took too long, not a statement."""
    cause = busy.__cause__
    return isinstance(cause, exc.DBAPIError) and isinstance(
        cause.orig, psycopg.errors.LockNotAvailable | psycopg.errors.DeadlockDetected
    )


def _sql(name: str) -> str:
    return statements.load("crm_ops.audit")[name]


__all__ = ["Lock", "Patience", "Tries"]
