"""A right that one process has at a time, for longer than a transaction may last.

It is an advisory lock of a connection that does nothing else: PostgreSQL takes it back when the
process dies.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from crm_ops.base import database, errors, sql


@contextmanager
def held(engine: sa.Engine, name: str, *, wait_s: int = 2) -> Iterator[None]:
    """Hold the lease called `name`; raise DatabaseBusy where another has it for over `wait_s`."""
    with database.autocommit(engine) as connection:
        # Closed at the end, not given back to the pool: the lock and its timeout end with it.
        connection.detach()
        _take(connection, name, wait_s)
        yield


def _take(connection: sa.Connection, name: str, wait_s: int) -> None:
    timeout = f"{wait_s * 1000}ms"
    sql.run(connection, "SELECT set_config('lock_timeout', %(timeout)s, false)", timeout=timeout)
    try:
        sql.run(
            connection,
            "SELECT pg_advisory_lock(hashtextextended(%(name)s, 0))",
            name=f"crm_ops:{name}",
        )
    except sa.exc.OperationalError as error:
        raise errors.DatabaseBusy(f"another run holds {name}; let it end") from error


__all__ = ["held"]
