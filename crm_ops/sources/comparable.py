"""Says which values of a row filter cannot be compared with their column: PostgreSQL is asked."""

from __future__ import annotations

from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy import exc

from crm_ops.base import sql
from crm_ops.base.sql import Relation
from crm_ops.catalog.document import Keys
from crm_ops.catalog.parts import Not, Where
from crm_ops.sources import columns, filters, needs


def problems(
    connection: sa.Connection, need: needs.Filter, found: columns.Found
) -> Iterator[tuple[Keys, str]]:
    """What is wrong with each column of a filter; a table that is hidden from us is not asked."""
    table = found.get(need.relation)
    if table is None:
        return
    for column, wanted in need.where.items():
        keys = (*need.keys, column)
        if column not in table.columns:
            yield keys, columns.missing(table, column)
        elif table.columns[column] == "boolean" and _has_text(wanted):
            # PostgreSQL takes 'yes' and 'off' for booleans; in the catalog they are a mistake.
            yield keys, f"{need.relation}.{column} is boolean; write true or false, without quotes"
        elif table.selectable:
            reason = _refusal(connection, need.relation, {column: wanted})
            if reason is not None:
                is_type = f"{need.relation}.{column} is {table.columns[column]}"
                yield keys, f"{is_type}, which this cannot be compared with: {reason}"


def _has_text(wanted: object) -> bool:
    inner = wanted.not_ if isinstance(wanted, Not) else wanted
    return any(isinstance(value, str) for value in (inner if isinstance(inner, list) else [inner]))


def _refusal(connection: sa.Connection, relation: Relation, where: Where) -> str | None:
    """Why PostgreSQL does not take a filter; None where it does."""
    statement = f"SELECT FROM {relation.quoted} WHERE {filters.condition(where)}"
    try:
        with connection.begin_nested():
            # To prepare is to compare the types. To plan would be to compute row-level policies,
            # which may fail for want of their setting.
            sql.run(connection, f"PREPARE crm_ops_filter AS {statement}")
            sql.run(connection, "DEALLOCATE crm_ops_filter")
    except (exc.DataError, exc.ProgrammingError) as error:
        return str(error.orig).splitlines()[0]
    return None


__all__ = ["problems"]
