"""Who has a claim on tables whose time is over: legal holds, tenants with a longer retention."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from crm_ops.audit import holds, months
from crm_ops.audit.layout import Layout, Stored
from crm_ops.base import sql
from crm_ops.base.sql import Relation
from crm_ops.catalog.audit import Audit


@dataclass(frozen=True)
class Claims:
    """By table: the holds in force on its rows; the tenants whose rows in it have not expired."""

    holds: Mapping[Relation, tuple[int, ...]] = field(default_factory=dict)
    tenants: Mapping[Relation, tuple[str, ...]] = field(default_factory=dict)


NONE = Claims()


def read(connection: sa.Connection, layout: Layout, policy: Audit, now: datetime) -> Claims:
    """The claims on the tables past the retention, attached or not; looks at their rows."""
    cutoff = months.cutoff(min(now, layout.read_at), policy.retention_months)
    over = [
        each
        for each in (*layout.partitions, *layout.detached)
        if each.stretch.upper <= cutoff and not each.pending and not each.foreign
    ]
    held = {}
    if holds.read(connection, policy):
        held = {each.table: holds.on(connection, policy, each.table) for each in over}
    attached = [each for each in over if each in layout.partitions]
    kept = {each.table: _tenants(connection, policy, each, now) for each in attached}
    return Claims(
        {table: numbers for table, numbers in held.items() if numbers},
        {table: tenants for table, tenants in kept.items() if tenants},
    )


def _tenants(
    connection: sa.Connection, policy: Audit, stored: Stored, now: datetime
) -> tuple[str, ...]:
    longer = [
        tenant
        for tenant, kept in policy.retention_months_by_tenant.items()
        if stored.stretch.upper > months.cutoff(now, kept)
    ]
    if not longer or policy.tenant is None:
        return ()
    tenant = f"{sql.identifier(policy.tenant)}::text"
    found = sql.run(
        connection,
        f"SELECT wanted FROM unnest(%(tenants)s::text[]) AS wanted WHERE EXISTS"
        f" (SELECT FROM {stored.table.quoted} WHERE {tenant} = wanted) ORDER BY wanted",
        tenants=longer,
    )
    return tuple(found.scalars())


__all__ = ["NONE", "Claims", "read"]
