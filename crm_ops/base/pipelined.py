"""Runs a query in a pipeline: the caller may work while the server does.

What is to be planned and what is asked go in one round trip. Asked past SQLAlchemy's result, which
costs more than a small query; what goes wrong is raised as SQLAlchemy raises it, and a lost
connection is not given back to its pool.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.rows import RowFactory, namedtuple_row
from sqlalchemy import exc

from crm_ops.base import sql


def first(
    connection: sa.Connection,
    text: str,
    values: Mapping[str, Any],
    made: RowFactory[Any] = namedtuple_row,
    *,
    meanwhile: Callable[[], object] | None = None,
) -> Any:
    """The first row of a query as `made`, None where it has none; else like `rows`."""
    found = rows(connection, text, values, made, meanwhile=meanwhile)
    return found[0] if found else None


def rows(
    connection: sa.Connection,
    text: str,
    values: Mapping[str, Any],
    made: RowFactory[Any] = namedtuple_row,
    *,
    prepare: bool = False,
    alone: bool = False,
    meanwhile: Callable[[], object] | None = None,
) -> list[Any]:
    """The rows of a query as `made`.

    With `prepare` it is planned once for each connection; where that is done already the query may
    be sent `alone`. `meanwhile` is called while the server works. Without anything to be sent or
    done besides there is no pipeline, which costs more than a small query.
    """
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        found = sql.run(connection, text, values).all()
        return list(found) if made is namedtuple_row else [tuple(row) for row in found]
    if not connection.in_transaction():
        connection.begin()
    try:
        with driver.cursor(row_factory=made) as cursor:
            besides = meanwhile is not None or (prepare and not alone)
            with driver.pipeline() if besides else nullcontext():
                cursor.execute(text, values, prepare=prepare)
                if meanwhile is not None:
                    meanwhile()
            return cursor.fetchall()
    except psycopg.Error as error:
        lost = driver.closed
        if lost:
            connection.invalidate(error)
        raise exc.DBAPIError.instance(
            text, dict(values), error, psycopg.Error, connection_invalidated=lost
        ) from error


__all__ = ["first", "rows"]
