"""PostgreSQL as the rooms use it: bounded waits, short transactions, plain errors."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import psycopg
import sqlalchemy as sa
from sqlalchemy import exc

from crm_ops.base import errors, names, sql

_log = logging.getLogger(__name__)

Isolation = Literal["READ COMMITTED", "REPEATABLE READ"]

_A_LOG = re.compile(rf'"{names.SCHEMA}\.({names.OWN_LOG}|{names.LINK_LOG})_')

# Executions of one statement, far more than there will be.
_NEVER = 1 << 62

# Where each of these comes from the cause is not in the data, and a later try may succeed.
_BUSY = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.QueryCanceled,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.SerializationFailure,
)


@dataclass(frozen=True)
class Limits:
    """How long we may wait for a lock and for a statement, in milliseconds."""

    lock_timeout_ms: int = 2_000
    statement_timeout_ms: int = 600_000


def engine(
    url: str, *, limits: Limits | None = None, ping: bool = True, connections: int = 5
) -> sa.Engine:
    """An engine for a `postgresql://` URL, driven by psycopg 3, in UTC, with bounded waits.

    With `ping` a connection is tried before it is used again, which costs a round trip. So many
    `connections` are kept open; ten more may be made for a while.
    """
    try:
        address = sa.make_url(url)
    except (exc.ArgumentError, ValueError):
        # The cause is not kept: it may quote a part of the password.
        raise errors.SettingsError(
            "the database URL cannot be read; write postgresql://user:password@host:port/database,"
            " with @, / and % in a password as %40, %2F and %25"
        ) from None
    if address.get_backend_name() not in ("postgresql", "postgres"):
        raise errors.SettingsError(
            f"the database URL is for {address.get_backend_name()!r}; PostgreSQL is needed"
        )
    try:
        psycopg.conninfo.make_conninfo(**dict.fromkeys(address.query, ""))
    except psycopg.ProgrammingError as error:
        raise errors.SettingsError(
            f"the database URL cannot be used: {str(error).strip()}; see libpq's options"
        ) from error
    made = sa.create_engine(
        address.set(drivername="postgresql+psycopg"),
        pool_pre_ping=ping,
        pool_size=connections,
        connect_args={
            "connect_timeout": 5,
            "application_name": "crm-ops",
            # A plan that was kept from one tenant may be ruinous for the next: nothing is prepared
            # unless it is asked for (base/prepared.py).
            "prepare_threshold": _NEVER,
        },
    )
    return bounded(made, limits or Limits())


def bounded(made: sa.Engine, limits: Limits) -> sa.Engine:
    """`made`, with every new connection of it in UTC and its waits bounded by `limits`."""
    if made.dialect.driver != "psycopg":
        raise errors.SettingsError(
            f"the connection uses the driver {made.dialect.driver!r}; psycopg 3 is needed"
        )

    @sa.event.listens_for(made, "connect")
    def prepare(connection: Any, _record: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT set_config('TimeZone', 'UTC', false),"
                " set_config('lock_timeout', %s, false),"
                " set_config('statement_timeout', %s, false),"
                " set_config('idle_in_transaction_session_timeout', '60s', false),"
                " set_config('search_path', 'pg_catalog', false)",
                (str(limits.lock_timeout_ms), str(limits.statement_timeout_ms)),
            )
        connection.commit()

    return made


def address(made: sa.Engine) -> str:
    """Where an engine leads, without its password: for messages."""
    url = made.url
    return f"{url.username or ''}@{url.host or 'local socket'}:{url.port or 5432}/{url.database}"


@contextmanager
def transaction(
    made: sa.Engine, *, isolation: Isolation = "READ COMMITTED", keep: bool = True
) -> Iterator[sa.Connection]:
    """One transaction, rolled back at its end unless `keep` (a dry run).

    What PostgreSQL refuses arrives as one of our errors, its cause kept.
    """
    with translated(made), made.connect() as connection:
        connection.execution_options(isolation_level=isolation)
        with connection.begin() as begun:
            yield connection
            if not keep:
                begun.rollback()


@dataclass(frozen=True)
class Lock:
    """An advisory lock by name; `shared` ones of one name may be held together."""

    name: str
    shared: bool = False


@contextmanager
def snapshot(
    made: sa.Engine,
    *locks: Lock,
    wait_s: int,
    keep: bool = True,
    still: Sequence[sql.Relation] = (),
) -> Iterator[sa.Connection]:
    """One REPEATABLE READ transaction, whose snapshot is taken after `locks` are held.

    The locks are ours alone, so they may be waited for (`wait_s` seconds) without anybody waiting
    on us; they are given back when the transaction has ended, also by a lost connection. Tables in
    `still` are held as reading does: after a TRUNCATE or a rewrite older snapshots would see none
    of their rows, and count what there never was.
    """
    with translated(made), made.connect() as connection:
        connection.execution_options(isolation_level="REPEATABLE READ")
        try:
            with connection.begin():
                sql.run(
                    connection,
                    "SELECT set_config('lock_timeout', %(wait)s, true)",
                    wait=f"{wait_s}s",
                )
                for lock_ in locks:
                    _hold(connection, lock_)
                held = ", ".join(each.quoted for each in still if _is_table(connection, each))
            with connection.begin() as begun:
                if held:
                    sql.run(connection, f"LOCK TABLE {held} IN ACCESS SHARE MODE")
                yield connection
                if not keep:
                    begun.rollback()
        finally:
            if not connection.invalidated and not connection.closed:
                with connection.begin():
                    sql.run(connection, "SELECT pg_advisory_unlock_all()")


@contextmanager
def beside(connection: sa.Connection) -> Iterator[sa.Connection]:
    """Another connection, for another thread, that reads what the snapshot of `connection` shows.

    What `connection` wrote it does not see. Where the server or the pool has no other it is
    `connection` itself.
    """
    try:
        other = connection.engine.connect()
    except (exc.OperationalError, exc.TimeoutError):
        yield connection
        return
    with other:
        other.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        shared = sql.run(connection, "SELECT pg_export_snapshot()").scalar_one()
        sql.run(other, f"SET TRANSACTION SNAPSHOT {sql.literal(shared)}")
        yield other


def _is_table(connection: sa.Connection, relation: sql.Relation) -> bool:
    """Whether LOCK TABLE takes it: of what is foreign or materialized it does not."""
    found = sql.run(
        connection,
        "SELECT relkind IN ('r', 'p') FROM pg_class WHERE oid = to_regclass(%(name)s)",
        name=sql.readable(relation.quoted),
    )
    return bool(found.scalar_one_or_none())


def _hold(connection: sa.Connection, lock_: Lock) -> None:
    taker = "pg_advisory_lock_shared" if lock_.shared else "pg_advisory_lock"
    sql.run(
        connection,
        f"SELECT {taker}(hashtextextended(%(name)s, 0))",
        name=f"crm_ops:{lock_.name}",
    )


@contextmanager
def held(made: sa.Engine, name: str) -> Iterator[None]:
    """Hold the advisory lock called `name` in a session of its own, which ends with the process."""
    with autocommit(made) as connection:
        sql.run(connection, "SELECT set_config('idle_session_timeout', '0', false)")
        _hold(connection, Lock(name))
        try:
            yield
        finally:
            connection.invalidate()


@contextmanager
def autocommit(made: sa.Engine) -> Iterator[sa.Connection]:
    """A connection whose statements each commit by themselves (VACUUM, FINALIZE)."""
    with translated(made), made.connect() as connection:
        yield connection.execution_options(isolation_level="AUTOCOMMIT")


@contextmanager
def translated(made: sa.Engine) -> Iterator[None]:
    """Turn what the driver raises into our errors."""
    try:
        yield
    except exc.DBAPIError as error:
        raise _ours(error, made) from error


def _ours(error: exc.DBAPIError, made: sa.Engine) -> errors.CrmOpsError:
    cause = error.orig
    text = str(cause).strip().splitlines()[0] if str(cause).strip() else type(cause).__name__
    if isinstance(cause, _BUSY):
        return errors.DatabaseBusy(f"{text}; it is tried again at the next run")
    if isinstance(cause, psycopg.errors.InsufficientPrivilege):
        return errors.PermissionMissing(
            f"the database role {made.url.username!r} may not: {text}; grant it as in"
            " docs/permissions.md"
        )
    if isinstance(cause, psycopg.errors.UndefinedTable | psycopg.errors.InvalidSchemaName) and (
        "crm_ops." in text
    ):
        return _missing(text)
    if error.connection_invalidated or (
        isinstance(cause, psycopg.OperationalError) and cause.sqlstate is None
    ):
        return errors.DatabaseUnavailable(
            f"PostgreSQL at {address(made)} (CRM_OPS_DATABASE_URL, in Airflow the connection"
            f" crm_postgres) cannot be reached: {text}"
        )
    if isinstance(cause, psycopg.DataError):
        return errors.DataError(text)
    return errors.DatabaseRefused(
        f"PostgreSQL refused a statement: {text}; see whether the tables are still as the catalog"
        " says with `crm-ops catalog validate`"
    )


def _missing(text: str) -> errors.CrmOpsError:
    """What is to be done where a table of ours is not there; a log was there when it was chosen."""
    if _A_LOG.search(text):
        return errors.LogGone(
            f"{text}: its capture was changed or removed meanwhile; it is tried again at the next"
            " run"
        )
    return errors.SettingsError(f"{text}; create our tables with `crm-ops migrate`")


def was_stopped(busy: errors.DatabaseBusy) -> bool:
    """Whether it was the statement that took too long, not a lock."""
    cause = busy.__cause__
    return isinstance(cause, exc.DBAPIError) and isinstance(
        cause.orig, psycopg.errors.QueryCanceled
    )


def lock(connection: sa.Connection, name: str) -> None:
    """Wait (bounded by lock_timeout) for the transaction's advisory lock called `name`."""
    sql.run(
        connection,
        "SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 0))",
        name=f"crm_ops:{name}",
    )


def try_lock(connection: sa.Connection, name: str) -> bool:
    """Take the transaction's advisory lock called `name` if nobody holds it."""
    taken = sql.run(
        connection,
        "SELECT pg_try_advisory_xact_lock(hashtextextended(%(name)s, 0))",
        name=f"crm_ops:{name}",
    ).scalar_one()
    return bool(taken)


__all__ = [
    "Limits",
    "Lock",
    "address",
    "autocommit",
    "beside",
    "bounded",
    "engine",
    "held",
    "lock",
    "snapshot",
    "transaction",
    "translated",
    "try_lock",
    "was_stopped",
]
