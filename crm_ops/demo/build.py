"""Makes the demo CRM where there is none, and takes away only what it made."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date

import psycopg
from sqlalchemy import Connection, Engine, exc

from crm_ops.base import database, errors, sql, statements
from crm_ops.demo import fill, marker, partitions
from crm_ops.demo.sizes import Size

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class DemoSummary:
    """The demo that is there: `created` now or before; `rows` by table as they were made."""

    created: bool
    size: str
    as_of: date
    rows: Mapping[str, int]
    took_ms: int


def create(
    engine: Engine, *, size: Size, as_of: date, progress: fill.Progress | None = None
) -> DemoSummary:
    """Make the schema `crm` with a demo of this size; records end with the day before `as_of`.

    A complete demo of this size is left as it is, whatever its day; one that was cut short is made
    anew. `progress` is told a table or a step, how much of it is done, of how much. Raises
    `DataError` where `crm` is not the demo's or holds another size, `DatabaseBusy` while another
    session makes or drops it.
    """
    began = time.perf_counter()
    with _session(engine) as connection:
        found = _complete(connection, size)
        there = found or _make(engine, connection, size, as_of, progress or _unseen)
    summary = DemoSummary(
        created=found is None,
        size=there.size,
        as_of=there.as_of,
        rows=there.rows,
        took_ms=round((time.perf_counter() - began) * 1000),
    )
    _log.info(
        "demo CRM",
        extra={
            "action": "demo_made" if summary.created else "demo_found",
            "size": summary.size,
            "rows": sum(summary.rows.values()),
            "took_ms": summary.took_ms,
        },
    )
    return summary


def drop(engine: Engine) -> bool:
    """Drop the demo, complete or not; False where there is none.

    Raises `DataError` where `crm` is not the demo's, or where something else lives in it or
    depends on its tables: then nothing is dropped.
    """
    with _session(engine) as connection, connection.begin():
        if marker.read(connection) is None:
            _refuse_foreign(connection)
            return False
        _clear(connection)
    return True


@contextmanager
def _session(engine: Engine) -> Iterator[Connection]:
    """A session of its own: the lock, settings and temporary things end with it in any case."""
    with database.translated(engine), engine.connect() as connection:
        connection.detach()
        with connection.begin():
            _lock(connection)
            sql.run(connection, _schema("settings"))
        yield connection


def _lock(connection: Connection) -> None:
    try:
        sql.run(connection, _schema("lock"))
    except exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.LockNotAvailable):
            raise errors.DatabaseBusy(
                "the demo CRM is being made or dropped by another session; try again when that is"
                " done"
            ) from error
        raise


def _complete(connection: Connection, size: Size) -> marker.Marker | None:
    """The complete demo of this size, None where one may be made."""
    with connection.begin():
        found = marker.read(connection)
        if found is None:
            _refuse_foreign(connection)
        elif found.complete and found.size != size.name:
            raise errors.DataError(
                f"the schema crm holds the {found.size} demo, {size.name} was asked for; drop it"
                " first, or use another database"
            )
    return found if found and found.complete else None


def _refuse_foreign(connection: Connection) -> None:
    names = sql.run(connection, _schema("relations")).scalars().all()
    if names:
        raise errors.DataError(
            f"the schema crm is not the demo's: it holds {', '.join(names[:3])}"
            f"{' and more' if len(names) > 3 else ''}; use another database for the demo"
        )


def _make(
    engine: Engine, connection: Connection, size: Size, as_of: date, progress: fill.Progress
) -> marker.Marker:
    with connection.begin():
        if marker.read(connection) is not None:
            _clear(connection)
        sql.run(connection, _schema("create"))
        marker.write(connection, marker.Marker(size.name, as_of))
        for statement in _tables().values():
            sql.run(connection, statement)
        partitions.create(connection, as_of)
    rows = fill.tables(connection, size=size, as_of=as_of, progress=progress)
    _run_each(connection, "indexes", progress)
    _run_each(connection, "foreign_keys", progress)
    _vacuum(engine, list(rows), progress)
    made = marker.Marker(size.name, as_of, complete=True, rows=rows)
    with connection.begin():
        marker.write(connection, made)
    return made


def _run_each(connection: Connection, step: str, progress: fill.Progress) -> None:
    """Run what comes after the load, where it is cheaper than during it."""
    todo = statements.load("crm_ops.demo", f"sql/{step}.sql").values()
    for done, statement in enumerate(todo, start=1):
        with connection.begin():
            sql.run(connection, statement)
        progress(step.replace("_", " "), done, len(todo))


def _vacuum(engine: Engine, tables: list[str], progress: fill.Progress) -> None:
    """Leave statistics and visibility maps, so that no autovacuum disturbs the first queries."""
    with database.autocommit(engine) as connection:
        for done, table in enumerate(tables, start=1):
            sql.run(connection, f"VACUUM (ANALYZE) {sql.Relation('crm', table).quoted}")
            progress("statistics", done, len(tables))


def _clear(connection: Connection) -> None:
    """Drop the demo's tables by name and the schema only when it is empty then."""
    names = sql.run(connection, _schema("tables"), names=list(_tables())).scalars()
    listed = ", ".join(sql.Relation("crm", name).quoted for name in names)
    try:
        if listed:
            sql.run(connection, f"DROP TABLE {listed} RESTRICT")
        sql.run(connection, _schema("drop"))
    except exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.errors.DependentObjectsStillExist):
            raise errors.DataError(
                f"the demo CRM cannot be dropped: {error.orig.diag.message_detail}; drop that first"
            ) from error
        raise


def _schema(name: str) -> str:
    return statements.load("crm_ops.demo", "sql/schema.sql")[name]


def _tables() -> dict[str, str]:
    return statements.load("crm_ops.demo", "sql/tables.sql")


def _unseen(_what: str, _done: int, _total: int) -> None:
    """Progress that nobody follows."""


__all__ = ["DemoSummary", "create", "drop"]
