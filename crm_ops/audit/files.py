"""The files that tables are archived to: one for each try, so no file that counts is written again.

A name is known before its file is there, from the record of the table. So what a killed run left
without a link is told from what somebody else put there, and is taken away by the next try.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import quote

import sqlalchemy as sa

from crm_ops.audit import chain
from crm_ops.audit.record import Record
from crm_ops.audit.storage import Storage
from crm_ops.base import database, errors, sql, statements
from crm_ops.base.sql import Relation

_log = logging.getLogger(__name__)


def name(log: Relation, table: Relation, found: Record) -> str:
    """The file that a table's present try is written to."""
    return _name(log, table, found.id, found.lower, found.attempt)


def unlinked(connection: sa.Connection, log: Relation) -> set[str]:
    """The files that our tries may have left or made, and that no link names yet."""
    text = statements.load("crm_ops.audit", "archive.sql")["unlinked"]
    return {
        _name(log, Relation.parse(row.name), row.id, row.lower, attempt)
        for row in sql.run(connection, text, schema=log.schema, name=log.name)
        for attempt in range(1, row.attempt + 1)
    }


def clear(
    engine: sa.Engine, storage: Storage, log: Relation, table: Relation, found: Record
) -> None:
    """Take away what earlier tries of a table left without a link; nobody will give it one.

    Where we may write but not delete it stays, and `verify-archive` names it as added.
    """
    if found.attempt == 1:
        return
    with database.transaction(engine) as connection:
        linked = {link.entry.file for link in chain.read(connection, log)}
    for each in _earlier(log, table, found):
        if each not in linked:
            _remove(storage, each)


def _remove(storage: Storage, each: str) -> None:
    try:
        storage.remove(each)
    except errors.AuditError as error:
        _log.warning("%s: %s", each, error, extra={"action": "audit_left_over", "file": each})


def _earlier(log: Relation, table: Relation, found: Record) -> Iterator[str]:
    for attempt in range(1, found.attempt):
        yield _name(log, table, found.id, found.lower, attempt)


def _name(log: Relation, table: Relation, id_: int, lower: datetime, attempt: int) -> str:
    month = f"{lower.year:04}-{lower.month:02}"
    return f"{chain.folder(log)}/{month}/{quote(table.name, safe='')}-{id_}-{attempt}.parquet"


__all__ = ["clear", "name", "unlinked"]
