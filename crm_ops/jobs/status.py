"""How things stand: the last run of each job, and how old the served figures are. It only reads."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

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
    """The last run of each job (None where it never ran), and the freshness of the figures."""

    jobs: dict[str, ledger.LastRun | None]
    freshness: tuple[Freshness, ...]

    @property
    def healthy(self) -> bool:
        """Whether every job has run and none of the last runs failed."""
        return all(
            run is not None and run.state in ("success", "running") for run in self.jobs.values()
        )


def read(tools: Tools) -> Status:
    """Read the ledger and the figures' moments."""
    with database.transaction(tools.engine) as connection:
        migrate.require(connection)
        statement = statements.load("crm_ops.jobs")["freshness"]
        freshness = tuple(Freshness(**row) for row in sql.run(connection, statement).mappings())
    runs = ledger.last_runs(tools.engine)
    return Status({name: runs.get(name) for name in registry.JOBS}, freshness)


__all__ = ["Freshness", "Status", "read"]
