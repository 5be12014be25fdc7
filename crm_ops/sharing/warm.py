"""Fills Redis with the sharing rules and people of every tenant, before anybody asks for them.

Running it twice does no harm: each value is written whole over what was there. Redis is a fill
level, never an authority, so nothing is deleted, and a value that is missing costs one query. On
the way it finds what bypassed the triggers, and has everybody read it again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime

import sqlalchemy as sa

from crm_ops.base import database, names, sql, store
from crm_ops.base.statements import load
from crm_ops.catalog.catalog import Catalog
from crm_ops.sharing import codec, install, layout, reading, seen, shared, signing
from crm_ops.sharing.codec import Entry, PeopleEntry
from crm_ops.sharing.reading import Found, Read
from crm_ops.sharing.rules import Broken
from crm_ops.sharing.seen import Compared

_log = logging.getLogger(__name__)

# Tenants held in memory at a time.
_CHUNK = 500

# Broken rules that are told one by one; the rest are only counted.
_TOLD = 100


@dataclass(frozen=True)
class Warmed:
    """What a warming did, in numbers.

    `wanted` values are one for the people of each tenant, and one for its rules for each entity;
    `rules` were read for them; `written` of them hold `bytes_written`; `present` were in Redis
    afterwards. `repaired` says by tenant what differed though its epoch had not moved: its triggers
    were bypassed. `moved` tenants have another epoch than at the last warming. `unguarded` are
    triggers that are missing or switched off; then nothing is remembered until they are installed
    again. `broken` are the rules that grant nothing (the first hundred; `broken_rules` counts all),
    `failures` the tenants whose rules could not be read, and why.
    """

    wanted: int = 0
    rules: int = 0
    written: int = 0
    bytes_written: int = 0
    present: int = 0
    repaired: Mapping[str, Sequence[str]] = field(default_factory=dict)
    moved: int = 0
    unguarded: tuple[str, ...] = ()
    broken_rules: int = 0
    broken: tuple[Broken, ...] = ()
    failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """Values that are not in Redis."""
        return self.wanted - self.present

    @property
    def coverage(self) -> float:
        """The share of values that are in Redis, 0 to 1; 1 where none is wanted."""
        return self.present / self.wanted if self.wanted else 1.0


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
    watched = kept and not unguarded
    chunks = [tenants[at : at + _CHUNK] for at in range(0, len(tenants), _CHUNK)]
    done = Warmed(wanted=len(tenants) * (1 + len(entities)), unguarded=unguarded)

    def ask(chunk: Sequence[str]) -> Found:
        return reading.find(engine, known, chunk, entities)

    for chunk, rows in _read_ahead(ask, chunks):
        failures = rows.failures
        read = reading.understood(rows, known, entities, now)
        found = seen.compare(read.seen, read.noted) if watched else Compared()
        bypassed = found.bypassed
        if bypassed and not dry_run:
            seen.repair(engine, bypassed)
            again = ask(chunk)
            failures = again.failures
            read = reading.understood(again, known, entities, now)
            found = seen.compare(read.seen, read.noted)
        values = {} if dry_run else _values(read, key)
        with store.translated(client):
            shared.write(client, values)
        if not dry_run:
            seen.note(engine, found.unlike)
        done = _with(done, read, values, bypassed, found.moved, failures)
    if not dry_run:
        with database.transaction(engine) as connection:
            sql.run(connection, load("crm_ops.sharing")["join_epochs"])
    # Only now: a Redis that is full drops the first values while the last are written.
    return replace(done, present=sum(_present(client, chunk, entities) for chunk in chunks))


def _read_ahead(
    ask: Callable[[Sequence[str]], Found], chunks: Sequence[Sequence[str]]
) -> Iterator[tuple[Sequence[str], Found]]:
    """What is read of each chunk: PostgreSQL is at the next one while one is written to Redis."""
    with ThreadPoolExecutor(max_workers=1) as reader:
        coming = [reader.submit(ask, chunk) for chunk in chunks[:1]]
        for at, chunk in enumerate(chunks, start=1):
            read = coming.pop().result()
            coming.extend(reader.submit(ask, each) for each in chunks[at : at + 1])
            yield chunk, read


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


def _values(read: Read, signing_key: bytes) -> dict[str, bytes]:
    entries: list[Entry | PeopleEntry] = [*read.people, *read.rules]
    return {codec.name(each): codec.encode(each, signing_key) for each in entries}


def _with(
    done: Warmed,
    read: Read,
    values: Mapping[str, bytes],
    bypassed: Mapping[str, Sequence[str]],
    moved: int,
    failures: Mapping[str, str],
) -> Warmed:
    for each in read.broken[: _TOLD - len(done.broken)]:
        _log.warning(
            "sharing %s of tenant %s grants nothing: %s",
            each.title,
            each.tenant,
            each.why,
            extra={"action": "sharing_rule_broken", "tenant": each.tenant, "rule": each.rule},
        )
    return replace(
        done,
        rules=done.rules + sum(len(entry.rules) for entry in read.rules),
        written=done.written + len(values),
        bytes_written=done.bytes_written + sum(len(value) for value in values.values()),
        repaired={**done.repaired, **bypassed},
        moved=done.moved + moved,
        broken_rules=done.broken_rules + len(read.broken),
        broken=(done.broken + read.broken)[:_TOLD],
        failures={**done.failures, **failures},
    )


def _present(client: store.Client, tenants: Sequence[str], entities: Sequence[str]) -> int:
    wanted = [names.sharing_key(entity, tenant) for tenant in tenants for entity in entities]
    wanted += [names.organisation_key(tenant) for tenant in tenants]
    with store.translated(client):
        return int(client.exists(*wanted)) if wanted else 0


__all__ = ["Warmed", "warm"]
