"""Publishes the stored figures of an aggregate to Redis, each tenant's as one whole value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa

from crm_ops.base import database, names, sql, statements, store
from crm_ops.publish import codec, writer

_TENANTS_AT_ONCE = 200


def publish(
    engine: sa.Engine,
    client: store.Client,
    name: str,
    entity: str,
    tenants: Sequence[str],
    *,
    now: datetime,
    signing_key: bytes | None = None,
) -> writer.Written:
    """Publish the figures of the aggregate `name` of `entity`; leave out tenants never counted."""
    values = _values(engine, name, entity, tenants)
    return writer.write(client, values, now=now, signing_key=signing_key)


def _values(
    engine: sa.Engine, name: str, entity: str, tenants: Sequence[str]
) -> Iterator[writer.Value]:
    for at in range(0, len(tenants), _TENANTS_AT_ONCE):
        for figures in read(engine, name, entity, tenants[at : at + _TENANTS_AT_ONCE]):
            key = names.aggregates_key(name, figures.tenant)
            yield writer.Value(key, figures.version, codec.encode(figures))


def read(
    engine: sa.Engine, name: str, entity: str, tenants: Sequence[str]
) -> list[codec.GatheredFigures]:
    """The stored figures of some tenants, as they are published."""
    with database.transaction(engine) as connection:
        statement = statements.load("crm_ops.publish")["aggregate_figures"]
        rows = sql.run(
            connection, statement, aggregate=name, entity=entity, tenants=list(tenants)
        ).all()
    return [
        codec.GatheredFigures(
            aggregate=name,
            tenant=row.tenant,
            definition=row.definition,
            version=row.version,
            as_of=row.as_of,
            figures=msgspec.Raw(row.figures),
        )
        for row in rows
    ]


__all__ = ["publish", "read"]
