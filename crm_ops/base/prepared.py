"""Runs a query that is asked again and again: planned once for each connection, not each time.

For queries by a key only, whose plan suits every value. psycopg keeps what it prepared; where its
`prepare_threshold` is None (behind a pooler that cannot keep it) the query is asked as usual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import psycopg
import sqlalchemy as sa
from psycopg.pq import TransactionStatus
from psycopg.rows import RowFactory, namedtuple_row, tuple_row
from sqlalchemy import exc

from crm_ops.base import sql

# As many as psycopg keeps prepared unless it is told otherwise.
_MOST_KNOWN = 100


def row(connection: sa.Connection, text: str, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """The first row of a query, None where it has none.

    Asked past SQLAlchemy's result, which costs more than the query; what goes wrong is raised as
    SQLAlchemy raises it, and a lost connection is not given back to its pool.
    """
    found: tuple[Any, ...] | None = _first(connection, text, values, tuple_row)
    return found


def named(connection: sa.Connection, text: str, values: Mapping[str, Any]) -> Any:
    """The same row with its columns by name."""
    return _first(connection, text, values, namedtuple_row)


def _first(
    connection: sa.Connection, text: str, values: Mapping[str, Any], made: RowFactory[Any]
) -> Any:
    driver = connection.connection.driver_connection
    if not isinstance(driver, psycopg.Connection):
        found = sql.run(connection, text, values).first()
        return found if found is None or made is namedtuple_row else tuple(found)
    if not connection.in_transaction():
        connection.begin()
    known = _known(connection, driver)
    # Of numbers and lists psycopg prepares one statement for each size.
    texts = all(type(value) is str for value in values.values())
    try:
        with driver.cursor(row_factory=made) as cursor:
            if texts and text in known:
                cursor.execute(text, values, prepare=True)
            else:
                # A pipeline sends what is to be planned with what is asked: one round trip.
                with driver.pipeline():
                    cursor.execute(text, values, prepare=True)
                if texts:
                    known.add(text)
            return cursor.fetchone()
    except psycopg.Error as error:
        lost = driver.closed
        if lost:
            connection.invalidate(error)
        raise exc.DBAPIError.instance(
            text, dict(values), error, psycopg.Error, connection_invalidated=lost
        ) from error


def _known(connection: sa.Connection, driver: psycopg.Connection[Any]) -> set[str]:
    """The texts that the connection was asked with texts: they are prepared.

    A pipeline for them would save no trip, and cost more than all else here. A rollback makes
    psycopg forget, so a transaction begins with nothing known.
    """
    known: set[str] = connection.info.setdefault("crm_ops_asked", set())
    begins = not driver.autocommit and driver.pgconn.transaction_status == TransactionStatus.IDLE
    if begins or len(known) > _MOST_KNOWN:
        known.clear()
    return known


__all__ = ["named", "row"]
