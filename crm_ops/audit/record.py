"""Our record of a table that left the audit log: how far it has come, and where its rows lie.

detached -> exported -> verified -> dropped. Each step is noted in the transaction that makes it
true; a step back, to detached, sends the table to be exported to another file.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from crm_ops.base import sql, statements
from crm_ops.base.sql import Relation

if TYPE_CHECKING:
    # It brings pyarrow, a third of a second for whoever only looks at the layout.
    from crm_ops.audit.fingerprint import Fingerprint

State = Literal["restored", "detached", "exported", "verified", "dropped"]


@dataclass(frozen=True)
class Record:
    """One table; `file` to `link` are None until they are known."""

    id: int
    state: State
    lower: datetime
    upper: datetime
    attempt: int
    file: str | None
    file_bytes: int | None
    sha256: str | None
    rows: int | None
    checksum: int | None
    link: int | None
    replaces: tuple[int, ...]


def read(connection: sa.Connection, parent: Relation, table: Relation) -> Record | None:
    """What we know of a table that is not dropped."""
    row = sql.run(
        connection,
        _sql("present"),
        parent_schema=parent.schema,
        parent_name=parent.name,
        schema=table.schema,
        name=table.name,
    ).first()
    if row is None:
        return None
    found = row._asdict()
    checksum = None if row.checksum is None else int(row.checksum)
    return Record(**{**found, "checksum": checksum, "replaces": tuple(row.replaces)})


def exported(
    connection: sa.Connection, id_: int, *, file: str, file_bytes: int, sha256: str, rows: int
) -> bool:
    """Note the file; False where the table went another way meanwhile."""
    return _noted(
        connection,
        "record_exported",
        id_,
        file=file,
        file_bytes=file_bytes,
        sha256=sha256,
        rows=rows,
    )


def verified(connection: sa.Connection, id_: int, found: Fingerprint, link: int) -> bool:
    """Note what the file was verified to hold; False where the table went another way."""
    return _noted(
        connection, "record_verified", id_, rows=found.rows, checksum=found.checksum, link=link
    )


def again(connection: sa.Connection, id_: int) -> bool:
    """Send the table back to be exported once more."""
    return _noted(connection, "record_again", id_)


def _noted(connection: sa.Connection, statement: str, id_: int, **values: object) -> bool:
    return sql.run(connection, _sql(statement), id=id_, **values).rowcount == 1


def _sql(name: str) -> str:
    return statements.load("crm_ops.audit", "archive.sql")[name]


__all__ = ["Record", "State", "again", "exported", "read", "verified"]
