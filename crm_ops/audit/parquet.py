"""A table to a Parquet file and a file to rows, in memory that does not grow with either."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import IO, Any

import adbc_driver_manager
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import sqlalchemy as sa
from adbc_driver_postgresql import dbapi

from crm_ops.audit.columns import Column
from crm_ops.base import database, errors, sql
from crm_ops.base.sql import Relation

# Higher levels cost more and, once values are encoded as below, save next to nothing.
_LEVEL = 1
_SAMPLE = 8_192

# What makes a value's text the same in every session, and lets a month of any size be read.
_SESSION = (
    "SELECT set_config('TimeZone', 'UTC', false), set_config('DateStyle', 'ISO', false),"
    " set_config('IntervalStyle', 'postgres', false), set_config('bytea_output', 'hex', false),"
    " set_config('extra_float_digits', '1', false), set_config('search_path', 'pg_catalog', false),"
    " set_config('row_security', 'off', false), set_config('statement_timeout', '0', false),"
    # The sort costs as much as reading: two workers share it, whom PostgreSQL would not hire for so
    # many rows of result. A month of usual size stays in memory, a larger one goes to its disk.
    " set_config('max_parallel_workers_per_gather', '2', false),"
    " set_config('parallel_setup_cost', '0', false), set_config('parallel_tuple_cost', '0', false),"
    " set_config('work_mem', '64MB', false)"
)


def write(
    engine: sa.Engine,
    table: Relation,
    columns: tuple[Column, ...],
    order: tuple[str, ...],
    path: Path,
    progress: Callable[[int], None],
) -> int:
    """Write the rows of `table` to a file, sorted by `order`; return how many.

    `progress` hears the number of rows written so far.
    """
    names = [column.name for column in columns]
    rows = 0
    try:
        with _connected(engine) as connection, connection.cursor() as cursor:
            cursor.execute(_query(table, columns, order))
            reader = cursor.fetch_record_batch()
            # Closed before the connection is: a fetch under way must not outlive it.
            with closing(_ahead(reader)) as fetched:
                first = next(fetched, None)
                schema = pa.schema([reader.schema.field(name) for name in names])
                with pq.ParquetWriter(path, schema, **options(first)) as writer:
                    for batch in chain((first,) if first else (), fetched):
                        writer.write_batch(batch.select(names))
                        rows += batch.num_rows
                        progress(rows)
    except adbc_driver_manager.Error as error:
        told = str(error).strip().splitlines()[0]
        raise errors.AuditError(
            f"{table} could not be read for its archive: {told}; it stays as it is"
        ) from error
    return rows


def _query(table: Relation, columns: tuple[Column, ...], order: tuple[str, ...]) -> str:
    # A sort reads the first values of a row at once, and walks to the others at each comparison.
    sorted_first = sorted(columns, key=lambda column: column.name not in order)
    wanted = ", ".join(column.selected for column in sorted_first)
    by = ", ".join(sql.identifier(name) for name in order)
    return sql.readable(f"SELECT {wanted} FROM {table.quoted} ORDER BY {by}")


def options(sample: pa.RecordBatch | None) -> dict[str, Any]:
    """How a file is written whose rows are like those of `sample`.

    A column whose values repeat is stored as numbers of a dictionary; one whose values do not would
    be looked up there in vain, which costs more than all the rest: whole numbers and moments are
    stored as differences, texts as they are.
    """
    compressed = {"compression": "zstd", "compression_level": _LEVEL}
    if sample is None:
        return compressed
    rows = sample.take(list(range(0, sample.num_rows, sample.num_rows // _SAMPLE + 1)))
    columns = dict(zip(rows.schema.names, rows.columns, strict=True))
    repeated = [name for name, values in columns.items() if _repeats(values)]
    plain = {
        name: "DELTA_BINARY_PACKED"
        for name, values in columns.items()
        if name not in repeated and not pa.types.is_string(values.type)
    }
    return {**compressed, "use_dictionary": repeated, "column_encoding": plain}


def _repeats(values: pa.Array) -> bool:
    return pa.types.is_boolean(values.type) or len(values.unique()) * 4 <= len(values)


def _ahead(reader: pa.RecordBatchReader) -> Generator[pa.RecordBatch, None, None]:
    """The batches, each fetched while the one before it is being compressed."""
    with ThreadPoolExecutor(1) as fetching:
        following = fetching.submit(next, reader, None)
        while (batch := following.result()) is not None:
            following = fetching.submit(next, reader, None)
            yield batch


def batches(stream: IO[bytes]) -> Iterator[pa.RecordBatch]:
    """The rows of a file, piece by piece; raises AuditError where it is no Parquet file."""
    try:
        yield from pq.ParquetFile(stream).iter_batches(batch_size=32_768)
    except pa.ArrowException as error:
        raise errors.AuditError(f"an archived file cannot be read: {error}") from error


def _connected(engine: sa.Engine) -> Any:
    """A connection of the other driver, to the same database in the same role."""
    with database.transaction(engine) as connection:
        role = sql.run(connection, "SELECT current_user").scalar_one()
        driver = connection.connection.driver_connection
        if not isinstance(driver, psycopg.Connection):
            raise errors.SettingsError("archives need psycopg 3 under SQLAlchemy")
        info = driver.info
        address = {**info.get_parameters(), "password": info.password, "client_encoding": "UTF8"}
    made = dbapi.connect(psycopg.conninfo.make_conninfo(**address), autocommit=True)
    try:
        with made.cursor() as cursor:
            cursor.execute(sql.readable(f"SET ROLE {sql.identifier(role)}"))
            cursor.execute(_SESSION)
            cursor.fetchall()
    except adbc_driver_manager.Error:
        made.close()
        raise
    return made


__all__ = ["batches", "write"]
