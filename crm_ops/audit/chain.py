"""The manifest chain: one link for each archived file, each holding the hash of the one before.

The database has it first; then it is copied beside the files, where its head lies with it. Who
alters, takes away or adds a file, an entry or a whole tail is found as long as one of the two is
honest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

import msgspec
import sqlalchemy as sa

from crm_ops.audit import lease
from crm_ops.audit.fingerprint import Fingerprint
from crm_ops.audit.stretch import Stretch
from crm_ops.base import sql, statements
from crm_ops.base.sql import Relation

BEGINNING = "0" * 64

_WAIT_S = 120


@dataclass(frozen=True)
class Entry:
    """What a link says: which file holds which rows of which table.

    `columns` are name, type and kind of each. `replaces` names links whose rows are all in here.
    """

    number: int
    previous: str
    table: str
    partition: str
    lower: str
    upper: str
    file: str
    file_bytes: int
    sha256: str
    rows: int
    checksum: str
    first: int | None
    last: int | None
    time: str
    columns: tuple[tuple[str, str, str], ...]
    replaces: tuple[int, ...]
    written_at: str

    @property
    def fingerprint(self) -> Fingerprint:
        """Of the rows in the file."""
        return Fingerprint(self.rows, int(self.checksum), self.first, self.last)

    def holds(self, lower: datetime, upper: datetime) -> bool:
        """Whether rows of a stretch may be in the file."""
        return self.stretch.overlaps(Stretch(lower, upper))

    @property
    def stretch(self) -> Stretch:
        """The time that the file's table was for."""
        return Stretch(datetime.fromisoformat(self.lower), datetime.fromisoformat(self.upper))


@dataclass(frozen=True)
class Link:
    """An entry as text, to the byte, and its SHA-256."""

    number: int
    text: str
    hash: str

    @property
    def entry(self) -> Entry:
        """What the text says."""
        return msgspec.convert(json.loads(self.text), Entry)


def folder(table: Relation) -> str:
    """The folder of one audit log within the storage."""
    return quote(str(table), safe="")


def place(table: Relation, number: int) -> str:
    """Where a link's entry lies beside the files."""
    return f"{folder(table)}/manifest/{number:08}.json"


def read(connection: sa.Connection, table: Relation) -> list[Link]:
    """The links that the database has, in their order."""
    rows = sql.run(connection, _sql("links"), schema=table.schema, name=table.name)
    return [Link(row.number, row.entry, row.hash) for row in rows]


def current(links: Sequence[Link]) -> list[Entry]:
    """The entries whose rows count: none is there twice."""
    entries = [link.entry for link in links]
    replaced = {number for entry in entries for number in entry.replaces}
    return [entry for entry in entries if entry.number not in replaced]


def append(connection: sa.Connection, table: Relation, **said: Any) -> int:
    """Add a link in the caller's transaction, who holds the chain's lease; return its number."""
    last = sql.run(connection, _sql("last_link"), schema=table.schema, name=table.name).first()
    number, previous = (last.number + 1, last.hash) if last else (1, BEGINNING)
    entry = text(asdict(Entry(number=number, previous=previous, table=str(table), **said)))
    sql.run(
        connection,
        _sql("add_link"),
        schema=table.schema,
        name=table.name,
        number=number,
        entry=entry,
        hash=digest(entry),
    )
    return int(number)


def held(engine: sa.Engine, table: Relation) -> AbstractContextManager[None]:
    """The right to add links and to write the head, which one process has at a time."""
    return lease.held(engine, f"the manifest chain of {table}", wait_s=_WAIT_S)


def digest(entry: str) -> str:
    """The hash of an entry."""
    return hashlib.sha256(entry.encode()).hexdigest()


def text(value: object) -> str:
    """An entry or a head as it is hashed and lies beside the files."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _sql(name: str) -> str:
    return statements.load("crm_ops.audit", "archive.sql")[name]


__all__ = [
    "BEGINNING",
    "Entry",
    "Link",
    "append",
    "current",
    "digest",
    "folder",
    "held",
    "place",
    "read",
    "text",
]
