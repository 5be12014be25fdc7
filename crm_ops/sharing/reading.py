"""Reads the sharing configuration of many tenants at once: three queries in one snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa

from crm_ops.base import database, errors, sql
from crm_ops.sharing import people, query, rules, seen, tenant_setting
from crm_ops.sharing.codec import Entry, PeopleEntry
from crm_ops.sharing.layout import Layout
from crm_ops.sharing.rules import Broken
from crm_ops.sharing.seen import Seen


@dataclass(frozen=True)
class Read:
    """What was read of some tenants; `failures` says by tenant what could not be read, and why."""

    people: tuple[PeopleEntry, ...] = ()
    rules: tuple[Entry, ...] = ()
    seen: tuple[Seen, ...] = ()
    broken: tuple[Broken, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)


def read(
    engine: sa.Engine,
    known: Layout,
    tenants: Sequence[str],
    entities: Sequence[str],
    now: datetime,
) -> Read:
    """What can be read, as of `now`; halved until the tenants at fault stand alone."""
    try:
        with database.transaction(engine, isolation="REPEATABLE READ") as connection:
            if known.setting is None:
                return _read(connection, known, tenants, entities, now)
            return _joined([_read_as(connection, known, each, entities, now) for each in tenants])
    except errors.DataError as error:
        if len(tenants) == 1:
            return Read(failures={tenants[0]: str(error)})
    half = len(tenants) // 2
    return _joined(
        [read(engine, known, part, entities, now) for part in (tenants[:half], tenants[half:])]
    )


def _read_as(
    connection: sa.Connection, known: Layout, tenant: str, entities: Sequence[str], now: datetime
) -> Read:
    with tenant_setting.made(connection, known.setting, tenant):
        return _read(connection, known, [tenant], entities, now)


def _read(
    connection: sa.Connection,
    known: Layout,
    tenants: Sequence[str],
    entities: Sequence[str],
    now: datetime,
) -> Read:
    rows = sql.run(connection, query.people(known), tenants=list(tenants)).all()
    # Where no epoch is kept no reader believes a value, whatever its number.
    epochs = {row.tenant: row.version or 0 for row in rows}
    loaded = rules.of_layout(connection, known, tenants, entities)
    witnessed = [
        Seen(r.tenant, seen.PEOPLE, epochs[r.tenant], seen.digest([r.people])) for r in rows
    ]
    witnessed += [
        Seen(tenant, seen.rules(entity), epochs[tenant], digest)
        for (tenant, entity), digest in loaded.digests.items()
    ]
    if known.sharing.members is not None:
        members = sql.run(connection, query.members(known), tenants=list(tenants))
        witnessed += [
            Seen(r.tenant, seen.MEMBERS, epochs[r.tenant] + r.version, r.digest) for r in members
        ]
    return Read(
        tuple(
            PeopleEntry(row.tenant, epochs[row.tenant], now, people.read(row.people))
            for row in rows
        ),
        tuple(
            Entry(tenant, entity, epochs[tenant], now, found)
            for (tenant, entity), found in loaded.rules.items()
        ),
        tuple(witnessed),
        loaded.broken,
    )


def _joined(parts: Sequence[Read]) -> Read:
    return Read(
        tuple(entry for part in parts for entry in part.people),
        tuple(entry for part in parts for entry in part.rules),
        tuple(each for part in parts for each in part.seen),
        tuple(broken for part in parts for broken in part.broken),
        {tenant: why for part in parts for tenant, why in part.failures.items()},
    )


__all__ = ["Read", "read"]
