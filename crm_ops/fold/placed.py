"""Reads from scratch which rows of sets are in which bucket, facet by facet.

The rows are put into a table of the transaction with their positions and keys, in one pass. Each
facet is read there in parts, so that neither PostgreSQL nor this process holds more than the
positions in one part and the bitmaps of one facet.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import sqlalchemy as sa
from pyroaring import BitMap

from crm_ops.base import sql
from crm_ops.fold import bits, positions

Buckets = dict[tuple[int, str | None], BitMap]
"""The rows' positions by set and bucket."""

# Half a million rows or so.
_PART_BYTES = 64 * 1024 * 1024


def put(
    connection: sa.Connection, scan: bits.Scan, sets: Mapping[int, str]
) -> Mapping[str, list[Any]]:
    """Put the rows of sets, tenants by id, into the table; returns how both are bound."""
    bound: dict[str, list[Any]] = {"sets": list(sets), "tenants": list(sets.values())}
    sql.run(connection, f"DROP TABLE IF EXISTS {bits.PLACED}")
    made = f"CREATE TEMPORARY TABLE {bits.PLACED} ON COMMIT DROP AS {scan.text}"
    sql.run(connection, made, bound)
    return bound


def read(connection: sa.Connection, scan: bits.Scan) -> Iterator[tuple[str, Buckets]]:
    """The buckets of each facet of a scan that was put into the table."""
    parts = list(_parts(connection))
    for facet, (key, name) in scan.buckets.items():
        found: Buckets = defaultdict(BitMap)
        for part in parts:
            for row in sql.run(connection, bits.buckets(key, name), part):
                found[row.set_id, row.bucket] |= positions.of(row.bits)
        yield facet, found


def _parts(connection: sa.Connection) -> Iterator[Mapping[str, str]]:
    """The first row identifier of each part, and where it ends."""
    found = sql.run(
        connection,
        "SELECT pg_relation_size(%(table)s::regclass) AS size,"
        " current_setting('block_size')::bigint AS page",
        table=bits.PLACED,
    ).one()
    pages = _PART_BYTES // found.page
    for first in range(0, found.size // found.page, pages):
        yield {"first": f"({first},0)", "end": f"({first + pages},0)"}


__all__ = ["Buckets", "put", "read"]
