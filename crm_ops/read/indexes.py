"""The indexes that make searches fast, as SQL for their owner to look over and run."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from crm_ops.base import sql
from crm_ops.catalog.catalog import Catalog
from crm_ops.catalog.entities import Entity
from crm_ops.read import words


def statements(catalog: Catalog) -> Iterator[str]:
    """One CREATE INDEX for each sort column and text, for psql; running it twice does no harm.

    CONCURRENTLY neither stops readers nor writers, and cannot be run within a transaction.
    """
    for name, entity in catalog.entities.items():
        tenant = () if entity.tenant is None else (sql.identifier(entity.tenant),)
        for column in entity.search.sort:
            parts = ", ".join([*tenant, sql.identifier(column), sql.identifier(entity.key)])
            yield _statement(entity, f"{name}_by_{column}", f"({parts})")
        for column in entity.search.text:
            beginning = f"lower({sql.identifier(column)}) text_pattern_ops"
            parts = ", ".join([*tenant, beginning])
            yield _statement(entity, f"{name}_begins_{column}", f"({parts})")
        if entity.search.text:
            vector = words.vector(entity.search.text)
            yield _statement(entity, f"{name}_words", f"USING gin ({vector})")


def _statement(entity: Entity, name: str, on: str) -> str:
    # What else an entity of this name was once declared with is another index.
    checksum = hashlib.sha256(f"{entity.table} {on}".encode()).hexdigest()[:8]
    short = name.encode()[:40].decode(errors="ignore")
    index = sql.identifier(f"crm_ops_{short}_{checksum}")
    table = sql.Relation.parse(entity.table).quoted
    return sql.readable(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {index} ON {table} {on};")


__all__ = ["statements"]
