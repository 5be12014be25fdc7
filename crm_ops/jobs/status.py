"""How things stand: jobs, the age of the served figures, the audit log. It only reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from crm_ops.audit import layout, summary
from crm_ops.base import database, sql, statements
from crm_ops.jobs import ledger, registry
from crm_ops.jobs.work import Tools
from crm_ops.schema import migrate


@dataclass(frozen=True)
class Freshness:
    """The figures of one kind ("facets" or "aggregates") of an entity.

    `as_of` is the oldest moment among its tenants: every figure is exact as of then or later.
    """

    kind: str
    entity: str
    tenants: int
    counted: int
    as_of: datetime


@dataclass(frozen=True)
class Status:
    """The last run of each job (None where it never ran), the figures' freshness, the audit log.

    `audit` is None where the catalog declares no audit log.
    """

    jobs: dict[str, ledger.LastRun | None]
    freshness: tuple[Freshness, ...]
    audit: summary.Summary | None

    @property
    def healthy(self) -> bool:
        """Whether every job has run and none of the last runs failed."""
        return all(
            run is not None and run.state in ("success", "running") for run in self.jobs.values()
        )


def read(tools: Tools) -> Status:
    """Read the ledger, the figures' moments and the audit log's partitions."""
    with database.transaction(tools.engine) as connection:
        migrate.require(connection)
        statement = statements.load("crm_ops.jobs")["freshness"]
        freshness = tuple(Freshness(**row) for row in sql.run(connection, statement).mappings())
        policy = tools.catalog.audit
        audit = None
        if policy is not None:
            audit = summary.of(layout.read(connection, policy), tools.clock())
    runs = ledger.last_runs(tools.engine)
    return Status({name: runs.get(name) for name in registry.JOBS}, freshness, audit)


__all__ = ["Freshness", "Status", "read"]
