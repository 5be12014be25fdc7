"""Fills Redis with the sharing rules and people of every tenant, before anybody asks for them.

Running it twice does no harm: each value is written whole over what was there. Redis is a fill
level, never an authority, so nothing is deleted, and a value that is missing costs one query. On
the way it finds what bypassed the triggers, and has everybody read it again.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import cast

import msgspec
import sqlalchemy as sa

from crm_ops.base import database, errors, names, sql, store
from crm_ops.base.statements import load
from crm_ops.catalog.catalog import Catalog
from crm_ops.sharing import (
    codec,
    install,
    layout,
    people,
    query,
    rules,
    shared,
    signing,
    tenant_setting,
)
from crm_ops.sharing.codec import Entry, PeopleEntry
from crm_ops.sharing.layout import Layout
from crm_ops.sharing.rules import Broken

_log = logging.getLogger(__name__)

# Tenants held in memory at a time.
_CHUNK = 200

# Broken rules that are told one by one; the rest are only counted.
_TOLD = 100


@dataclass(frozen=True)
class Warmed:
    """What a warming did, in numbers.

    `pairs` of tenant and entity were wanted; `rules` were read for them; `written` values of pairs
    hold `bytes_written` (with the people of their tenants); `present` pairs were in Redis
    afterwards. `repaired` tenants had values that differed though their epoch had not moved: their
    triggers were bypassed. `unguarded` are triggers that are missing or switched off; then nothing
    is remembered until they are installed again. `broken` are the rules that grant nothing (the
    first hundred; `broken_rules` counts all), `failures` the tenants whose rules could not be read,
    and why.
    """

    pairs: int = 0
    rules: int = 0
    written: int = 0
    bytes_written: int = 0
    present: int = 0
    repaired: tuple[str, ...] = ()
    unguarded: tuple[str, ...] = ()
    broken_rules: int = 0
    broken: tuple[Broken, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Pairs that are not in Redis."""
        return self.pairs - self.present

    @property
    def coverage(self) -> float:
        """The share of pairs that are in Redis, 0 to 1; 1 where none is wanted."""
        return self.present / self.pairs if self.pairs else 1.0


@dataclass(frozen=True)
class _Read:
    """What was read of some tenants, in one snapshot."""

    people: Mapping[str, PeopleEntry] = field(default_factory=dict)
    rules: Mapping[tuple[str, str], Entry] = field(default_factory=dict)
    broken: tuple[Broken, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)


def warm(
    engine: sa.Engine,
    client: store.Client,
    catalog: Catalog,
    tenants: Sequence[str],
    entities: Sequence[str],
    *,
    signing_key: bytes | None,
    now: datetime,
    dry_run: bool,
) -> Warmed:
    """Write the rules of all `tenants` x `entities`, each named once; then look what is there.

    A tenant whose rules cannot be read does not stop the others. A dry run reads all the same and
    writes nothing. SettingsError without a signing key; raises where PostgreSQL or Redis is away.
    """
    key = signing.required(signing_key)
    if catalog.sharing is None:
        return Warmed()
    with database.transaction(engine) as connection:
        kept = install.kept(connection, catalog)
    unguarded = _unguarded(engine, catalog, dry_run=dry_run) if kept else ()
    with database.transaction(engine) as connection:
        known = layout.read(connection, catalog, entities)
    chunks = [tenants[at : at + _CHUNK] for at in range(0, len(tenants), _CHUNK)]
    done = Warmed(pairs=len(tenants) * len(entities), unguarded=unguarded)
    for chunk in chunks:
        read = _load(engine, known, chunk, entities, now)
        bypassed = _bypassed(client, read, key) if kept and not unguarded else []
        if bypassed and not dry_run:
            _move(engine, bypassed)
            read = _load(engine, known, chunk, entities, now)
        values = {} if dry_run else _values(read, key)
        with store.translated(client):
            shared.write(client, values)
        done = _with(done, read, values, bypassed)
    if not dry_run:
        with database.transaction(engine) as connection:
            sql.run(connection, load("crm_ops.sharing")["join_epochs"])
    # Only now: a Redis that is full drops the first values while the last are written.
    return replace(done, present=sum(_present(client, chunk, entities) for chunk in chunks))


def _unguarded(engine: sa.Engine, catalog: Catalog, *, dry_run: bool) -> tuple[str, ...]:
    """The triggers that are not there though epochs count on them; then nothing is remembered."""
    with database.transaction(engine) as connection:
        gone = install.missing(connection, catalog)
        if gone and not dry_run:
            install.forget(connection)
    if gone:
        _log.error(
            "sharing triggers are missing or switched off: %s; nothing is remembered until"
            " `crm-ops catalog apply`",
            ", ".join(gone),
            extra={"action": "sharing_unguarded", "triggers": len(gone)},
        )
    return tuple(gone)


