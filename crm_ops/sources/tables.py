"""Tells what the CRM's tables are like and what our role can see of them, in one query."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from crm_ops.base import sql, statements
from crm_ops.base.sql import Relation


@dataclass(frozen=True)
class Table:
    """A table or view of the CRM.

    `columns` has the type of each column as PostgreSQL writes it, of a domain the type beneath.
    `row_security` says that policies decide which rows our role sees. `estimated_rows` is the
    planner's figure (of a partitioned table the sum of its leaves, of a view 0). `range_key` are
    the columns of its partitioning by RANGE, '' for an expression; empty where it has none.
    """

    relation: Relation
    columns: Mapping[str, str]
    not_null: frozenset[str]
    primary_key: tuple[str, ...]
    row_security: bool
    selectable: bool
    estimated_rows: int
    partitioned: bool
    range_key: tuple[str, ...]


def inspect(connection: sa.Connection, relations: Iterable[Relation]) -> dict[Relation, Table]:
    """What is there of `relations`, in their order; what is not there is absent."""
    wanted = list(dict.fromkeys(relations))
    rows = sql.run(
        connection,
        statements.load("crm_ops.sources")["tables"],
        schemas=[relation.schema for relation in wanted],
        names=[relation.name for relation in wanted],
    )
    return {wanted[row.number]: _table(wanted[row.number], row) for row in rows}


def existing(connection: sa.Connection) -> list[Relation]:
    """Every table and view of the database, without partitions and PostgreSQL's own."""
    rows = sql.run(connection, statements.load("crm_ops.sources")["relations"])
    return [Relation(row.schema, row.name) for row in rows]


def _table(relation: Relation, row: sa.Row[tuple[object, ...]]) -> Table:
    return Table(
        relation=relation,
        columns=dict(row.columns or []),
        not_null=frozenset(row.not_null),
        primary_key=tuple(row.primary_key),
        row_security=row.row_security,
        selectable=row.selectable,
        estimated_rows=row.estimated_rows or 0,
        partitioned=row.partitioned,
        range_key=tuple(row.range_key),
    )


__all__ = ["Table", "existing", "inspect"]
