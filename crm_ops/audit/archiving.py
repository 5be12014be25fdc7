"""Brings a detached table to the archive: exported, then read back and compared; killed, resumed.

Nothing is dropped here. A file that does not hold exactly the table's rows is written again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa

from crm_ops.audit import chain, columns, files, fingerprint, lease, manifest, parquet, record
from crm_ops.audit.columns import Column
from crm_ops.audit.record import Record
from crm_ops.audit.storage import Storage
from crm_ops.base import database, errors
from crm_ops.base.sql import Relation
from crm_ops.catalog.audit import Audit

_log = logging.getLogger(__name__)

_TRIES = 3


@dataclass(frozen=True)
class Archived:
    """What was done for one table: rows written to a file, rows verified in it, the file's bytes.

    All are 0 where it was verified already, or is not there any more.
    """

    exported_rows: int = 0
    verified_rows: int = 0
    file_bytes: int = 0


def export(
    engine: sa.Engine,
    storage: Storage,
    policy: Audit,
    table: Relation,
    progress: Callable[[int], None] = lambda _rows: None,
) -> Archived:
    """Write a detached table to a file of its own; a second time does nothing."""
    with _alone(engine, table):
        found = _read(engine, policy, table)
        if found is None or found.state != "detached":
            return Archived()
        return _export(engine, storage, policy, table, found, progress)


def verify(
    engine: sa.Engine,
    storage: Storage,
    policy: Audit,
    table: Relation,
    *,
    now: datetime,
) -> Archived:
    """Read the exported file back, compare it with the table, and add its link to the chain.

    A file that differs is exported again and compared again; AuditError where that does not help.
    """
    log = Relation.parse(policy.table)
    total = Archived()
    with _alone(engine, table):
        for _ in range(_TRIES):
            found = _read(engine, policy, table)
            if found is None or found.state not in ("detached", "exported"):
                manifest.publish(engine, log, storage)
                return total
            if found.state == "detached":
                done = _export(engine, storage, policy, table, found, lambda _rows: None)
                total = Archived(total.exported_rows + done.exported_rows)
            elif held := _verified(engine, storage, policy, table, found, now):
                return Archived(total.exported_rows, held.rows, found.file_bytes or 0)
    raise errors.AuditError(
        f"{table} was exported again and its file still differs from it: somebody writes to the"
        " detached table, or the archive does not keep what it is given; it stays as it is"
    )


def _export(
    engine: sa.Engine,
    storage: Storage,
    policy: Audit,
    table: Relation,
    found: Record,
    progress: Callable[[int], None],
) -> Archived:
    log = Relation.parse(policy.table)
    manifest.publish(engine, log, storage)
    files.clear(engine, storage, log, table, found)
    shape, name = _columns(engine, policy, table), files.name(log, table, found)
    with storage.new(name) as path:
        rows = parquet.write(engine, table, shape, _order(policy, shape), path, progress)
        file_bytes = path.stat().st_size
    sha256 = storage.sha256(name)
    if sha256 is None:
        raise errors.AuditError(f"{name} was written to {storage.url} and is not there")
    with database.transaction(engine) as connection:
        record.exported(
            connection, found.id, file=name, file_bytes=file_bytes, sha256=sha256, rows=rows
        )
    _log.info(
        "%s exported: %s rows, %s bytes",
        table,
        rows,
        file_bytes,
        extra={"action": "audit_exported", "table": str(table), "rows": rows, "file": name},
    )
    return Archived(exported_rows=rows, file_bytes=file_bytes)


def _verified(
    engine: sa.Engine,
    storage: Storage,
    policy: Audit,
    table: Relation,
    found: Record,
    now: datetime,
) -> fingerprint.Fingerprint | None:
    """The fingerprint that file and table share, once it is noted; None where they differ."""
    shape = _columns(engine, policy, table)
    in_file = _of_file(storage, policy, found, shape)
    with database.transaction(engine) as connection:
        in_table = fingerprint.of_table(connection, table, shape, policy.time)
    if in_file != in_table:
        _again(engine, table, found)
        return None
    log = Relation.parse(policy.table)
    with chain.held(engine, log):
        manifest.copy(engine, log, storage)
        with database.transaction(engine) as connection:
            link = chain.append(
                connection,
                log,
                partition=str(table),
                lower=found.lower.isoformat(),
                upper=found.upper.isoformat(),
                file=found.file,
                file_bytes=found.file_bytes,
                sha256=found.sha256,
                rows=in_file.rows,
                checksum=str(in_file.checksum),
                first=in_file.first,
                last=in_file.last,
                time=policy.time,
                columns=tuple((each.name, each.type, each.kind) for each in shape),
                replaces=found.replaces,
                written_at=now.isoformat(),
            )
            if not record.verified(connection, found.id, in_file, link):
                raise errors.AuditError(f"{table} has changed while it was verified; run it again")
        manifest.copy(engine, log, storage)
    _log.info(
        "%s verified in the archive: %s rows, link %s",
        table,
        in_file.rows,
        link,
        extra={"action": "audit_verified", "table": str(table), "rows": in_file.rows},
    )
    return in_file


def _of_file(
    storage: Storage, policy: Audit, found: Record, shape: tuple[Column, ...]
) -> fingerprint.Fingerprint | None:
    """Of the rows that are in the file now; None where it is not the file that was written."""
    if found.file is None or storage.sha256(found.file) != found.sha256:
        return None
    with storage.open(found.file) as stream:
        return fingerprint.of_batches(parquet.batches(stream), shape, policy.time)


def _again(engine: sa.Engine, table: Relation, found: Record) -> None:
    with database.transaction(engine) as connection:
        record.again(connection, found.id)
    _log.warning(
        "%s: its file does not hold its rows, it is exported again",
        table,
        extra={"action": "audit_mismatch", "table": str(table), "file": found.file},
    )


def _alone(engine: sa.Engine, table: Relation) -> AbstractContextManager[None]:
    return lease.held(engine, f"the archiving of {table}")


def _read(engine: sa.Engine, policy: Audit, table: Relation) -> Record | None:
    with database.transaction(engine) as connection:
        return record.read(connection, Relation.parse(policy.table), table)


def _columns(engine: sa.Engine, policy: Audit, table: Relation) -> tuple[Column, ...]:
    with database.transaction(engine) as connection:
        return columns.read(connection, table, policy.time)


def _order(policy: Audit, shape: tuple[Column, ...]) -> tuple[str, ...]:
    """Sorted for reading: one tenant's rows of a time lie together."""
    there = {column.name for column in shape}
    wanted = (policy.tenant, policy.time, policy.key)
    return tuple(name for name in wanted if name is not None and name in there)


__all__ = ["Archived", "export", "verify"]