def _load(
    engine: sa.Engine,
    known: Layout,
    tenants: Sequence[str],
    entities: Sequence[str],
    now: datetime,
) -> _Read:
    """What can be read, and by tenant why not; halved until the tenants at fault stand alone."""
    try:
        with database.transaction(engine, isolation="REPEATABLE READ") as connection:
            if known.setting is None:
                return _read(connection, known, tenants, entities, now)
            return _joined([_read_as(connection, known, each, entities, now) for each in tenants])
    except errors.DataError as error:
        if len(tenants) == 1:
            return _Read(failures={tenants[0]: str(error)})
    half = len(tenants) // 2
    return _joined(
        [_load(engine, known, part, entities, now) for part in (tenants[:half], tenants[half:])]
    )


def _read_as(
    connection: sa.Connection, known: Layout, tenant: str, entities: Sequence[str], now: datetime
) -> _Read:
    with tenant_setting.made(connection, known.setting, tenant):
        return _read(connection, known, [tenant], entities, now)


def _read(
    connection: sa.Connection,
    known: Layout,
    tenants: Sequence[str],
    entities: Sequence[str],
    now: datetime,
) -> _Read:
    rows = sql.run(connection, query.people(known), tenants=list(tenants)).all()
    # Where no epoch is kept no reader believes a value, whatever its number.
    epochs = {row.tenant: row.version or 0 for row in rows}
    loaded = rules.of_layout(connection, known, tenants, entities)
    return _Read(
        {
            row.tenant: PeopleEntry(row.tenant, epochs[row.tenant], now, people.read(row.people))
            for row in rows
        },
        {
            (tenant, entity): Entry(tenant, entity, epochs[tenant], now, found)
            for (tenant, entity), found in loaded.rules.items()
        },
        loaded.broken,
    )


def _joined(parts: Sequence[_Read]) -> _Read:
    return _Read(
        {tenant: entry for part in parts for tenant, entry in part.people.items()},
        {pair: entry for part in parts for pair, entry in part.rules.items()},
        tuple(broken for part in parts for broken in part.broken),
        {tenant: why for part in parts for tenant, why in part.failures.items()},
    )


def _bypassed(client: store.Client, read: _Read, signing_key: bytes) -> list[str]:
    """The tenants of which Redis has something else at the very epoch that was read."""
    entries: list[Entry | PeopleEntry] = [*read.people.values(), *read.rules.values()]
    if not entries:
        return []
    with store.translated(client):
        values = cast("list[bytes | None]", client.mget([codec.name(each) for each in entries]))
    found = {
        entry.tenant: None
        for entry, value in zip(entries, values, strict=True)
        if _differs(entry, value, signing_key)
    }
    return list(found)


def _differs(entry: Entry | PeopleEntry, value: bytes | None, signing_key: bytes) -> bool:
    before: Entry | PeopleEntry | None
    if isinstance(entry, Entry):
        before = codec.decode(value, entry.tenant, entry.entity, signing_key)
    else:
        before = codec.decode_people(value, entry.tenant, signing_key)
    if before is None or before.epoch != entry.epoch:
        return False
    return msgspec.structs.replace(before, as_of=entry.as_of) != entry


def _move(engine: sa.Engine, tenants: Sequence[str]) -> None:
    """Move the epochs of tenants, so that nothing remembered of them is used any more."""
    for tenant in tenants:
        _log.error(
            "the sharing configuration of tenant %s was changed past its triggers; it is read anew",
            tenant,
            extra={"action": "sharing_repaired", "tenant": tenant},
        )
    with database.transaction(engine) as connection:
        sql.run(
            connection,
            load("crm_ops.sharing")["move_tenants"],
            tenants=list(tenants),
        )


def _values(read: _Read, signing_key: bytes) -> dict[str, bytes]:
    entries: list[Entry | PeopleEntry] = [*read.people.values(), *read.rules.values()]
    return {codec.name(each): codec.encode(each, signing_key) for each in entries}


def _with(
    done: Warmed, read: _Read, values: Mapping[str, bytes], bypassed: Sequence[str]
) -> Warmed:
    for each in read.broken[: _TOLD - len(done.broken)]:
        _log.warning(
            "sharing rule %s of tenant %s grants nothing: %s",
            each.rule,
            each.tenant,
            each.why,
            extra={"action": "sharing_rule_broken", "tenant": each.tenant, "rule": each.rule},
        )
    return replace(
        done,
        rules=done.rules + sum(len(entry.rules) for entry in read.rules.values()),
        written=done.written + (len(read.rules) if values else 0),
        bytes_written=done.bytes_written + sum(len(value) for value in values.values()),
        repaired=(*done.repaired, *bypassed),
        broken_rules=done.broken_rules + len(read.broken),
        broken=(done.broken + read.broken)[:_TOLD],
        failures={**done.failures, **read.failures},
    )


def _present(client: store.Client, tenants: Sequence[str], entities: Sequence[str]) -> int:
    wanted = [names.sharing_key(entity, tenant) for tenant in tenants for entity in entities]
    with store.translated(client):
        return int(client.exists(*wanted)) if wanted else 0


__all__ = ["Warmed", "warm"]
