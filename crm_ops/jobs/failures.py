"""Which tenants failed in a run, and why."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from crm_ops.base import sql, statements

# More than a person reads; how many there are is told beside them.
MOST = 20


@dataclass(frozen=True)
class Failed:
    """The tenants that failed in a run: how many, and of the first ones why."""

    tenants: int
    first: dict[str, str]


def read(connection: sa.Connection, runs: Iterable[int]) -> dict[int, Failed]:
    """The failed tenants of `runs` by the run's id; a run without any is left out."""
    found: dict[int, Failed] = {}
    statement = statements.load("crm_ops.jobs")["failed_tenants"]
    for row in sql.run(connection, statement, runs=list(runs), most=MOST):
        found.setdefault(row.run_id, Failed(row.of_run, {})).first[row.tenant] = row.why
    return found


__all__ = ["MOST", "Failed", "read"]
