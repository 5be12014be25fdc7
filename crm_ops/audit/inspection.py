"""Reads the whole archive again, and names every file or link that was altered, lost or added.

The database's chain is compared with the one beside the files, entry by entry; every file with its
link, byte by byte and row by row. Nothing is written.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import sqlalchemy as sa

from crm_ops.audit import chain, files, fingerprint, manifest, parquet
from crm_ops.audit.chain import Entry, Link
from crm_ops.audit.columns import Column, Kind
from crm_ops.audit.storage import Storage
from crm_ops.base import database, errors
from crm_ops.base.sql import Relation


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it was written: which file, and what is wrong with it."""

    what: Literal["altered", "missing", "added"]
    name: str
    why: str


@dataclass(frozen=True)
class Inspection:
    """What was read and found; `head` is the hash of the last link, to be kept elsewhere.

    `waiting` files are of exports that have no link yet: the next run adds it, or takes them away.
    """

    files: int
    rows: int
    links: int
    head: str | None
    waiting: int
    findings: tuple[Finding, ...]

    @property
    def sound(self) -> bool:
        """Whether everything is as it was written."""
        return not self.findings


def inspect(
    engine: sa.Engine,
    storage: Storage,
    table: Relation,
    progress: Callable[[int, int, str], None] = lambda _done, _of, _name: None,
) -> Inspection:
    """Inspect the archive of one audit log; `progress` hears (done, all, name of the next file)."""
    with database.transaction(engine) as connection:
        links, ours = chain.read(connection, table), files.unlinked(connection, table)
    findings = [*_database_chain(links), *_copies(storage, table, links)]
    entries = [entry for link in links if (entry := _entry(link)) is not None]
    replaced = {number for entry in entries for number in entry.replaces}
    rows = 0
    for at, entry in enumerate(entries):
        progress(at, len(entries), entry.file)
        found = _file(storage, entry)
        # What a later link holds again may be gone: the table was archived once more because of it.
        if found is not None and not (entry.number in replaced and found.what == "missing"):
            findings.append(found)
        rows += 0 if entry.number in replaced else entry.rows
    added = _added(storage, table, links, entries)
    findings += [Finding("added", name, "no link names it") for name in sorted(added - ours)]
    return Inspection(
        files=len(entries),
        rows=rows,
        links=len(links),
        head=links[-1].hash if links else None,
        waiting=len(added & ours),
        findings=tuple(findings),
    )


def columns_of(entry: Entry) -> tuple[Column, ...]:
    """The columns of an archived file, as its link tells them."""
    return tuple(Column(name, type_, _kind(kind), False) for name, type_, kind in entry.columns)


def read_back(storage: Storage, entry: Entry) -> Finding | None:
    """What is wrong with a file that is there: its bytes, or the rows in it."""
    if storage.sha256(entry.file) != entry.sha256:
        return Finding("altered", entry.file, f"its bytes are not those of link {entry.number}")
    try:
        with storage.open(entry.file) as stream:
            found = fingerprint.of_batches(parquet.batches(stream), columns_of(entry), entry.time)
    except errors.AuditError as error:
        return Finding("altered", entry.file, str(error))
    if found != entry.fingerprint:
        return Finding("altered", entry.file, f"its rows are not those of link {entry.number}")
    return None


def _kind(text: str) -> Kind:
    kinds: tuple[Kind, ...] = ("integer", "boolean", "moment", "day", "text")
    return next(kind for kind in kinds if kind == text)


def _file(storage: Storage, entry: Entry) -> Finding | None:
    if storage.sha256(entry.file) is None:
        return Finding("missing", entry.file, f"link {entry.number} names it, and it is not there")
    return read_back(storage, entry)


def _entry(link: Link) -> Entry | None:
    try:
        return link.entry
    except (ValueError, TypeError):
        return None


def _database_chain(links: Sequence[Link]) -> list[Finding]:
    """Whether the database's own chain is unbroken."""
    findings, previous = [], chain.BEGINNING
    for number, link in enumerate(links, start=1):
        name = f"crm_ops.audit_link {link.number}"
        entry = _entry(link)
        if link.number != number:
            findings.append(Finding("missing", name, f"link {number} is not in the database"))
        if chain.digest(link.text) != link.hash or entry is None or entry.number != link.number:
            findings.append(Finding("altered", name, "its hash is not that of its entry"))
        elif entry.previous != previous:
            findings.append(Finding("altered", name, "it does not follow the link before it"))
        previous = link.hash
    return findings


def _copies(storage: Storage, table: Relation, links: Sequence[Link]) -> list[Finding]:
    """Whether the entries and the head beside the files are those of the database."""
    findings = []
    for link in links:
        name = chain.place(table, link.number)
        copy = storage.get(name)
        if copy is None:
            findings.append(Finding("missing", name, "the database has this link"))
        elif copy != link.text.encode():
            findings.append(Finding("altered", name, "the database has another entry"))
    name = manifest.place(table)
    head = storage.get(name)
    if links and head is None:
        findings.append(Finding("missing", name, "the database has a head"))
    elif head is not None and head != manifest.head(links):
        findings.append(Finding("altered", name, "the database has another head"))
    return findings


def _added(
    storage: Storage, table: Relation, links: Sequence[Link], entries: Sequence[Entry]
) -> set[str]:
    """The files that no link names."""
    known = {entry.file for entry in entries} | {manifest.place(table)}
    known |= {chain.place(table, link.number) for link in links}
    return storage.names(chain.folder(table)) - known


__all__ = ["Finding", "Inspection", "columns_of", "inspect", "read_back"]
