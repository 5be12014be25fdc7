"""The archive that the tests watch: a local folder, and the law that no row is lost or doubled."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from pathlib import Path

import sqlalchemy as sa

from crm_ops.audit import apply, archiving, chain, parquet
from crm_ops.audit.storage import Storage
from crm_ops.base import database, sql
from crm_ops.catalog.audit import Audit
from tests.audit import logs
from tests.audit.logs import LOG, NOW


def policy(**changes: object) -> Audit:
    """Twelve months kept, then archived, and dropped at once."""
    given = {"on_expiry": "archive", "tenant": "company_id", "object": ["action", "user_id"]}
    return logs.policy(**{**given, **changes})


def storage(folder: Path) -> Storage:
    """The archive in `folder`."""
    return Storage(str(folder), folder)


def maintain(
    engine: sa.Engine, folder: Path, declared: Audit | None = None, now: datetime = NOW
) -> None:
    """All steps of a night."""
    declared = declared or policy()
    made = logs.planned(engine, declared, now)
    apply.create(engine, made)
    apply.detach(engine, made)
    archive = storage(folder)
    for each in made.archives:
        archiving.export(engine, archive, declared, each.table)
        archiving.verify(engine, archive, declared, each.table, now=now)
    apply.drop(engine, made, archive)


def archived(engine: sa.Engine, folder: Path) -> Counter[object]:
    """The ids of all rows in the archive, with how often each is there."""
    with database.transaction(engine) as connection:
        entries = chain.current(chain.read(connection, LOG))
    found: Counter[object] = Counter()
    for entry in entries:
        with storage(folder).open(entry.file) as stream:
            for batch in parquet.batches(stream):
                found.update(batch.column("id").to_pylist())
    return found


def stored(engine: sa.Engine, *tables: str) -> Counter[object]:
    """The ids of all rows in tables of the database."""
    found: Counter[object] = Counter()
    with database.transaction(engine) as connection:
        for table in tables:
            found.update(sql.run(connection, f"SELECT id FROM {table}").scalars())
    return found


def waiting(engine: sa.Engine) -> list[str]:
    """The detached tables that are not in the archive, or not current there: their rows count."""
    with database.transaction(engine) as connection:
        return list(
            sql.run(
                connection,
                "SELECT name FROM crm_ops.audit_partition WHERE state IN ('detached', 'exported')",
            ).scalars()
        )


def everything(engine: sa.Engine, folder: Path) -> Counter[object]:
    """Live plus archived rows, each as often as it is there; a detached table is live until it is
    verified."""
    return archived(engine, folder) + stored(engine, str(LOG), *waiting(engine))
