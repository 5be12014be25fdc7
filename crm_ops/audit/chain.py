"""The manifest chain: one link for each archived file, each holding the hash of the one before.

The database has it first, its head with it; then it is copied beside the files, entry by entry.
Nothing is dropped before its link lies in both places. Who alters, takes away or adds a file, an
entry or a whole tail is found as long as one of the two heads is honest.
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
from crm_ops.audit.storage import Storage
from crm_ops.audit.stretch import Stretch
from crm_ops.base import database, errors, sql, statements
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


def head_place(table: Relation) -> str:
    """Where the head lies beside the files."""
    return f"{folder(table)}/manifest/head.json"


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
    text = _text(asdict(Entry(number=number, previous=previous, table=str(table), **said)))
    sql.run(
        connection,
        _sql("add_link"),
        schema=table.schema,
        name=table.name,
        number=number,
        entry=text,
        hash=digest(text),
    )
    return int(number)


def held(engine: sa.Engine, table: Relation) -> AbstractContextManager[None]:
    """The right to add links and to write the head, which one process has at a time."""
    return lease.held(engine, f"the manifest chain of {table}", wait_s=_WAIT_S)


def publish(engine: sa.Engine, table: Relation, storage: Storage) -> int:
    """Copy beside the files what is not there yet; return how many entries.

    Nothing is waited for where all is there. Raises as `copy` does.
    """
    with database.transaction(engine) as connection:
        links = read(connection, table)
    if require(storage, table, links) == len(links) and links:
        return 0
    with held(engine, table):
        return copy(engine, table, storage)


def copy(engine: sa.Engine, table: Relation, storage: Storage) -> int:
    """Copy beside the files what is not there yet, the head last; for who holds the chain.

    A head lies there before the first link is made. So where it is missing afterwards the storage
    is not the one that was written to, a disk that is not mounted, and AuditError is raised.
    """
    with database.transaction(engine) as connection:
        links = read(connection, table)
    known = require(storage, table, links)
    for link in links[known:]:
        storage.put(place(table, link.number), link.text.encode())
    if links[known:] or not links:
        storage.put(head_place(table), head_text(links))
    return len(links) - known


def require(storage: Storage, table: Relation, links: Sequence[Link]) -> int:
    """How many links lie beside the files; raise AuditError where it is not our archive."""
    told = storage.get(head_place(table))
    try:
        said: Any = json.loads(told) if told else {"number": 0, "hash": BEGINNING}
        number, hash_ = int(said["number"]), str(said["hash"])
    except (ValueError, KeyError, TypeError) as error:
        raise errors.AuditError(
            f"{head_place(table)} in the archive {storage.url} is not what we wrote; see `crm-ops"
            " audit verify-archive`"
        ) from error
    if told is None and links:
        raise errors.AuditError(
            f"the archive {storage.url} has no {head_place(table)}, though {len(links)} files"
            " were archived there: is its disk mounted? Nothing was written"
        )
    # A link is added only when all before it lie there: an older head is that of another disk.
    if number < len(links) - 1:
        raise errors.AuditError(
            f"the archive {storage.url} knows {number} of {len(links)} links: is it an older copy,"
            " or was its disk not mounted when the others were written? See `crm-ops audit"
            " verify-archive`. Nothing was written"
        )
    expected = links[number - 1].hash if 0 < number <= len(links) else BEGINNING
    if number > len(links) or hash_ != expected:
        raise errors.AuditError(
            f"the archive {storage.url} belongs to another history: its head is link {number}, the"
            f" database has {len(links)}; see `crm-ops audit verify-archive`. Nothing was written"
        )
    return number


def head(storage: Storage, table: Relation) -> bytes | None:
    """The head as it lies beside the files."""
    return storage.get(head_place(table))


def head_text(links: Sequence[Link]) -> bytes:
    """The head that must lie beside the files of a chain."""
    last = links[-1].hash if links else BEGINNING
    return _text({"number": len(links), "hash": last}).encode()


def digest(text: str) -> str:
    """The hash of an entry."""
    return hashlib.sha256(text.encode()).hexdigest()


def _text(value: object) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _sql(name: str) -> str:
    return statements.load("crm_ops.audit", "archive.sql")[name]


__all__ = [
    "BEGINNING",
    "Entry",
    "Link",
    "append",
    "copy",
    "current",
    "digest",
    "folder",
    "head",
    "head_place",
    "head_text",
    "held",
    "place",
    "publish",
    "read",
    "require",
]
