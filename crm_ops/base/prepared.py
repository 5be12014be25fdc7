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
from psycopg.rows import RowFactory, tuple_row

from crm_ops.base import pipelined

# As many as psycopg keeps prepared unless it is told otherwise.
_MOST_KNOWN = 100


def row(
    connection: sa.Connection,
    text: str,
    values: Mapping[str, Any],
    made: RowFactory[Any] = tuple_row,
) -> Any:
    """The first row of a query as `made`, None where it has none."""
    known = _known(connection)
    # Of numbers and lists psycopg prepares one statement for each size.
    texts = all(type(value) is str for value in values.values())
    alone = texts and text in known
    found = pipelined.rows(connection, text, values, made, prepare=True, alone=alone)
    if texts:
        known.add(text)
    return found[0] if found else None


def _known(connection: sa.Connection) -> set[str]:
    """The texts that the connection was asked with texts: they are prepared.

    A pipeline for them would save no trip, and cost more than all else here. A rollback makes
    psycopg forget, so a transaction begins with nothing known.
    """
    known: set[str] = connection.info.setdefault("crm_ops_asked", set())
    driver = connection.connection.driver_connection
    begins = (
        isinstance(driver, psycopg.Connection)
        and not driver.autocommit
        and driver.pgconn.transaction_status == TransactionStatus.IDLE
    )
    if begins or len(known) > _MOST_KNOWN:
        known.clear()
    return known


__all__ = ["row"]
