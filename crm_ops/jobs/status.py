"""How things stand: jobs, the age of the served figures, the audit log. It only reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from crm_ops.audit import layout, summary
from crm_ops.audit.layout import Layout
from crm_ops.base import database, sql, statements
from crm_ops.catalog.schedule import JobName
from crm_ops.changes import state as changes
from crm_ops.jobs import ledger, registry
from crm_ops.jobs.work import Sight
from crm_ops.schema import migrate


@dataclass(frozen=True)
class Freshness:
    """The figures of one kind ("facets" or "aggregates") of an entity.

    `as_of` is the oldest moment among its tenants: every figure is exact as of then or later.
    `proved_at` is the oldest proof among them, None where one was never proved.
    """

    kind: str
    entity: str
    tenants: int
    counted: int
    as_of: datetime
    proved_at: datetime | None


@dataclass(frozen=True)
class Capture:
    """Changes of an entity that are not yet in its figures.

    `backlog` log rows wait, the oldest since `oldest_change`; `problem` says why changes are not
    captured, or why the entity is to be counted anew.
    """

    entity: str
    backlog: int
    oldest_change: datetime | None
    problem: str | None


@dataclass(frozen=True)
class Status:
    """The last run of each job (None where it never ran), the figures' freshness, the audit log.

    `audit` is None where the catalog declares no audit log.
    """

    jobs: Mapping[JobName, ledger.LastRun | None]
    freshness: tuple[Freshness, ...]
    capture: tuple[Capture, ...]
    audit: summary.Summary | None

    @property
    def healthy(self) -> bool:
        """Whether every job has run and none of the last runs failed."""
        return all(
            run is not None and run.state in ("success", "running") for run in self.jobs.values()
        )


def read(sight: Sight, tenants: Sequence[str] = ()) -> Status:
    """Read the ledger, the figures' moments (of `tenants`, or of all), the logs, the audit log."""
    with database.transaction(sight.engine) as connection:
        migrate.require(connection)
        return within(connection, sight, audit_log(connection, sight), tenants)


def audit_log(connection: sa.Connection, sight: Sight) -> Layout | None:
    """The audit log as it is; None where the catalog declares none."""
    policy = sight.catalog.audit
    return None if policy is None else layout.read(connection, policy)


def within(
    connection: sa.Connection, sight: Sight, log: Layout | None, tenants: Sequence[str] = ()
) -> Status:
    """How things stand as the caller's transaction sees it; `log` is the audit log."""
    statement = statements.load("crm_ops.jobs")["freshness"]
    rows = sql.run(connection, statement, tenants=list(tenants))
    freshness = tuple(Freshness(**row) for row in rows.mappings())
    capture = tuple(_capture(connection, sight, name) for name in sight.catalog.entities)
    audit = None if log is None else summary.of(log, sight.clock())
    runs = ledger.newest(connection)
    last = {name: runs.get(name) for name in registry.JOBS}
    return Status(last, freshness, capture, audit)


def _capture(connection: sa.Connection, sight: Sight, name: str) -> Capture:
    state = changes.read(connection, sight.catalog, name)
    backlog = changes.backlog(connection, state)
    return Capture(name, backlog.rows, backlog.oldest, state.unusable or state.spoiled)


__all__ = ["Capture", "Freshness", "Status", "audit_log", "read", "within"]
