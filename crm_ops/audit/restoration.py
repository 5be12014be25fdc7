"""Brings an archived month back: into a table of its own, or into the audit log.

Its rows are in the table exactly once, or there is no table: it is filled, compared with the
archive and kept in one transaction. A second time finds it there and does nothing.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import psycopg
import pyarrow as pa
import pyarrow.csv as pacsv
import sqlalchemy as sa

from crm_ops.audit import chain, columns, creation, fingerprint, inspection, layout, moving, parquet
from crm_ops.audit.chain import Entry
from crm_ops.audit.columns import Column
from crm_ops.audit.fingerprint import Fingerprint
from crm_ops.audit.layout import Parent
from crm_ops.audit.locks import Lock, Patience, Tries
from crm_ops.audit.months import Month
from crm_ops.audit.plan import MOST_MOVED
from crm_ops.audit.storage import Storage
from crm_ops.audit.stretch import Stretch
from crm_ops.base import database, errors, sql, statements
from crm_ops.base.sql import Relation
from crm_ops.catalog.audit import Audit

_log = logging.getLogger(__name__)

_CHECK = "crm_ops_restored"


@dataclass(frozen=True)
class Restored:
    """The table that holds the rows, how many, from how many files; `attached` to the audit log.

    `already` where a run before this one had done it all.
    """

    table: Relation
    rows: int
    files: int
    attached: bool
    already: bool


def default_table(log: Relation, month: Month) -> Relation:
    """The table that a month is restored to where none is named."""
    return Relation(log.schema, f"{log.name[:40]}_restored_{month.year:04}{month.month:02}")


def entries_of(engine: sa.Engine, log: Relation, month: Month) -> list[Entry]:
    """The archived files that may hold rows of a month; ParameterError where there is none."""
    with database.transaction(engine) as connection:
        every = chain.current(chain.read(connection, log))
    found = [each for each in every if each.holds(month.stretch.lower, month.stretch.upper)]
    if not found:
        there = sorted({each.lower[:7] for each in every})
        raise errors.ParameterError(
            f"{month.year:04}-{month.month:02} of {log} is not in the archive; there"
            f" {'are ' + ', '.join(there) if there else 'is nothing'}"
        )
    return found


def restore(
    engine: sa.Engine,
    storage: Storage,
    policy: Audit,
    month: Month,
    *,
    into: Relation | None = None,
    attach: bool = False,
    patience: Patience | None = None,
    progress: Callable[[int], None] = lambda _rows: None,
) -> Restored:
    """Restore the files of a month; with `attach` the table becomes a partition again.

    Raises AuditError where a file is not what it was, where the table is there with other rows, or
    where another partition holds the time. `progress` hears the rows restored so far.
    """
    log = Relation.parse(policy.table)
    entries = entries_of(engine, log, month)
    _refuse_altered(storage, entries)
    table = into or default_table(log, month)
    with database.transaction(engine) as connection:
        parent = layout.parent_of(connection, policy)
        standing = layout.attached(connection, parent)
    expected = _sum(each.fingerprint for each in entries)
    if attach and table in standing:
        return Restored(table, expected.rows, len(entries), attached=True, already=True)
    filled = _fill(engine, storage, parent, table, entries, expected, attach, progress)
    attached = attach and _attach(
        engine, policy, parent, table, entries, patience or Patience(), expected.rows
    )
    return Restored(table, expected.rows, len(entries), attach, not (filled or attached))


def _refuse_altered(storage: Storage, entries: Sequence[Entry]) -> None:
    findings = [inspection.read_back(storage, each) for each in entries]
    wrong = [f"{each.name} is {each.what}: {each.why}" for each in findings if each is not None]
    if wrong:
        raise errors.AuditError(
            f"the archive is not as it was written, nothing was restored: {'; '.join(wrong)}"
        )
    if len({each.columns for each in entries}) > 1:
        raise errors.AuditError(
            "the files of this month have different columns, as the audit log was altered between"
            " them; read them with `crm-ops audit query`"
        )


def _fill(
    engine: sa.Engine,
    storage: Storage,
    parent: Parent,
    table: Relation,
    entries: Sequence[Entry],
    expected: Fingerprint,
    attach: bool,
    progress: Callable[[int], None],
) -> bool:
    """Whether the table was made and filled now; False where it was there with these rows."""
    shape, time = inspection.columns_of(entries[0]), entries[0].time
    with database.transaction(engine) as connection:
        database.lock(connection, f"audit:{parent.table}")
        if _exists(connection, table):
            _compare(connection, table, shape, time, expected, "is there already and")
            return False
        if attach:
            creation.make(connection, parent, table, indexes=True)
            _check(connection, parent, table, _stretch(entries))
        else:
            types = ", ".join(
                f"{sql.identifier(each.name)} {each.type.replace('%', '%%')}" for each in shape
            )
            sql.run(connection, f"CREATE TABLE {table.quoted} ({types})")
            owner = sql.identifier(parent.owner)
            sql.run(connection, f"ALTER TABLE {table.quoted} OWNER TO {owner}")
        generated = {each.name for each in columns.read(connection, table, time) if each.generated}
        rows = 0
        for entry in entries:
            with storage.open(entry.file) as stream:
                for batch in parquet.batches(stream):
                    _copy(connection, table, batch.drop_columns(sorted(generated)))
                    rows += batch.num_rows
                    progress(rows)
        _compare(connection, table, shape, time, expected, "was filled and")
    _log.info(
        "%s restored from the archive: %s rows",
        table,
        expected.rows,
        extra={"action": "audit_restored", "table": str(table), "rows": expected.rows},
    )
    return True


def _exists(connection: sa.Connection, table: Relation) -> bool:
    found = sql.run(
        connection, "SELECT to_regclass(%(name)s) IS NOT NULL", name=sql.readable(table.quoted)
    )
    return bool(found.scalar_one())


def _compare(
    connection: sa.Connection,
    table: Relation,
    shape: tuple[Column, ...],
    time: str,
    expected: Fingerprint,
    what: str,
) -> None:
    there = {each.name for each in columns.read(connection, table, time)}
    lacking = [each.name for each in shape if each.name not in there]
    if not lacking:
        found = fingerprint.of_table(connection, table, shape, time)
        if found == expected:
            return
        lacking = [f"{found.rows} rows with another checksum than the archive's {expected.rows}"]
    raise errors.AuditError(
        f"{table} {what} does not hold what the archive holds ({', '.join(lacking)}); name another"
        " table with --into, or drop it"
    )


def _copy(connection: sa.Connection, table: Relation, batch: pa.RecordBatch) -> None:
    text = io.BytesIO()
    # Without quotes is NULL, with them the empty text: COPY reads it the same way.
    options = pacsv.WriteOptions(include_header=False, quoting_style="all_valid")
    pacsv.write_csv(batch, text, options)
    names = ", ".join(sql.identifier(name) for name in batch.schema.names)
    driver = connection.connection.driver_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - the engine's only driver
    statement = f"COPY {table.quoted} ({names}) FROM STDIN (FORMAT csv)"
    try:
        with driver.cursor() as cursor, cursor.copy(sql.readable(statement).encode()) as copy:
            copy.write(text.getbuffer())
    except psycopg.Error as error:
        raise errors.AuditError(
            f"{table} could not be filled from the archive: {str(error).splitlines()[0]}"
        ) from error


def _check(connection: sa.Connection, parent: Parent, table: Relation, part: Stretch) -> None:
    """The partition's bound as a CHECK: with it ATTACH, which locks, need not look at the rows."""
    lower, upper = moving.bound(parent, part)
    column = sql.identifier(parent.column)
    sql.run(
        connection,
        f"ALTER TABLE {table.quoted} ADD CONSTRAINT {_CHECK}"
        f" CHECK ({column} IS NOT NULL AND {column} >= {lower} AND {column} < {upper})",
    )


