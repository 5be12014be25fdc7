"""Reads the sharing configuration of many tenants at once: one query, of one snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from crm_ops.base import database, errors, sql
from crm_ops.sharing import people, query, rules, seen, tenant_setting
from crm_ops.sharing.codec import Entry, PeopleEntry
from crm_ops.sharing.layout import Layout
from crm_ops.sharing.rules import Broken, Row
from crm_ops.sharing.seen import Noted, Seen

_NOTED = msgspec.json.Decoder(list[tuple[str, str, str]])


@dataclass(frozen=True)
class Found:
    """The rows of `query.configuration`; `failures` says by tenant what could not be read, why."""

    rows: Sequence[sa.Row[Any]] = ()
    failures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Read:
    """What is configured for some tenants, what was `seen` of it, and the last warming `noted`."""

    people: tuple[PeopleEntry, ...]
    rules: tuple[Entry, ...]
    seen: tuple[Seen, ...]
    noted: Noted
    broken: tuple[Broken, ...]


def find(
    engine: sa.Engine, known: Layout, tenants: Sequence[str], entities: Sequence[str]
) -> Found:
    """What can be read; halved until the tenants at fault stand alone."""
    text, setting = query.configuration(known), known.setting
    values = {"wanted": list(entities), "known": list(known.catalog.entities)}
    try:
        if setting is None:
            with database.autocommit(engine) as connection:
                return Found(sql.run(connection, text, values, tenants=list(tenants)).all())
        rows: list[sa.Row[Any]] = []
        with database.transaction(engine) as connection:
            for tenant in tenants:
                with tenant_setting.made(connection, setting, tenant):
                    rows += sql.run(connection, text, values, tenants=[tenant])
        return Found(rows)
    except errors.DataError as error:
        if len(tenants) == 1:
            return Found(failures={tenants[0]: str(error)})
    half = len(tenants) // 2
    parts = [find(engine, known, part, entities) for part in (tenants[:half], tenants[half:])]
    return Found(
        [row for part in parts for row in part.rows],
        {tenant: why for part in parts for tenant, why in part.failures.items()},
    )


def understood(found: Found, known: Layout, entities: Sequence[str], now: datetime) -> Read:
    """What the rows say, read at `now`."""
    parse = rules.parser(known)
    persons, entries, witnessed, broken = [], [], [], []
    noted: dict[tuple[str, str], tuple[int, str]] = {}
    members = known.sharing.users is not None and known.sharing.members is not None
    for row in found.rows:
        tenant = row.tenant
        # Where no epoch is kept no reader believes a value, whatever its number.
        epoch = row.version or 0
        persons.append(PeopleEntry(tenant, epoch, now, people.read(row.people)))
        witnessed.append(Seen(tenant, seen.PEOPLE, epoch, seen.digest([row.people])))
        given = rules.rows(row.rules)
        read, wrong = rules.understood(tenant, given, parse)
        broken += wrong
        for name in entities:
            own = tuple([rule for rule in read if rule.entity == name])
            entries.append(Entry(tenant, name, epoch, now, own))
            witnessed.append(Seen(tenant, seen.rules(name), epoch, _digest(tenant, name, given)))
        if members:
            version = epoch + row.members_version
            witnessed.append(Seen(tenant, seen.MEMBERS, version, row.members))
        for part, version, digest in _NOTED.decode(row.noted):
            noted[tenant, part] = int(version), digest
    return Read(tuple(persons), tuple(entries), tuple(witnessed), noted, tuple(broken))


def _digest(tenant: str, entity: str, given: Sequence[Row]) -> str:
    """Of an entity's rules as the CRM has them, whether they are understood or not."""
    own = [row for row in given if row.entity == entity]
    return seen.digest([text for row in own for text in (tenant, *msgspec.structs.astuple(row))])


__all__ = ["Found", "Read", "find", "understood"]
