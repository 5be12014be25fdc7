"""Publishes tenants' bitmaps to Redis: whole ones, those that changed, under one version.

A version is put in place by one script, so that a reader finds the old or the new and nothing in
between; a writer that another one overtook changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import sqlalchemy as sa

from crm_ops.base import database, names, sql, statements, store
from crm_ops.fold import definition
from crm_ops.fold.rows import Counted
from crm_ops.publish import bitmap_codec, writer

# Nothing is kept of another set's, or where everything is given.
_REPLACE = """
local head = redis.call('HGET', KEYS[1], 'head')
if (head or '') ~= ARGV[1] then return 0 end
if ARGV[2] == 'all' then redis.call('DEL', KEYS[1]) end
for at = 4, #ARGV, 2 do redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1]) end
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


def publish(
    engine: sa.Engine,
    client: store.Client,
    counted: Counted,
    tenants: Sequence[str],
    *,
    everything: bool,
) -> writer.Written:
    """Publish the bitmaps of those of `tenants` that Redis is behind with; safe to repeat."""
    load = statements.load("crm_ops.publish", "bitmaps.sql")
    bound = {"entity": counted.name, "definition": definition.of(counted, "facets").id}
    with database.transaction(engine) as connection:
        behind = sql.run(
            connection, load["behind"], bound, tenants=list(tenants), everything=everything
        ).all()
    total = writer.Written()
    for row in behind:
        written = _tenant(engine, client, counted.name, row.tenant, whole=everything)
        if written.values > written.outdated:
            _note(engine, counted, row.tenant, row.version)
        total += written
    return total


def _tenant(
    engine: sa.Engine, client: store.Client, entity: str, tenant: str, *, whole: bool
) -> writer.Written:
    key = names.bitmaps_key(entity, tenant)
    with store.translated(client):
        held = cast("bytes | None", client.hget(key, bitmap_codec.HEAD.decode()))
    known = None if whole else bitmap_codec.read_head(held, entity, tenant)
    load = statements.load("crm_ops.publish", "bitmaps.sql")
    with database.transaction(engine, isolation="REPEATABLE READ") as connection:
        made = sql.run(connection, load["set"], entity=entity, tenant=tenant).one_or_none()
        if made is None:
            return writer.Written()
        after = known.version if known is not None and known.set_id == made.id else -1
        rows = sql.run(connection, load["changed"], set=made.id, after=after)
        fields = {
            bitmap_codec.field(row.facet, row.bucket): bitmap_codec.value(
                row.version, row.digest, row.bits
            )
            for row in rows
        }
    head = bitmap_codec.Head(
        entity=entity,
        tenant=tenant,
        definition=made.definition,
        set_id=made.id,
        version=made.version,
    )
    fields[bitmap_codec.HEAD] = bitmap_codec.head(head)
    flat = [part for each in fields.items() for part in each]
    mode = "all" if after < 0 else "changed"
    with store.translated(client):
        kept = client.eval(_REPLACE, 1, key, held or b"", mode, writer.lifetime_s(key), *flat)
    size = sum(len(part) for part in flat)
    return writer.Written(1, 0 if kept else 1, size if kept else 0)


def _note(engine: sa.Engine, counted: Counted, tenant: str, version: int) -> None:
    with database.transaction(engine) as connection:
        sql.run(
            connection,
            statements.load("crm_ops.publish")["note_published"],
            kind="bitmaps",
            entity=counted.name,
            tenants=[tenant],
            versions=[version],
        )


__all__ = ["publish"]