def _attach(
    engine: sa.Engine,
    policy: Audit,
    parent: Parent,
    table: Relation,
    entries: Sequence[Entry],
    patience: Patience,
    rows: int,
) -> bool:
    """Make the table a partition, and move what came late for it out of DEFAULT into it."""
    with database.transaction(engine) as connection:
        found = layout.read(connection, policy)
    default = found.default.table if found.default is not None else None
    part = _stretch(entries)
    locks = [Lock(parent.table, "SHARE ROW EXCLUSIVE")]
    if default is not None:
        with database.transaction(engine) as connection:
            waiting = moving.waiting(connection, parent, default, part)
        if waiting > MOST_MOVED:
            raise errors.AuditError(
                f"{waiting} rows of this month wait in {default} and writers would wait while they"
                f" move: run `crm-ops audit archive` first, which puts them aside"
            )
        locks.append(Lock(default, "ACCESS EXCLUSIVE"))
    done = Tries(engine, parent.table, patience).run(
        lambda connection: _free(connection, parent, table, part),
        locks,
        lambda connection: _attach_now(connection, parent, default, table, part, entries, rows),
    )
    return bool(done)


def _free(connection: sa.Connection, parent: Parent, table: Relation, part: Stretch) -> bool:
    attached = layout.attached(connection, parent)
    if table in attached:
        return False
    others = [str(each.table) for each in attached.values() if each.stretch.overlaps(part)]
    if others:
        raise errors.AuditError(
            f"{', '.join(others)} holds this time in {parent.table}; {table} is restored, but not"
            " attached"
        )
    return True


def _attach_now(
    connection: sa.Connection,
    parent: Parent,
    default: Relation | None,
    table: Relation,
    part: Stretch,
    entries: Sequence[Entry],
    rows: int,
) -> bool:
    if default is not None:
        moving.move(connection, parent, default, table, part)
    lower, upper = moving.bound(parent, part)
    sql.run(
        connection,
        f"ALTER TABLE {parent.table.quoted} ATTACH PARTITION {table.quoted}"
        f" FOR VALUES FROM ({lower}) TO ({upper})",
    )
    sql.run(connection, f"ALTER TABLE {table.quoted} DROP CONSTRAINT IF EXISTS {_CHECK}")
    sql.run(
        connection,
        statements.load("crm_ops.audit", "archive.sql")["record_restored"],
        parent_schema=parent.table.schema,
        parent_name=parent.table.name,
        schema=table.schema,
        name=table.name,
        lower=part.lower,
        upper=part.upper,
        rows=rows,
        replaces=[each.number for each in entries],
    )
    return True


def _stretch(entries: Sequence[Entry]) -> Stretch:
    """What the files span: a month, or the odd bounds that its partition had."""
    spans = [each.stretch for each in entries]
    return Stretch(min(each.lower for each in spans), max(each.upper for each in spans))


def _sum(parts: Iterable[Fingerprint]) -> Fingerprint:
    total = fingerprint.EMPTY
    for part in parts:
        total = total.plus(part)
    return total


__all__ = ["Restored", "default_table", "entries_of", "restore"]
