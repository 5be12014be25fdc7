"""Runs a query that is asked again and again: planned once for each connection, not each time.

For queries by a key only, whose plan suits every value. psycopg keeps what it prepared; where its
`prepare_threshold` is None (behind a pooler that cannot keep it) the query is asked as usual.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from psycopg.rows import tuple_row

from crm_ops.base import pipelined


def row(connection: sa.Connection, text: str, values: Mapping[str, Any]) -> tuple[Any, ...] | None:
    """The first row of a query, None where it has none."""
    found: tuple[Any, ...] | None = pipelined.first(
        connection, text, values, tuple_row, prepare=True
    )
    return found


__all__ = ["row"]
