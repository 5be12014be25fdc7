"""What tells two sets of rows apart: their number, a checksum of all values, first and last time.

The checksum is the sum of 64 bits of each row's MD5: no order matters, a row that is there twice
counts twice. It finds mistakes; against a forger there is the SHA-256 of the file.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from crm_ops.audit import columns as shapes
from crm_ops.audit.columns import Column
from crm_ops.base import sql
from crm_ops.base.sql import Relation


@dataclass(frozen=True)
class Fingerprint:
    """Of a set of rows; `first` and `last` are microseconds (days for a date column) since 1970."""

    rows: int
    checksum: int
    first: int | None
    last: int | None

    def plus(self, other: Fingerprint) -> Fingerprint:
        """Of both sets together."""
        firsts = [each for each in (self.first, other.first) if each is not None]
        lasts = [each for each in (self.last, other.last) if each is not None]
        return Fingerprint(
            self.rows + other.rows,
            self.checksum + other.checksum,
            min(firsts, default=None),
            max(lasts, default=None),
        )


EMPTY = Fingerprint(0, 0, None, None)


def of_table(
    connection: sa.Connection, table: Relation, columns: tuple[Column, ...], time: str
) -> Fingerprint:
    """Of the rows of a table, computed by PostgreSQL; without a statement timeout."""
    sql.run(connection, "SELECT set_config('statement_timeout', '0', true)")
    sql.run(connection, "SELECT set_config('row_security', 'off', true)")
    sql.run(connection, "SELECT set_config('bytea_output', 'hex', true)")
    line = f"concat({', '.join(column.canonical for column in columns)})"
    moment = sql.identifier(time)
    kind = next(column.kind for column in columns if column.name == time)
    number = (
        f"{moment} - date '1970-01-01'"
        if kind == "day"
        else f"(extract(epoch FROM {moment}) * 1000000)::bigint"
    )
    found = sql.run(
        connection,
        "SELECT count(*) AS held, coalesce(sum(('x' || right(md5(convert_to("
        f"{line}, 'UTF8')), 16))::bit(64)::bigint), 0) AS checksum,"
        f" min({number}) AS first, max({number}) AS last FROM {table.quoted}",
    ).one()
    return Fingerprint(found.held, int(found.checksum), found.first, found.last)


def of_batches(
    batches: Iterable[pa.RecordBatch], columns: tuple[Column, ...], time: str
) -> Fingerprint:
    """Of archived rows, computed here from what the file holds."""
    clock = next(column for column in columns if column.name == time)
    total = EMPTY
    for batch in batches:
        total = total.plus(_of_batch(batch, columns, clock))
    return total


def _of_batch(batch: pa.RecordBatch, columns: tuple[Column, ...], clock: Column) -> Fingerprint:
    digests = b"".join(
        hashlib.md5(line, usedforsecurity=False).digest()[8:]
        for line in shapes.lines(batch, columns).to_pylist()
    )
    ends = pc.min_max(shapes.moments(batch, clock)).as_py()
    checksum = sum(struct.unpack(f">{batch.num_rows}q", digests))
    return Fingerprint(batch.num_rows, checksum, ends["min"], ends["max"])


__all__ = ["EMPTY", "Fingerprint", "of_batches", "of_table"]
