"""The chain's copy beside the files, by which an archive is known to be the one written to.

A head lies there from the first run on, before there is a link. So where it is missing afterwards
the place is another one, a disk that is not mounted, and nothing is written to it. Nothing is
dropped before its link lies here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from crm_ops.audit import chain
from crm_ops.audit.chain import Link
from crm_ops.audit.storage import Storage
from crm_ops.base import database, errors, sql, statements
from crm_ops.base.sql import Relation


def place(table: Relation) -> str:
    """Where the head lies beside the files."""
    return f"{chain.folder(table)}/manifest/head.json"


def head(links: Sequence[Link]) -> bytes:
    """The head that must lie beside the files of a chain."""
    last = links[-1].hash if links else chain.BEGINNING
    return chain.text({"number": len(links), "hash": last}).encode()


def publish(engine: sa.Engine, table: Relation, storage: Storage) -> int:
    """Copy beside the files what is not there yet; return how many entries.

    The first time it begins the archive. Nothing is waited for where all is there. Raises
    AuditError where the place is not the one that the archive was begun at.
    """
    with database.transaction(engine) as connection:
        links, begun = chain.read(connection, table), _begun(connection, table)
    if begun is not None and _known(storage, table, links, begun) == len(links):
        return 0
    with chain.held(engine, table):
        return copy(engine, table, storage)


def copy(engine: sa.Engine, table: Relation, storage: Storage) -> int:
    """Copy beside the files what is not there yet, the head last; for who holds the chain."""
    with database.transaction(engine) as connection:
        links, begun = chain.read(connection, table), _begun(connection, table)
    known = _known(storage, table, links, begun)
    for link in links[known or 0 :]:
        storage.put(chain.place(table, link.number), link.text.encode())
    if known != len(links):
        storage.put(place(table), head(links))
    if begun is None or known is None:
        with database.transaction(engine) as connection:
            _run(connection, "begin_archive", table, url=storage.url)
    return len(links) - (known or 0)


def _known(
    storage: Storage, table: Relation, links: Sequence[Link], begun: str | None
) -> int | None:
    """How many links lie beside the files, None where an archive may be begun.

    Without a link the catalog may name another place than the archive was begun at.
    """
    told = storage.get(place(table))
    if told is None:
        if links or begun == storage.url:
            why = f"{len(links)} file(s) were archived" if links else "it was begun there"
            raise errors.AuditError(
                f"the archive {storage.url} has no {place(table)}, though {why}: is its disk"
                " mounted? Nothing was written"
            )
        return None
    number, hash_ = _read(storage, table, told)
    # A link is added only when all before it lie there: an older head is that of another disk.
    if number < len(links) - 1:
        raise errors.AuditError(
            f"the archive {storage.url} knows {number} of {len(links)} links: is it an older copy,"
            " or was its disk not mounted when the others were written? See `crm-ops audit"
            " verify-archive`. Nothing was written"
        )
    expected = links[number - 1].hash if 0 < number <= len(links) else chain.BEGINNING
    if number > len(links) or hash_ != expected:
        raise errors.AuditError(
            f"the archive {storage.url} belongs to another history: its head is link {number}, the"
            f" database has {len(links)}; see `crm-ops audit verify-archive`. Nothing was written"
        )
    return number


def _read(storage: Storage, table: Relation, told: bytes) -> tuple[int, str]:
    try:
        said: Any = json.loads(told)
        return int(said["number"]), str(said["hash"])
    except (ValueError, KeyError, TypeError) as error:
        raise errors.AuditError(
            f"{place(table)} in the archive {storage.url} is not what we wrote; see `crm-ops"
            " audit verify-archive`"
        ) from error


def _begun(connection: sa.Connection, table: Relation) -> str | None:
    """Where the archive was begun; None before."""
    found = _run(connection, "archive_begun", table).scalar_one_or_none()
    return None if found is None else str(found)


def _run(
    connection: sa.Connection, name: str, table: Relation, **values: object
) -> sa.CursorResult[Any]:
    text = statements.load("crm_ops.audit", "archive.sql")[name]
    return sql.run(connection, text, schema=table.schema, name=table.name, **values)


__all__ = ["copy", "head", "place", "publish"]
