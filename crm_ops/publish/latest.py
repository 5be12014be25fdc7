"""Publishes what Redis does not have in its latest version, and the moment that all of it is exact.

What was given to Redis is noted after it was given: a run that was killed in between is made up for
by the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import cast

import sqlalchemy as sa

from crm_ops.base import database, names, sql, statements, store
from crm_ops.fold import aggregates as declared
from crm_ops.fold import definition
from crm_ops.fold.definition import Kind
from crm_ops.fold.rows import Counted
from crm_ops.publish import aggregates, codec, facets, seal, writer
from crm_ops.publish.writer import Written


def publish(
    engine: sa.Engine,
    client: store.Client,
    counted: Counted,
    kind: Kind,
    tenants: Sequence[str],
    *,
    now: datetime,
    everything: bool = False,
    signing_key: bytes | None = None,
) -> Written:
    """Publish the figures of those of `tenants` that Redis is behind with; all on `everything`.

    Where the moment is gone, of another format or not sealed with our key, so may all else be:
    Redis is given everything.
    """
    made_with = definition.of(counted, kind).id
    parts = [] if kind == "facets" else list(declared.of_entity(counted))
    bound = {"kind": kind, "entity": counted.name, "definition": made_with, "parts": parts}
    load = statements.load("crm_ops.publish")
    key = names.moment_key(kind, counted.name)
    with store.translated(client):
        held = cast("bytes | None", client.get(key))
    lost = codec.moment(seal.opened(key, held, signing_key), kind, counted.name) is None
    with database.transaction(engine) as connection:
        behind = sql.run(
            connection, load["behind"], bound, tenants=list(tenants), everything=everything or lost
        ).all()
    chosen = [row.tenant for row in behind]
    if kind == "facets":
        written = facets.publish(
            engine, client, counted.name, counted.entity, chosen, now=now, signing_key=signing_key
        )
    else:
        changed = [(name, row.tenant) for row in behind for name in row.parts]
        written = aggregates.publish(
            engine, client, counted.name, changed, now=now, signing_key=signing_key
        )
    with database.transaction(engine) as connection:
        versions = [row.version for row in behind]
        sql.run(connection, load["note_published"], bound, tenants=chosen, versions=versions)
        as_of = sql.run(connection, load["moment"], bound).scalar_one_or_none()
    if as_of is not None:
        version = int(as_of.timestamp() * 1_000_000)
        moment = codec.Moment(kind=kind, entity=counted.name, version=version, as_of=as_of)
        value = writer.Value(key, version, codec.encode(moment))
        writer.write(client, [value], now=now, signing_key=signing_key)
    return written


def withdraw(client: store.Client, counted: Counted, tenants: Sequence[str]) -> None:
    """Take the figures of tenants that are no longer active out of Redis."""
    keys = [names.facets_key(counted.name, tenant) for tenant in tenants]
    keys += [
        names.aggregates_key(name, tenant)
        for name in declared.of_entity(counted)
        for tenant in tenants
    ]
    with store.translated(client):
        if keys:
            client.unlink(*keys)


__all__ = ["publish", "withdraw"]
