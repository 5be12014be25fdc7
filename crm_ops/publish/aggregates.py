"""Publishes stored figures of aggregates to Redis, each tenant's of each as one whole value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import msgspec
import sqlalchemy as sa

from crm_ops.base import database, names, sql, statements, store
from crm_ops.publish import codec, writer

Part = tuple[str, str]
"""An aggregate and a tenant."""

# So many parts' figures are held in memory at a time.
_AT_ONCE = 200


def publish(
    engine: sa.Engine,
    client: store.Client,
    entity: str,
    parts: Sequence[Part],
    *,
    now: datetime,
    signing_key: bytes | None = None,
) -> writer.Written:
    """Publish figures of an entity; leave out tenants never counted."""
    return writer.write(client, _values(engine, entity, parts), now=now, signing_key=signing_key)


def _values(engine: sa.Engine, entity: str, parts: Sequence[Part]) -> Iterator[writer.Value]:
    for at in range(0, len(parts), _AT_ONCE):
        for figures in read(engine, entity, parts[at : at + _AT_ONCE]):
            key = names.aggregates_key(figures.aggregate, figures.tenant)
            yield writer.Value(key, figures.version, codec.encode(figures))


def read(engine: sa.Engine, entity: str, parts: Sequence[Part]) -> list[codec.GatheredFigures]:
    """Some stored figures, as they are published."""
    with database.transaction(engine) as connection:
        statement = statements.load("crm_ops.publish")["aggregate_figures"]
        rows = sql.run(
            connection,
            statement,
            entity=entity,
            aggregates=[aggregate for aggregate, _ in parts],
            tenants=[tenant for _, tenant in parts],
        ).all()
    return [
        codec.GatheredFigures(
            aggregate=row.aggregate,
            tenant=row.tenant,
            definition=row.definition,
            version=row.version,
            as_of=row.as_of,
            figures=msgspec.Raw(row.figures),
        )
        for row in rows
    ]


__all__ = ["Part", "publish", "read"]
