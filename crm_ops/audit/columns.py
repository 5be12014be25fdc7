"""The columns of an audit table: how each is stored in an archive, and a row as canonical text.

The canonical text of a row is the same whether PostgreSQL or Parquet gives it: each value as its
length, a colon and its text, or `-` for NULL. So a row archived is compared with a row stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
import sqlalchemy as sa

from crm_ops.base import sql, statements
from crm_ops.base.sql import Relation

_INTEGERS = ("smallint", "integer", "bigint")
_MOMENTS = ("timestamp with time zone", "timestamp without time zone")

Kind = Literal["integer", "boolean", "moment", "day", "text"]


@dataclass(frozen=True)
class Column:
    """One column; `kind` is how an archive stores it: whatever is not plain is stored as text.

    Only the column that months are cut by is stored as a moment: others may be infinite.
    """

    name: str
    type: str
    kind: Kind
    generated: bool

    @property
    def selected(self) -> str:
        """The expression that an archive stores, under the column's name."""
        name = sql.identifier(self.name)
        return f"{name}::text AS {name}" if self.kind == "text" else name

    @property
    def canonical(self) -> str:
        """The canonical text of a value, in SQL."""
        name = sql.identifier(self.name)
        match self.kind:
            case "moment":
                value = f"((extract(epoch FROM {name}) * 1000000)::bigint)::text"
            case "day":
                value = f"({name} - date '1970-01-01')::text"
            case _:
                value = f"{name}::text"
        return f"coalesce(length({value}) || ':' || {value}, '-')"


def read(connection: sa.Connection, table: Relation, time: str) -> tuple[Column, ...]:
    """The columns of `table` in their order; `time` is the one that months are cut by."""
    rows = sql.run(
        connection,
        statements.load("crm_ops.audit", "archive.sql")["columns"],
        schema=table.schema,
        name=table.name,
    )
    return tuple(
        Column(row.name, row.type, _kind(row.name, row.plain_type, time), row.generated)
        for row in rows
    )


def lines(batch: pa.RecordBatch, columns: tuple[Column, ...]) -> pa.Array:
    """The canonical text of each row of an archived batch, as bytes."""
    values = [_canonical(batch.column(column.name), column.kind) for column in columns]
    joined = pc.binary_join_element_wise(*values, pa.scalar("", pa.string()))
    return joined.cast(pa.binary())


def moments(batch: pa.RecordBatch, time: Column) -> pa.Array:
    """The time column of an archived batch as whole numbers: microseconds, or days, since 1970."""
    values = batch.column(time.name)
    return values.cast(pa.int32()) if time.kind == "day" else _microseconds(values)


def _canonical(values: pa.Array, kind: Kind) -> pa.Array:
    match kind:
        case "moment":
            values = _microseconds(values)
        case "day":
            values = values.cast(pa.int32())
        case _:
            pass
    text = values.cast(pa.string())
    lengths = pc.utf8_length(text).cast(pa.string())
    told = pc.binary_join_element_wise(lengths, text, pa.scalar(":", pa.string()))
    return pc.fill_null(told, "-")


def _microseconds(values: pa.Array) -> pa.Array:
    return values.cast(pa.timestamp("us", values.type.tz)).cast(pa.int64())


def _kind(name: str, type_: str, time: str) -> Kind:
    if name == time:
        return "moment" if type_ in _MOMENTS else "day"
    if type_ in _INTEGERS:
        return "integer"
    return "boolean" if type_ == "boolean" else "text"


__all__ = ["Column", "Kind", "lines", "moments", "read"]
