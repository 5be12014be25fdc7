"""How fresh each tenant's figures are: last refresh, last proof, changes that wait. Only reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

import sqlalchemy as sa

from crm_ops.base import database, sql, statements
from crm_ops.catalog.facets import LinkFacet
from crm_ops.changes import state as changes
from crm_ops.changes.logs import AT, Log
from crm_ops.fold import rows
from crm_ops.fold.rows import Counted
from crm_ops.jobs.work import Tools


@dataclass(frozen=True)
class TenantFreshness:
    """The figures of one entity of one tenant.

    `as_of` is the moment that all of them are exact as of, `proved_at` when they were last found
    equal to the rows; None where never. `backlog` log rows wait, the oldest since `oldest_change`.
    """

    entity: str
    tenant: str
    as_of: datetime | None
    proved_at: datetime | None
    backlog: int
    oldest_change: datetime | None


class _Waiting(NamedTuple):
    backlog: int
    oldest: datetime


def read(tools: Tools, tenants: Sequence[str] = ()) -> list[TenantFreshness]:
    """The freshness of `tenants`, or of all, by entity and tenant.

    Changes of tenants that are not counted are among them.
    """
    wanted = set(tenants)
    with database.transaction(tools.engine, isolation="REPEATABLE READ") as connection:
        return [
            each
            for name in tools.catalog.entities
            for each in _of_entity(connection, tools, name)
            if not wanted or each.tenant in wanted
        ]


def _of_entity(connection: sa.Connection, tools: Tools, name: str) -> Iterator[TenantFreshness]:
    statement = statements.load("crm_ops.jobs")["freshness_by_tenant"]
    known = {row.tenant: row for row in sql.run(connection, statement, entity=name)}
    waiting = _waiting(connection, tools, name)
    for tenant in sorted({*known, *waiting}):
        made, waits = known.get(tenant), waiting.get(tenant)
        yield TenantFreshness(
            name,
            tenant,
            None if made is None else made.as_of,
            None if made is None else made.proved_at,
            0 if waits is None else waits.backlog,
            None if waits is None else waits.oldest,
        )


def _waiting(connection: sa.Connection, tools: Tools, name: str) -> dict[str, _Waiting]:
    state = changes.read(connection, tools.catalog, name)
    if state.unusable is not None:
        return {}
    counted = Counted(tools.catalog, name, {})
    parts = " UNION ALL ".join(_changes(counted, log) for log in state.logs)
    found = sql.run(
        connection,
        f"SELECT tenant, count(*) AS n, min(at) AS at FROM ({parts}) AS waiting"
        " WHERE tenant IS NOT NULL GROUP BY tenant",
    )
    return {row.tenant: _Waiting(row.n, row.at) for row in found}


def _changes(counted: Counted, log: Log) -> str:
    """One SELECT of (tenant, at) of a log; a changed link belongs to whom its parent does now."""
    at, tenant = sql.identifier(AT), rows.tenant(counted)
    if log.facet is None:
        return f"SELECT {tenant} AS tenant, r.{at} AS at FROM {log.relation.quoted} AS r"
    facet = counted.entity.facets[log.facet]
    assert isinstance(facet, LinkFacet)  # noqa: S101 (only these have a log of their own)
    return (
        f"SELECT {tenant}, link.{at} FROM {log.relation.quoted} AS link"
        f" JOIN {counted.table.quoted} AS r"
        f" ON r.{sql.identifier(counted.entity.key)} = link.{sql.identifier(facet.parent)}"
    )


__all__ = ["TenantFreshness", "read"]
